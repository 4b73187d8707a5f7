// Package localcluster runs a whole Kubernetes cluster with a mesh and metrics
// on one Linux machine, without Docker and without root: etcd, the API server,
// the controller-manager, istiod and Prometheus are the real programs, traffic
// is real gRPC that istiod routes, and only the kubelet is stood in for. Tests,
// benchmarks and the demo share it.
//
// Everything lives in user and network namespaces of its own, where every pod
// address is local to the machine, and ends with the program that started it,
// however that program ends. A program enters the namespaces first:
//
//	func TestMain(m *testing.M) {
//		if err := localcluster.Enter(localcluster.EnterOptions{}); err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//		os.Exit(m.Run())
//	}
//
// Enter builds what is missing (see EnsureBinaries), re-executes the program
// inside and returns there only. Then:
//
//	cluster, err := localcluster.Start(ctx, localcluster.Options{
//		Log: os.Stderr, Istiod: true, Prometheus: true,
//	})
//	if err != nil {
//		return err
//	}
//	defer cluster.Stop()
//	err = cluster.Apply(ctx, "config/crd", "demo.yaml")
//
//	traffic, err := cluster.NewTraffic(localcluster.TrafficOptions{
//		Target: "xds:///app.demo.svc.cluster.local:80", RPS: 100,
//	})
//	if err == nil {
//		err = traffic.Start(ctx)
//	}
//	…
//	lost := traffic.Snapshot().Lost() // requests that failed and were not meant to
//
//	operator, err := cluster.StartProcess(ctx, "operator", "bin/sluice",
//		[]string{"--kubeconfig", path}, nil)
//
// Requests from outside of the mesh come through Envoy, which needs ToolEnvoy
// among EnterOptions.Binaries:
//
//	gateway, err := cluster.StartGateway(ctx)
//	…
//	traffic, err := cluster.NewTraffic(localcluster.TrafficOptions{
//		Target: "xds:///app.demo.svc.cluster.local:80", Gateway: gateway, Host: "app.example.com",
//	})
//
// Pods whose image is sluice.dev/demo:TAG serve the demo app, by HTTP on ports
// whose name begins with "http" and by gRPC on others, and the tag says how the
// version behaves (ParseDemoTag). Annotations delay or prevent their
// readiness (AnnotationStartupDelay, AnnotationNeverReady) and set how long
// they serve once deleted (AnnotationDrain). Images that begin with
// localcluster/pause get a status and nothing else, for tests with thousands
// of pods.
//
// The host reaches in through listeners opened before entering:
//
//	localcluster.Enter(localcluster.EnterOptions{Listen: []string{"127.0.0.1:0"}})
//	…
//	localcluster.ProxyHost(ctx, 0, cluster.APIServerAddr())
//	cluster.WriteKubeconfig(localcluster.AdminUser, path, "https://"+localcluster.HostAddr(0))
package localcluster

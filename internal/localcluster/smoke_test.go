//go:build e2e

package localcluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	istio "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

func TestMain(m *testing.M) {
	if err := localcluster.Enter(localcluster.EnterOptions{Listen: []string{"127.0.0.1:0"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const smokeApp = `
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: demo}
spec:
  selector: {app: app}
  ports: [{name: grpc, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app, namespace: demo}
spec:
  host: app
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: demo}
spec:
  hosts: [app]
  http:
  - name: primary
    route:
    - {destination: {host: app, subset: v1}, weight: 80}
    - {destination: {host: app, subset: v2}, weight: 20}
`

func smokeDeployment(version, image string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%[1]s, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: app, version: %[1]s}}
  template:
    metadata:
      labels: {app: app, version: %[1]s}
      annotations: {localcluster.sluice.dev/startup-delay: 200ms}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - {name: app, image: "%[2]s", ports: [{containerPort: 8080}]}
`, version, image)
}

func TestCluster(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	ctx := t.Context()
	cluster, err := localcluster.Start(ctx, localcluster.Options{
		Dir: t.TempDir(), Log: os.Stderr, Istiod: true, Prometheus: true,
	})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(cluster.Stop()).To(Succeed()) }()

	g.Expect(cluster.ApplyYAML(ctx, smokeApp)).To(Succeed())
	g.Expect(cluster.ApplyYAML(ctx, smokeDeployment("v1", "sluice.dev/demo:v1"))).To(Succeed())
	g.Expect(cluster.ApplyYAML(ctx, smokeDeployment("v2", "sluice.dev/demo:v2-errors-20"))).To(Succeed())
	kube := kubernetes.NewForConfigOrDie(cluster.AdminConfig())
	g.Eventually(readyPods(ctx, kube)).Should(Equal(4))

	traffic, err := cluster.NewTraffic(localcluster.TrafficOptions{
		Target: "xds:///app.demo.svc.cluster.local:80", RPS: 400,
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(traffic.Start(ctx)).To(Succeed())

	t.Run("the split is obeyed", func(t *testing.T) { testSplit(t, cluster, traffic) })
	t.Run("pods come and go without a lost request", func(t *testing.T) { testPods(t, kube, cluster, traffic) })
	t.Run("telemetry reaches Prometheus", func(t *testing.T) { testTelemetry(t, cluster) })
	t.Run("authorization is enforced", func(t *testing.T) { testUsers(t, cluster) })
	t.Run("the host reaches the API server", func(t *testing.T) { testHost(t, cluster) })
	t.Run("the API server and Prometheus go away and return", func(t *testing.T) { testOutage(t, kube, cluster) })
	t.Run("history is whole", func(t *testing.T) { testHistory(t, cluster) })

	traffic.Stop()
	for _, loss := range traffic.Losses() {
		t.Errorf("lost request: %+v", loss)
	}
	total := traffic.Snapshot().Total()
	t.Logf("%d requests, %d injected failures, %d lost", total.Requests, total.Injected, total.Lost)
	g.Expect(total.Lost).To(BeZero())
	for _, p := range cluster.Processes() {
		usage, err := p.Usage()
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%s: %.1f s of CPU, peak %d MiB", p.Name(), usage.CPU.Seconds(), usage.PeakRSS>>20)
	}
}

func readyPods(ctx context.Context, kube kubernetes.Interface) func() (int, error) {
	return func() (int, error) {
		pods, err := kube.CoreV1().Pods("demo").List(ctx, metav1.ListOptions{})
		if err != nil {
			return 0, err
		}
		ready := 0
		for i := range pods.Items {
			for _, c := range pods.Items[i].Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		return ready, nil
	}
}

// shareOf returns the share that a version had of the requests since from,
// once there are enough of them to tell.
func shareOf(traffic *localcluster.Traffic, version string, from time.Time) func() (float64, error) {
	return func() (float64, error) {
		window := traffic.Window(from, time.Now())
		if window.Requests < 800 {
			return 0, fmt.Errorf("only %d requests so far", window.Requests)
		}
		share := 0.0
		for revision, stats := range traffic.Snapshot().Revisions {
			if stats.Version == version {
				share += window.Share(revision)
			}
		}
		return share, nil
	}
}

func testSplit(t *testing.T, cluster *localcluster.Cluster, traffic *localcluster.Traffic) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	g.Eventually(shareOf(traffic, "v2-errors-20", time.Now())).Should(BeNumerically("~", 0.2, 0.06))

	mesh, err := istio.NewForConfig(cluster.AdminConfig())
	g.Expect(err).NotTo(HaveOccurred())
	patch := []byte(`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":30},` +
		`{"op":"replace","path":"/spec/http/0/route/1/weight","value":70}]`)
	_, err = mesh.NetworkingV1().VirtualServices("demo").Patch(t.Context(), "app", types.JSONPatchType, patch, metav1.PatchOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() (float64, error) {
		return shareOf(traffic, "v2-errors-20", time.Now().Add(-3*time.Second))()
	}).Should(BeNumerically("~", 0.7, 0.06))

	stats := traffic.Snapshot().ByVersion("v2-errors-20")
	g.Expect(float64(stats.Injected) / float64(stats.Requests)).To(BeNumerically("~", 0.2, 0.08))
	g.Expect(traffic.Snapshot().ByVersion("v1").Failed()).To(BeZero())
}

func testPods(t *testing.T, kube kubernetes.Interface, cluster *localcluster.Cluster, traffic *localcluster.Traffic) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	ctx := t.Context()
	pods, err := kube.CoreV1().Pods("demo").List(ctx, metav1.ListOptions{LabelSelector: "version=v1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pods.Items).To(HaveLen(2))
	first, second := pods.Items[0].Name, pods.Items[1].Name

	g.Expect(cluster.SetReady("demo", second, false)).To(Succeed())
	g.Eventually(readyPods(ctx, kube)).Should(Equal(3))
	g.Expect(cluster.SetReady("demo", second, true)).To(Succeed())
	g.Eventually(readyPods(ctx, kube)).Should(Equal(4))

	before := traffic.Snapshot().Total().Requests
	g.Expect(kube.CoreV1().Pods("demo").Delete(ctx, first, metav1.DeleteOptions{})).To(Succeed())
	g.Eventually(func() bool {
		_, err := kube.CoreV1().Pods("demo").Get(ctx, first, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}).Should(BeTrue(), "the pod goes after its grace period")
	g.Eventually(readyPods(ctx, kube)).Should(Equal(4))
	g.Expect(traffic.Snapshot().Total().Requests).To(BeNumerically(">", before))

	// Every pod is replaced, one after the other, twice over.
	for round := range 2 {
		restart := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"round":"%d"}}}}}`, round)
		for _, name := range []string{"app-v1", "app-v2"} {
			_, err := kube.AppsV1().Deployments("demo").Patch(
				ctx, name, types.StrategicMergePatchType, []byte(restart), metav1.PatchOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Eventually(rolledOut(ctx, kube, name)).Should(BeTrue())
		}
	}
	g.Eventually(readyPods(ctx, kube)).Should(Equal(4))
	g.Expect(traffic.Losses()).To(BeEmpty())
}

func rolledOut(ctx context.Context, kube kubernetes.Interface, name string) func() (bool, error) {
	return func() (bool, error) {
		d, err := kube.AppsV1().Deployments("demo").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		s := d.Status
		return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 2 && s.Replicas == 2 && s.AvailableReplicas == 2, nil
	}
}

func testTelemetry(t *testing.T, cluster *localcluster.Cluster) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	query := `sum(istio_requests_total{reporter="source",destination_workload="app-v2",` +
		`destination_canonical_revision="v2",grpc_response_status="13"})`
	g.Eventually(func() (float64, error) { return queryPrometheus(cluster.PrometheusURL(), query) }).
		Should(BeNumerically(">", 10))
	query = `sum(rate(istio_request_duration_milliseconds_count{destination_workload="app-v1"}[5s]))`
	g.Eventually(func() (float64, error) { return queryPrometheus(cluster.PrometheusURL(), query) }).
		Should(BeNumerically(">", 10))
}

func testUsers(t *testing.T, cluster *localcluster.Cluster) {
	g := NewWithT(t)
	for _, user := range []string{localcluster.OperatorUser, "somebody"} {
		config, err := cluster.ConfigFor(user)
		g.Expect(err).NotTo(HaveOccurred())
		client := kubernetes.NewForConfigOrDie(config)
		_, err = client.CoreV1().Secrets("demo").List(t.Context(), metav1.ListOptions{})
		g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s: %v", user, err)
		g.Expect(err).To(MatchError(ContainSubstring(user)))
	}
}

// testHost goes the way a host's kubectl goes; the listener lives outside, so
// what it gets from here is its connections, not a dial.
func testHost(t *testing.T, cluster *localcluster.Cluster) {
	g := NewWithT(t)
	g.Expect(localcluster.ProxyHost(t.Context(), 0, cluster.APIServerAddr())).To(Succeed())
	g.Expect(localcluster.HostAddr(0)).To(HavePrefix("127.0.0.1:"))
	path := t.TempDir() + "/kubeconfig"
	g.Expect(cluster.WriteKubeconfig(localcluster.AdminUser, path, "https://"+localcluster.HostAddr(0))).To(Succeed())
	content, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(ContainSubstring("server: https://" + localcluster.HostAddr(0)))
}

func testOutage(t *testing.T, kube kubernetes.Interface, cluster *localcluster.Cluster) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	ctx := t.Context()
	g.Expect(cluster.StopPrometheus()).To(Succeed())
	g.Expect(cluster.StopAPIServer()).To(Succeed())
	_, err := kube.CoreV1().Nodes().Get(ctx, localcluster.NodeName, metav1.GetOptions{})
	g.Expect(err).To(HaveOccurred())

	g.Expect(cluster.StartAPIServer(ctx)).To(Succeed())
	g.Expect(cluster.StartPrometheus(ctx)).To(Succeed())
	_, err = kube.CoreV1().Nodes().Get(ctx, localcluster.NodeName, metav1.GetOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	query := `count_over_time(up{job="loadgen"}[1h])`
	g.Eventually(func() (float64, error) { return queryPrometheus(cluster.PrometheusURL(), query) }).
		Should(BeNumerically(">", 2), "data from before the outage")
	// Controllers and the pod runner find their way back.
	scale := []byte(`{"spec":{"replicas":3}}`)
	_, err = kube.AppsV1().Deployments("demo").Patch(ctx, "app-v1", types.MergePatchType, scale, metav1.PatchOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(readyPods(ctx, kube)).WithTimeout(time.Minute).Should(Equal(5))
}

func testHistory(t *testing.T, cluster *localcluster.Cluster) {
	g := NewWithT(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{cluster.EtcdEndpoint()}, DialTimeout: 5 * time.Second})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	versions := 0
	for response := range client.Watch(ctx, "/registry/networking.istio.io/virtualservices/demo/app", clientv3.WithRev(1)) {
		g.Expect(response.Err()).NotTo(HaveOccurred())
		if versions += len(response.Events); versions >= 2 {
			return
		}
	}
	t.Fatalf("saw %d versions of the VirtualService, want both", versions)
}

func queryPrometheus(address, query string) (float64, error) {
	response, err := http.Get(address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("%s: %w", body, err)
	}
	if len(answer.Data.Result) != 1 {
		return 0, fmt.Errorf("%d series: %s", len(answer.Data.Result), body)
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// ServiceCIDR is the range of cluster addresses. Nothing routes it: the mesh's
// clients resolve services through istiod.
const ServiceCIDR = "10.96.0.0/16"

// APIServerAddr returns the API server's address inside, for ProxyHost.
func (c *Cluster) APIServerAddr() string { return c.addrs.apiServer }

// APIServerURL returns the API server's URL inside.
func (c *Cluster) APIServerURL() string { return "https://" + c.addrs.apiServer }

// StartAPIServer starts the API server and waits until it is ready; it keeps
// its address and its data over StopAPIServer. Start has called it already.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	started := time.Now()
	c.mu.Lock()
	running := c.apiServer
	c.mu.Unlock()
	if running != nil {
		return errors.New("the API server is running")
	}
	p, err := c.StartProcess(ctx, ToolAPIServer, c.binaries.APIServer, c.apiServerArgs(), nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.apiServer = p
	c.mu.Unlock()
	client, err := rest.HTTPClientFor(c.AdminConfig())
	if err != nil {
		return fmt.Errorf("make an API client: %w", err)
	}
	defer client.CloseIdleConnections()
	if err := await(ctx, "wait for the API server", p, httpReady(client, c.APIServerURL()+"/readyz")); err != nil {
		return err
	}
	c.say("API server up", started)
	return nil
}

// StopAPIServer kills the API server: requests fail until StartAPIServer.
func (c *Cluster) StopAPIServer() error {
	c.mu.Lock()
	p := c.apiServer
	c.apiServer = nil
	c.mu.Unlock()
	if p == nil {
		return errors.New("the API server is not running")
	}
	return p.Kill()
}

func (c *Cluster) apiServerArgs() []string {
	return append([]string{
		"--etcd-servers=" + c.EtcdEndpoint(),
		"--etcd-compaction-interval=0", // a history checker reads from revision 1
		"--bind-address=127.0.0.1",
		"--secure-port=" + portOf(c.addrs.apiServer),
		"--tls-cert-file=" + c.path("server.crt"),
		"--tls-private-key-file=" + c.path("server.key"),
		"--client-ca-file=" + c.path("ca.crt"),
		"--token-auth-file=" + c.path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("accounts.key"),
		"--service-account-signing-key-file=" + c.path("accounts.key"),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--advertise-address=" + c.nodeIP, // without one it looks for a default route
		"--endpoint-reconciler-type=none", // it listens on loopback, which endpoints refuse
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
		// One machine's tests are not to be throttled.
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=3000",
		"--max-mutating-requests-inflight=1000",
	}, c.options.APIServerArgs...)
}

// controllers are those that a workload under a mesh needs. There is no
// kubelet and no scheduler: the pod runner does their part.
const controllers = "--controllers=deployment-controller,replicaset-controller,endpointslice-controller," +
	"garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller"

func (c *Cluster) startControllerManager(ctx context.Context) error {
	started := time.Now()
	args := append([]string{
		"--kubeconfig=" + c.Kubeconfig(),
		"--bind-address=127.0.0.1",
		"--secure-port=" + portOf(c.addrs.controllerManager),
		"--cert-dir=" + c.path("controller-manager"),
		controllers,
		"--controller-start-interval=0s",
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}, c.options.ControllerManagerArgs...)
	p, err := c.StartProcess(ctx, ToolControllerManager, c.binaries.ControllerManager, args, nil)
	if err != nil {
		return err
	}
	// Its certificate is its own, made at its start; the check sends no secret.
	client := insecureClient()
	defer client.CloseIdleConnections()
	url := "https://" + c.addrs.controllerManager + "/healthz"
	if err := await(ctx, "wait for the controller-manager", p, httpReady(client, url)); err != nil {
		return err
	}
	c.say("controller-manager up", started)
	return nil
}

func insecureClient() *http.Client {
	return &http.Client{Transport: insecureTransport()}
}

package localcluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// istioNamespace is the mesh's root namespace.
const istioNamespace = "istio-system"

// meshConfig leaves out what needs certificates or a cluster's DNS.
const meshConfig = `rootNamespace: istio-system
trustDomain: cluster.local
enableAutoMtls: false
ingressControllerMode: "OFF"
`

// XDSAddr returns the address of istiod's plaintext xDS server.
func (c *Cluster) XDSAddr() string { return c.addrs.istiodXDS }

func (c *Cluster) startIstiod(ctx context.Context) error {
	started := time.Now()
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + istioNamespace + "}\n"
	if err := c.ApplyYAML(ctx, namespace); err != nil {
		return err
	}
	if err := c.Apply(ctx, c.binaries.IstioCRDs); err != nil {
		return fmt.Errorf("install Istio's CRDs: %w", err)
	}
	c.say("Istio's CRDs installed", started)
	started = time.Now()
	for name, content := range map[string]string{"mesh.yaml": meshConfig, "networks.yaml": "networks: {}\n"} {
		if err := os.WriteFile(c.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write Istio's configuration: %w", err)
		}
	}
	p, err := c.StartProcess(ctx, "istiod", c.binaries.Istiod, []string{
		"discovery",
		"--kubeconfig=" + c.Kubeconfig(),
		"--registries=Kubernetes",
		"--meshConfig=" + c.path("mesh.yaml"),
		"--networksConfig=" + c.path("networks.yaml"),
		"--grpcAddr=" + c.addrs.istiodXDS,
		"--httpAddr=" + c.addrs.istiodHTTP,
		"--monitoringAddr=" + c.addrs.istiodMonitoring,
		"--httpsAddr=",
		"--secureGRPCAddr=",
		"--ctrlz_port=0",
		"--kubernetesApiQPS=500",
		"--kubernetesApiBurst=1000",
		"--log_output_level=default:warn,ads:info",
	}, istiodEnv())
	if err != nil {
		return err
	}
	url := "http://" + c.addrs.istiodHTTP + "/ready"
	if err := await(ctx, "wait for istiod", p, httpReady(http.DefaultClient, url)); err != nil {
		return err
	}
	c.say("istiod up", started)
	return nil
}

// istiodEnv switches off what a mesh without sidecars has no use for, and
// makes changes reach the clients fast.
func istiodEnv() []string {
	return []string{
		"POD_NAME=istiod", "POD_NAMESPACE=" + istioNamespace, "CLUSTER_ID=Kubernetes",
		"ENABLE_CA_SERVER=false",
		"PILOT_ENABLE_METADATA_EXCHANGE=false",
		"PILOT_ENABLE_ALPN_FILTER=false",
		"PILOT_ENABLE_ANALYSIS=false",
		"PILOT_ENABLE_STATUS=false",
		"INJECTION_WEBHOOK_CONFIG_NAME=",
		"VALIDATION_WEBHOOK_CONFIG_NAME=",
		"PILOT_DEBOUNCE_AFTER=10ms",
		"PILOT_DEBOUNCE_MAX=100ms",
		"PILOT_ENABLE_EDS_DEBOUNCE=false",
	}
}

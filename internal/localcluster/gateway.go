package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	// gatewayPort is where the gateway's pod listens for what its Service takes
	// at port 80. Envoy listens on all addresses, those of other pods included,
	// so it is one that no demo pod has.
	gatewayPort = 18080
	// gatewayName is the workload that Istio's own charts make.
	gatewayName = "istio-ingressgateway"
)

// gatewayManifest is the part of a gateway's installation that istiod looks at:
// which Gateways it serves follows from the pod's labels, and where it listens from
// its Service.
const gatewayManifest = `
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  selector: {app: %[1]s, istio: ingressgateway}
  ports: [{name: http, port: 80, targetPort: %[3]d}]
---
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
  namespace: %[2]s
  labels: {app: %[1]s, istio: ingressgateway}
spec:
  containers:
  - name: istio-proxy
    image: ` + PauseImage + `
    ports: [{name: http, containerPort: %[3]d}]
`

// Gateway is an Envoy that istiod programs as an ingress gateway: it serves every
// Gateway that selects "istio: ingressgateway", at port 80.
type Gateway struct {
	process *Process
	addr    string
	admin   string
}

// StartGateway runs the cluster's ingress gateway, once, and waits until it has its
// configuration from istiod. The cluster stops it at its own end. The pod runner
// gives it its pod; what serves there is Envoy.
func (c *Cluster) StartGateway(ctx context.Context) (*Gateway, error) {
	started := time.Now()
	if c.binaries.Istiod == "" || c.pods == nil {
		return nil, errors.New("a gateway needs a cluster with Options.Istiod and pods")
	}
	found, err := locateBinaries(ToolEnvoy)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	again := c.gateway
	c.gateway = true
	c.mu.Unlock()
	if again {
		return nil, errors.New("the gateway was started already")
	}
	if err := c.ApplyYAML(ctx, fmt.Sprintf(gatewayManifest, gatewayName, istioNamespace, gatewayPort)); err != nil {
		return nil, fmt.Errorf("install the gateway: %w", err)
	}
	ip, err := c.awaitPodIP(ctx, istioNamespace, gatewayName)
	if err != nil {
		return nil, err
	}
	g := &Gateway{addr: net.JoinHostPort(ip, strconv.Itoa(gatewayPort))}
	if g.admin, err = freeAddr(); err != nil {
		return nil, err
	}
	bootstrap, err := envoyBootstrap(c.XDSAddr(), g.admin, ip)
	if err != nil {
		return nil, err
	}
	if err := writeFileAtomically(c.path("envoy.yaml"), bootstrap, 0o600); err != nil {
		return nil, err
	}
	g.process, err = c.StartProcess(ctx, ToolEnvoy, found.Envoy, []string{
		"--config-path", c.path("envoy.yaml"), "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning",
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, "wait for the gateway", g.process, httpReady(http.DefaultClient, "http://"+g.admin+"/ready")); err != nil {
		return nil, err
	}
	c.say("gateway up", started)
	return g, nil
}

// awaitPodIP waits until istiod can know a pod: it is ready at its address.
func (c *Cluster) awaitPodIP(ctx context.Context, namespace, name string) (ip string, err error) {
	client, err := kubernetes.NewForConfig(c.AdminConfig())
	if err != nil {
		return "", fmt.Errorf("make a client: %w", err)
	}
	err = await(ctx, "wait for pod "+name, nil, func(ctx context.Context) error {
		pod, err := client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if ip = pod.Status.PodIP; ip == "" || pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s/%s is not running", namespace, name)
		}
		return nil
	})
	return ip, err
}

// Addr is where the gateway takes what is sent to port 80 of its Service.
func (g *Gateway) Addr() string { return g.addr }

// Process is the Envoy.
func (g *Gateway) Process() *Process { return g.process }

// Rejected returns the statistics that count resources which Envoy refused to take
// from istiod, as far as they are not zero. Envoy goes on with what it had before,
// so that a refusal shows nowhere else but in its log.
func (g *Gateway) Rejected(ctx context.Context) ([]string, error) {
	content, err := g.stats(ctx, "update_rejected")
	if err != nil {
		return nil, err
	}
	var out []string
	seen := false
	for line := range strings.Lines(content) {
		seen = true
		if line = strings.TrimSpace(line); !strings.HasSuffix(line, ": 0") {
			out = append(out, line)
		}
	}
	if !seen {
		return nil, errors.New("the gateway has no statistics of what it refused")
	}
	return out, nil
}

// stats reads Envoy's statistics whose names match an expression.
func (g *Gateway) stats(ctx context.Context, filter string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/stats?filter="+filter, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("read the gateway's statistics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("read the gateway's statistics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("read the gateway's statistics: it answers %s", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read the gateway's statistics: %w", err)
	}
	return string(content), nil
}

// envoyBootstrap tells Envoy who it is and where its control plane is; all else
// comes from there.
func envoyBootstrap(xdsAddr, adminAddr, ip string) ([]byte, error) {
	admin, err := socketAddress(adminAddr)
	if err != nil {
		return nil, err
	}
	xds, err := socketAddress(xdsAddr)
	if err != nil {
		return nil, err
	}
	ads := map[string]any{"resource_api_version": "V3", "ads": map[string]any{}, "initial_fetch_timeout": "0s"}
	content, err := yaml.Marshal(map[string]any{
		"node": map[string]any{
			"id":      fmt.Sprintf("router~%s~%s.%s~%s.svc.cluster.local", ip, gatewayName, istioNamespace, istioNamespace),
			"cluster": gatewayName + "." + istioNamespace,
			"metadata": map[string]any{
				"NAME": gatewayName, "NAMESPACE": istioNamespace, "CLUSTER_ID": "Kubernetes", "INSTANCE_IPS": ip,
				"ISTIO_VERSION": istioVersion,
				"LABELS":        map[string]any{"app": gatewayName, "istio": "ingressgateway"},
			},
		},
		"admin": map[string]any{"address": admin},
		"dynamic_resources": map[string]any{
			"lds_config": ads, "cds_config": ads,
			"ads_config": map[string]any{
				"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "istiod"}}},
			},
		},
		"static_resources": map[string]any{"clusters": []any{istiodCluster(xds)}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the gateway's bootstrap: %w", err)
	}
	return content, nil
}

// istiodCluster is istiod as Envoy reaches it: HTTP/2 in plaintext.
func istiodCluster(address any) map[string]any {
	return map[string]any{
		"name": "istiod", "type": "STATIC", "connect_timeout": "1s",
		"load_assignment": map[string]any{"cluster_name": "istiod", "endpoints": []any{map[string]any{
			"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": address}}},
		}}},
		"typed_extension_protocol_options": map[string]any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
			},
		},
	}
}

func socketAddress(addr string) (map[string]any, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	return map[string]any{"socket_address": map[string]any{"address": host, "port_value": json.Number(port)}}, nil
}

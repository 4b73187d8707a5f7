package localcluster

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/xds"
)

// xdsResolver makes a proxyless gRPC client of the mesh: listeners, routes,
// clusters and endpoints come from istiod. Every client has an identity of
// its own, hence a resolver of its own instead of the process-wide one.
func xdsResolver(xdsAddr, ip, name, namespace string) (resolver.Builder, error) {
	bootstrap, err := xdsBootstrap(xdsAddr, ip, name, namespace)
	if err != nil {
		return nil, err
	}
	builder, err := xds.NewXDSResolverWithConfigForTesting(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("make an xDS resolver: %w", err)
	}
	return builder, nil
}

// xdsBootstrap is the file that tells a gRPC client where its control plane
// is and who it is there.
func xdsBootstrap(xdsAddr, ip, name, namespace string) ([]byte, error) {
	content, err := json.Marshal(map[string]any{
		"xds_servers": []any{map[string]any{
			"server_uri":      xdsAddr,
			"channel_creds":   []any{map[string]any{"type": "insecure"}},
			"server_features": []string{"xds_v3"},
		}},
		"node": map[string]any{
			"id": fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", ip, name, namespace, namespace),
			"metadata": map[string]any{
				"GENERATOR": "grpc", "CLUSTER_ID": "Kubernetes", "NAMESPACE": namespace, "INSTANCE_IPS": ip,
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the xDS bootstrap: %w", err)
	}
	return content, nil
}

// destination is the service that a target names.
type destination struct{ host, name, namespace string }

// parseTarget reads "xds:///app.demo.svc.cluster.local:80".
func parseTarget(target string) (destination, error) {
	u, err := url.Parse(target)
	if err != nil {
		return destination{}, fmt.Errorf("target %q: %w", target, err)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
	parts := strings.Split(host, ".")
	if u.Scheme != "xds" || len(parts) < 3 || parts[2] != "svc" {
		return destination{}, fmt.Errorf("target %q: want xds:///NAME.NAMESPACE.svc.cluster.local:PORT", target)
	}
	return destination{host: host, name: parts[0], namespace: parts[1]}, nil
}

package demo_test

import (
	"slices"
	"strings"
	"testing"

	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/demo"
)

// Both routes must be ones that the Rollout moves, each with a port of its own.
func TestGatewayRouting(t *testing.T) {
	for services, want := range map[bool][]string{false: {"app/stable", "app/canary"}, true: {"app-stable/", "app-canary/"}} {
		s := demo.Service{Namespace: "shop", Name: "app", Version: "v1", Gateway: true, Services: services}
		rollout, err := s.Rollout()
		if err != nil {
			t.Fatal(err)
		}
		routes := rollout.Spec.Traffic.Istio.VirtualServices[0].Routes
		vs := virtualServiceOf(t, s.RoutingYAML())
		if !slices.Contains(vs.Spec.Hosts, s.Host()) || !slices.Contains(vs.Spec.Gateways, "mesh") {
			t.Errorf("services=%t: hosts %v, gateways %v", services, vs.Spec.Hosts, vs.Spec.Gateways)
		}
		var names []string
		for i, route := range vs.Spec.Http {
			names = append(names, route.Name)
			for j, d := range route.Route {
				if got := d.Destination.Host + "/" + d.Destination.Subset; got != want[j] {
					t.Errorf("services=%t: destination %d of %s is %s, want %s", services, j, route.Name, got, want[j])
				}
				if port := []uint32{8000, 80}[i]; d.Destination.Port.GetNumber() != port {
					t.Errorf("services=%t: port %d of %s, want %d", services, d.Destination.Port.GetNumber(), route.Name, port)
				}
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, routes) {
			t.Errorf("services=%t: routes %v, and the Rollout moves %v", services, names, routes)
		}
		if ports := string(rollout.Spec.Workload.Template.Raw); !strings.Contains(ports, `"http"`) {
			t.Errorf("no HTTP port in %s", ports)
		}
	}
}

func virtualServiceOf(t *testing.T, manifest string) *istionetworking.VirtualService {
	t.Helper()
	for _, document := range strings.Split(manifest, "---\n") {
		if !strings.Contains(document, "kind: VirtualService\n") {
			continue
		}
		vs := &istionetworking.VirtualService{}
		if err := yaml.Unmarshal([]byte(document), vs); err != nil {
			t.Fatal(err)
		}
		return vs
	}
	t.Fatalf("no VirtualService in:\n%s", manifest)
	return nil
}

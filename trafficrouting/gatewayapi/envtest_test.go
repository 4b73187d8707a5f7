package gatewayapi_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting/gatewayapi"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

var apiServer = envtest.Shared{CRDs: envtest.AllCRDs}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(apiServer.Run(m))
}

// gateway is a namespace of the API server with routes and Services in it.
type gateway struct{ *onserver.Namespace }

// newGateway makes a namespace and, in it, the two Services and the objects of the
// YAML documents.
func newGateway(t *testing.T, routes []v1alpha1.GatewayAPIRoute, documents ...string) *gateway {
	t.Helper()
	return newGatewayOn(t, apiServer.Config(t), routes, documents...)
}

func newGatewayOn(t *testing.T, config *rest.Config, routes []v1alpha1.GatewayAPIRoute, documents ...string) *gateway {
	t.Helper()
	g := &gateway{onserver.New(t, config, newScheme(t), append([]string{stableService, canaryService}, documents...)...)}
	g.Target.Traffic.GatewayAPI = &v1alpha1.GatewayAPITraffic{
		Routes:   routes,
		Services: v1alpha1.GatewayAPIServices{Stable: "checkout", Canary: "checkout-canary"},
	}
	g.Router = mux.New(gatewayapi.Backend(g.Client))
	return g
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gatewayapi.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

var at = onserver.At

// named names a route and its rules. The schema fills in the kind otherwise.
func named(kind v1alpha1.GatewayAPIRouteKind, name string, rules ...string) v1alpha1.GatewayAPIRoute {
	return v1alpha1.GatewayAPIRoute{Kind: kind, Name: name, Rules: rules}
}

func (g *gateway) weights(kind, route string, rule int) []int64 {
	g.T.Helper()
	var weights []int64
	for _, b := range at(g.Get(kind, route).Object, "spec", "rules", rule, "backendRefs").([]any) {
		weights = append(weights, b.(map[string]any)["weight"].(int64))
	}
	return weights
}

func (g *gateway) wantWeights(kind, route string, rule int, want ...int64) {
	g.T.Helper()
	if diff := cmp.Diff(want, g.weights(kind, route, rule)); diff != "" {
		g.T.Errorf("weights of %s %s, rule %d (-want +got):\n%s", kind, route, rule, diff)
	}
}

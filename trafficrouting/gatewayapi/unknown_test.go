package gatewayapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
)

const futureRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec:
  future: {kept: [1, two, {three: 3}]}
  parentRefs: [{name: public, future: yes please}]
  rules:
  - name: primary
    future: {kept: yes please}
    backendRefs:
    - {name: checkout, port: 80, weight: 100, future: 1.25}
    - {name: checkout-canary, port: 80, weight: 0, future: [true]}
    - {name: legacy, port: 80, weight: 25, future: {}}
`

// TestFieldsOfALaterGatewayAPISurvive works on an API server whose Gateway API has
// fields that this build does not know.
func TestFieldsOfALaterGatewayAPISurvive(t *testing.T) {
	path, err := envtest.GatewayCRDs()
	if err != nil {
		t.Fatal(err)
	}
	config := envtest.Start(t, onserver.LaterCRDs(t, path, "httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io"))
	g := newGatewayOn(t, config, []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout", "primary")}, futureRoute)
	before := g.foreign()
	if value := at(g.Get("HTTPRoute", "checkout").Object, "spec", "rules", 0, "backendRefs", 0, "future"); value != 1.25 {
		t.Fatalf("the API server does not keep unknown fields: %v", value)
	}
	g.MustApply("a", "b", 30)
	g.MustApply("b", "b", 100)
	g.wantWeights("HTTPRoute", "checkout", 0, 0, 100, 25)
	if diff := cmp.Diff(before, g.foreign()); diff != "" {
		t.Errorf("applied (-before +after):\n%s", diff)
	}
	if err := g.Router.Release(t.Context(), g.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, g.foreign()); diff != "" {
		t.Errorf("released (-before +after):\n%s", diff)
	}
}

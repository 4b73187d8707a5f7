package istio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
)

const (
	futureDestinationRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout}
spec:
  host: checkout
  future: {kept: [1, two, {three: 3}]}
  subsets:
  - {name: stable, future: 1.25}
  - {name: canary, labels: {app: checkout}, future: [true]}
`
	futureVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout}
spec:
  hosts: [checkout]
  future: {kept: [1, two, {three: 3}]}
  http:
  - future: {kept: yes please}
    route:
    - destination: {host: checkout, subset: stable, future: 1.25}
      weight: 100
      future: [true]
    - destination: {host: checkout, subset: canary}
      future: {}
`
)

// laterCRDs are Istio's, of which fields that they do not describe are kept.
func laterCRDs(t *testing.T) string {
	t.Helper()
	path, err := envtest.IstioCRDs()
	if err != nil {
		t.Fatal(err)
	}
	return onserver.LaterCRDs(t, path, "virtualservices.networking.istio.io", "destinationrules.networking.istio.io")
}

// TestFieldsOfALaterIstioSurvive works on an API server whose Istio has fields
// that this build does not know.
func TestFieldsOfALaterIstioSurvive(t *testing.T) {
	m := newMeshOn(t, envtest.Start(t, laterCRDs(t)), subsets(named("checkout")), futureDestinationRule, futureVirtualService)
	before := m.foreign()
	for what, value := range map[string]any{
		"VirtualService":  at(m.Get("VirtualService", "checkout").Object, "spec", "http", 0, "route", 0, "destination", "future"),
		"DestinationRule": at(m.Get("DestinationRule", "checkout").Object, "spec", "subsets", 0, "future"),
	} {
		if value != 1.25 {
			t.Fatalf("%s: the API server does not keep unknown fields: %v", what, value)
		}
	}
	m.MustApply("a", "b", 30)
	m.MustApply("b", "b", 100)
	m.wantWeights("checkout", 0, 0, 100)
	if diff := cmp.Diff(before, m.foreign()); diff != "" {
		t.Errorf("applied (-before +after):\n%s", diff)
	}
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.foreign()); diff != "" {
		t.Errorf("released (-before +after):\n%s", diff)
	}
}

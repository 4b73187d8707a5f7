package istio_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
)

// elsewhere makes a mesh whose VirtualService is in a namespace of its own, and
// returns that namespace's name.
func elsewhere(t *testing.T) (m *mesh, namespace string) {
	t.Helper()
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "gateways-"}}
	ref := named("checkout")
	m = newMesh(t, subsets(ref), destinationRule)
	if err := m.Admin.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	m.Create(strings.ReplaceAll(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout, namespace: OTHER}
spec:
  hosts: [shop.example.com]
  http:
  - route:
    - {destination: {host: checkout.NAMESPACE.svc.cluster.local, subset: stable}, weight: 100}
    - {destination: {host: checkout.NAMESPACE.svc.cluster.local, subset: canary}}
`, "OTHER", other.Name))
	m.Target.Traffic.Istio.VirtualServices[0].Namespace = other.Name
	return m, other.Name
}

func (m *mesh) grant(namespace, name, from, to string) {
	m.T.Helper()
	m.Create(`
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: ` + name + `, namespace: ` + namespace + `}
spec: {from: [` + from + `], to: [` + to + `]}`)
}

// TestAnotherNamespaceMustPermit goes through grants that do not say enough, takes
// the problem at its word, and takes the grant away again.
func TestAnotherNamespaceMustPermit(t *testing.T) {
	m, namespace := elsewhere(t)
	const virtualServices = "{group: networking.istio.io, kind: VirtualService}"
	rollouts := "{group: sluice.dev, kind: Rollout, namespace: " + m.Name + "}"
	claim := istio.Claims(m.Name, m.Target.Traffic)[0]
	permits := istio.Backend(m.Client).Permits
	denied := func(when string) string {
		t.Helper()
		state, err := m.Router.Observe(t.Context(), m.Target)
		onserver.WantProblem(t, err, v1alpha1.ReasonReferenceNotPermitted, "create there\n")
		onserver.WantProblem(t, m.Apply("a", "b", 20), v1alpha1.ReasonReferenceNotPermitted, "kind: ReferenceGrant")
		if state.MaxWeight != 0 {
			t.Errorf("%s: observed %+v", when, state)
		}
		if permitted, err := permits(t.Context(), m.Name, claim); permitted || err != nil {
			t.Errorf("%s: permitted %t, %v", when, permitted, err)
		}
		_, grant, _ := strings.Cut(err.Error(), "create there\n")
		return grant
	}
	denied("no grant")
	m.grant(namespace, "another-kind", rollouts, "{group: networking.istio.io, kind: DestinationRule}")
	m.grant(namespace, "another-name", rollouts, "{group: networking.istio.io, kind: VirtualService, name: basket}")
	m.grant(namespace, "another-namespace", "{group: sluice.dev, kind: Rollout, namespace: other}", virtualServices)
	m.grant(namespace, "another-group", "{group: example.com, kind: Rollout, namespace: "+m.Name+"}", virtualServices)
	m.grant(m.Name, "in-the-wrong-place", rollouts, virtualServices)
	written := denied("grants of other things")

	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(written), &parsed); err != nil {
		t.Fatalf("%v in:\n%s", err, written)
	}
	m.Create(written)
	m.MustApply("a", "b", 20)
	if permitted, err := permits(t.Context(), m.Name, claim); !permitted || err != nil {
		t.Errorf("permitted %t, %v", permitted, err)
	}
	if permitted, _ := permits(t.Context(), "somebody-else", claim); permitted {
		t.Error("somebody else is permitted too")
	}
	state, err := m.Router.Observe(t.Context(), m.Target)
	if err != nil || !state.Uniform(20) {
		t.Errorf("observed %+v, %v", state, err)
	}

	grant := onserver.Object("ReferenceGrant")
	grant.SetNamespace(namespace)
	grant.SetName("sluice")
	if err := m.Admin.Delete(t.Context(), grant); err != nil {
		t.Fatal(err)
	}
	denied("the grant was taken away")
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
		t.Errorf("a grant that is gone keeps the Rollout: %v", err)
	}
}

// TestAnotherNamespaceIsGivenBack holds that Release goes where Apply went, and that
// a short name over there is not this service.
func TestAnotherNamespaceIsGivenBack(t *testing.T) {
	m, namespace := elsewhere(t)
	m.grant(namespace, "all", "{group: sluice.dev, kind: Rollout, namespace: "+m.Name+"}",
		"{group: networking.istio.io, kind: VirtualService, name: checkout}")
	m.MustApply("a", "b", 60)
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	if state, err := m.Router.Observe(t.Context(), m.Target); err != nil || !state.Uniform(0) || state.Canary != "" {
		t.Errorf("observed %+v, %v", state, err)
	}
	vs := onserver.Object("VirtualService")
	vs.SetNamespace(namespace)
	vs.SetName("short")
	vs.Object["spec"] = map[string]any{"hosts": []any{"a"}, "http": []any{map[string]any{"route": []any{
		map[string]any{"destination": map[string]any{"host": "checkout", "subset": "stable"}},
	}}}}
	if err := m.Admin.Create(t.Context(), vs); err != nil {
		t.Fatal(err)
	}
	m.grant(namespace, "short", "{group: sluice.dev, kind: Rollout, namespace: "+m.Name+"}",
		"{group: networking.istio.io, kind: VirtualService}")
	m.Target.Traffic.Istio.VirtualServices[0].Name = "short"
	_, err := m.Router.Observe(t.Context(), m.Target)
	onserver.WantProblem(t, err, v1alpha1.ReasonRouteMissing, "host: checkout."+m.Name+".svc.cluster.local\n")
}

package istio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
)

func inNamespace(namespace string) client.ListOption { return client.InNamespace(namespace) }

// twoVirtualServices is a mesh with three routes in two VirtualServices.
func twoVirtualServices(t *testing.T) *mesh {
	t.Helper()
	return newMesh(t, subsets(named("checkout", "primary"), named("checkout-public", "one", "two")),
		destinationRule, subsetVirtualService, secondVirtualService)
}

func TestBindingsAreWrittenBeforeWeights(t *testing.T) {
	m := twoVirtualServices(t)
	m.mustApply("a", "b", 20)
	var order []string
	for _, patch := range m.patches {
		order = append(order, strings.Fields(patch)[0])
		if !strings.Contains(patch, `{"op":"test","path":"/metadata/resourceVersion"`) {
			t.Errorf("unguarded: %s", patch)
		}
	}
	// The DestinationRule and the first VirtualService have the same name.
	if diff := cmp.Diff([]string{"checkout", "checkout", "checkout-public"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(m.patches[0], "/spec/subsets/") {
		t.Errorf("the first write is %s", m.patches[0])
	}
	m.wantWeights("checkout", 1, 80, 20)
	m.wantWeights("checkout-public", 0, 720, 180, 100)
	m.wantWeights("checkout-public", 1, 20, 80)
}

func TestReturningIsOneRequestPerVirtualService(t *testing.T) {
	m := twoVirtualServices(t)
	m.mustApply("a", "b", 20)
	before := m.writes()
	m.mustApply("a", "b", 0)
	if n := m.writes() - before; n != 2 {
		t.Errorf("%d requests for 2 VirtualServices", n)
	}
	m.wantWeights("checkout", 1, 100, 0)
	m.wantWeights("checkout-public", 0, 900, 0, 100)
	m.wantWeights("checkout-public", 1, 0, 100)
}

func TestOneVirtualServiceThatFailsKeepsNoOtherBack(t *testing.T) {
	m := twoVirtualServices(t)
	m.mustApply("a", "b", 20)
	m.beforeWrite(func(n int) error {
		if n == 1 {
			return errDown
		}
		return nil
	})
	if err := m.apply("a", "b", 0); !errors.Is(err, errDown) {
		t.Errorf("error: %v", err)
	}
	m.wantWeights("checkout", 1, 80, 20)
	m.wantWeights("checkout-public", 0, 900, 0, 100)
	state, err := m.router.Observe(t.Context(), m.target)
	want := trafficrouting.State{Stable: "a", Canary: "b", MinWeight: 0, MaxWeight: 20, Programmed: trafficrouting.ProgrammedUnknown}
	if err != nil || state != want {
		t.Errorf("observed %+v, %v", state, err)
	}
}

func TestAMissingVirtualServiceKeepsNoOtherBack(t *testing.T) {
	m := twoVirtualServices(t)
	m.mustApply("a", "b", 20)
	m.delete("VirtualService", "checkout")
	wantProblem(t, m.apply("a", "b", 0), v1alpha1.ReasonObjectMissing, "checkout")
	m.wantWeights("checkout-public", 1, 0, 100)
	state, err := m.router.Observe(t.Context(), m.target)
	wantProblem(t, err, v1alpha1.ReasonObjectMissing, "checkout")
	if !state.Uniform(0) || state.Canary != "b" {
		t.Errorf("observed %+v", state)
	}
}

func TestConflictsAreConflicts(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.mustApply("a", "b", 20)
	for _, c := range []struct{ kind, name, stable string }{
		{"VirtualService", "checkout", "a"},
		{"Service", "checkout", "z"},
	} {
		m.beforeWrite(func(n int) error {
			if n == 1 {
				m.edit(c.kind, c.name, func(object map[string]any) {
					at(object, "metadata").(map[string]any)["labels"] = map[string]any{"somebody": "else"}
				})
			}
			return nil
		})
		err := m.apply(c.stable, "b", 50)
		m.beforeWrite(nil)
		if !istio.IsConflict(err) || !apierrors.IsConflict(err) {
			t.Errorf("%s: error: %v", c.kind, err)
		}
		if got := m.get(c.kind, c.name).GetLabels()["somebody"]; got != "else" {
			t.Errorf("%s: the edit between is lost", c.kind)
		}
	}
}

func TestARejectedObjectIsNoConflict(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	err := m.apply("a", "not a label", 50)
	if !apierrors.IsInvalid(err) || istio.IsConflict(err) {
		t.Errorf("error: %v", err)
	}
	m.wantWeights("checkout", 0, 0, 100)
}

func TestOtherRoutesSubsetsAndFieldsAreNotTouched(t *testing.T) {
	m := newMesh(t, subsets(named("checkout", "primary")), destinationRule, subsetVirtualService)
	m.mustApply("a", "b", 20)
	m.wantWeights("checkout", 0, -1)
	m.wantWeights("checkout", 1, 80, 20)
	dr := m.get("DestinationRule", "checkout").Object
	want := []any{
		map[string]any{"name": "old", "labels": map[string]any{"version": "v0"}},
		map[string]any{"name": "canary", "labels": map[string]any{"pod-template-hash": "b"}},
		map[string]any{
			"name": "stable", "labels": map[string]any{"app": "checkout", "pod-template-hash": "a"},
			"trafficPolicy": map[string]any{"loadBalancer": map[string]any{"simple": "LEAST_REQUEST"}},
		},
	}
	if diff := cmp.Diff(want, at(dr, "spec", "subsets")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if manager := m.get("VirtualService", "checkout").GetManagedFields(); manager[len(manager)-1].Manager != istio.FieldManager {
		t.Errorf("managed by %+v", manager)
	}
}

func TestADeletedServiceDoesNotKeepTrafficFromStable(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.mustApply("a", "b", 50)
	m.delete("Service", "checkout-canary")
	wantProblem(t, m.apply("a", "b", 60), v1alpha1.ReasonObjectMissing, "checkout-canary")
	m.wantWeights("checkout", 0, 50, 50)
	wantProblem(t, m.apply("a", "b", 0), v1alpha1.ReasonObjectMissing, "checkout-canary")
	m.wantWeights("checkout", 0, 0, 100)
}

func TestReleaseLeavesTrafficWhereItIsServed(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.mustApply("a", "b", 50)
	m.delete("Service", "checkout")
	if err := m.router.Release(t.Context(), m.target); err != nil {
		t.Fatal(err)
	}
	m.wantWeights("checkout", 0, 50, 50)
	if selector, ok := at(m.get("Service", "checkout-canary").Object, "spec").(map[string]any)["selector"]; ok {
		t.Errorf("the selector is %v", selector)
	}
}

func TestReleaseWithoutDestinationRule(t *testing.T) {
	m := newMesh(t, subsets(named("checkout", "primary", "gone")), destinationRule, subsetVirtualService)
	_ = m.apply("a", "b", 50) // A route that is missing is no matter here.
	m.delete("DestinationRule", "checkout")
	if err := m.router.Release(t.Context(), m.target); err != nil {
		t.Fatal(err)
	}
	m.wantWeights("checkout", 1, 100, 0)
}

func TestProblemsSayWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		name      string
		traffic   v1alpha1.IstioTraffic
		documents []string
		reason    string
		says      string
	}{
		{"no VirtualService", subsets(named("lost")), []string{destinationRule},
			v1alpha1.ReasonObjectMissing, "lost does not exist"},
		{"no DestinationRule", subsets(named("checkout", "primary")), []string{subsetVirtualService},
			v1alpha1.ReasonObjectMissing, "DestinationRule"},
		{"no subset", v1alpha1.IstioTraffic{
			VirtualServices: []v1alpha1.IstioVirtualService{named("checkout", "primary")},
			DestinationRule: &v1alpha1.IstioDestinationRule{Name: "checkout", CanarySubset: "next"},
		}, []string{destinationRule, subsetVirtualService}, v1alpha1.ReasonDestinationMissing, "spec.subsets:\n- name: next"},
		{"several routes", subsets(named("checkout")), []string{destinationRule, subsetVirtualService},
			v1alpha1.ReasonRouteMissing, "admin, primary"},
		{"no such route", subsets(named("checkout", "prime")), []string{destinationRule, subsetVirtualService},
			v1alpha1.ReasonRouteMissing, `"prime"`},
		{"no destination", subsets(named("checkout", "admin")), []string{destinationRule, subsetVirtualService},
			v1alpha1.ReasonDestinationMissing, "- destination:\n    host: checkout\n    subset: stable\n  weight: 100"},
		{"neither kind", v1alpha1.IstioTraffic{}, nil, v1alpha1.ReasonInvalidSpec, "exactly one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t, c.traffic, c.documents...)
			_, err := m.router.Observe(t.Context(), m.target)
			wantProblem(t, err, c.reason, c.says)
			wantProblem(t, m.apply("a", "b", 20), c.reason, c.says)
			if err := m.router.Release(t.Context(), m.target); err != nil {
				t.Errorf("release: %v", err)
			}
		})
	}
}

func wantProblem(t *testing.T, err error, reason, says string) {
	t.Helper()
	problem := trafficrouting.AsProblem(err)
	if problem == nil {
		t.Fatalf("error %v is no problem", err)
	}
	if problem.Reason != reason || !strings.Contains(problem.Message, says) {
		t.Errorf("problem is %v, want %s with %q", problem, reason, says)
	}
}

func TestRefs(t *testing.T) {
	got := map[string][]istio.Ref{}
	for name, traffic := range map[string]v1alpha1.IstioTraffic{
		"subsets": subsets(named("a"), named("b", "x")), "services": services(named("a")),
	} {
		got[name] = istio.Refs(v1alpha1.Traffic{Istio: &traffic})
	}
	want := map[string][]istio.Ref{
		"subsets":  {{Kind: "VirtualService", Name: "a"}, {Kind: "VirtualService", Name: "b"}, {Kind: "DestinationRule", Name: "checkout"}},
		"services": {{Kind: "VirtualService", Name: "a"}, {Kind: "Service", Name: "checkout"}, {Kind: "Service", Name: "checkout-canary"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if refs := istio.Refs(v1alpha1.Traffic{}); refs != nil {
		t.Errorf("refs of nothing: %v", refs)
	}
	for kind, obj := range map[string]client.Object{
		"VirtualService/x":  &networkingv1.VirtualService{},
		"DestinationRule/x": &networkingv1.DestinationRule{},
		"Service/x":         &corev1.Service{},
	} {
		obj.SetName("x")
		if ref, ok := istio.RefOf(obj); !ok || ref.String() != kind {
			t.Errorf("%s: %v, %t", kind, ref, ok)
		}
	}
	if ref, ok := istio.RefOf(&corev1.Pod{}); ok {
		t.Errorf("a pod is %v", ref)
	}
	for _, obj := range istio.Watched() {
		if _, ok := istio.RefOf(obj); !ok {
			t.Errorf("%T is watched and has no ref", obj)
		}
	}
}

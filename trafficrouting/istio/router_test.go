package istio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
)

// twoVirtualServices is a mesh with three routes in two VirtualServices.
func twoVirtualServices(t *testing.T) *mesh {
	t.Helper()
	return newMesh(t, subsets(named("checkout", "primary"), named("checkout-public", "one", "two")),
		destinationRule, subsetVirtualService, secondVirtualService)
}

func TestBindingsAreWrittenBeforeWeights(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 20)
	var order []string
	for _, patch := range m.Patches() {
		order = append(order, strings.Fields(patch)[0])
		if !strings.Contains(patch, `{"op":"test","path":"/metadata/resourceVersion"`) {
			t.Errorf("unguarded: %s", patch)
		}
	}
	// The DestinationRule and the first VirtualService have the same name.
	if diff := cmp.Diff([]string{"checkout", "checkout", "checkout-public"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(m.Patches()[0], "/spec/subsets/") {
		t.Errorf("the first write is %s", m.Patches()[0])
	}
	m.wantWeights("checkout", 1, 80, 20)
	m.wantWeights("checkout-public", 0, 720, 180, 100)
	m.wantWeights("checkout-public", 1, 20, 80)
}

func TestReturningIsOneRequestPerVirtualService(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 20)
	before := m.Writes()
	m.MustApply("a", "b", 0)
	if n := m.Writes() - before; n != 2 {
		t.Errorf("%d requests for 2 VirtualServices", n)
	}
	m.wantWeights("checkout", 1, 100, 0)
	m.wantWeights("checkout-public", 0, 900, 0, 100)
	m.wantWeights("checkout-public", 1, 0, 100)
}

func TestOneVirtualServiceThatFailsKeepsNoOtherBack(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 20)
	m.BeforeWrite(func(n int) error {
		if n == 1 {
			return errDown
		}
		return nil
	})
	if err := m.Apply("a", "b", 0); !errors.Is(err, errDown) {
		t.Errorf("error: %v", err)
	}
	m.wantWeights("checkout", 1, 80, 20)
	m.wantWeights("checkout-public", 0, 900, 0, 100)
	state, err := m.Router.Observe(t.Context(), m.Target)
	want := trafficrouting.State{Stable: "a", Canary: "b", MinWeight: 0, MaxWeight: 20, Programmed: trafficrouting.ProgrammedUnknown}
	if err != nil || state != want {
		t.Errorf("observed %+v, %v", state, err)
	}
}

func TestAMissingVirtualServiceKeepsNoOtherBack(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 20)
	m.Delete("VirtualService", "checkout")
	onserver.WantProblem(t, m.Apply("a", "b", 0), v1alpha1.ReasonObjectMissing, "checkout")
	m.wantWeights("checkout-public", 1, 0, 100)
	state, err := m.Router.Observe(t.Context(), m.Target)
	onserver.WantProblem(t, err, v1alpha1.ReasonObjectMissing, "checkout")
	if !state.Uniform(0) || state.Canary != "b" {
		t.Errorf("observed %+v", state)
	}
}

func TestConflictsAreConflicts(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.MustApply("a", "b", 20)
	for _, c := range []struct{ kind, name, stable string }{
		{"VirtualService", "checkout", "a"},
		{"Service", "checkout", "z"},
	} {
		m.BeforeWrite(func(n int) error {
			if n == 1 {
				m.Edit(c.kind, c.name, func(object map[string]any) {
					at(object, "metadata").(map[string]any)["labels"] = map[string]any{"somebody": "else"}
				})
			}
			return nil
		})
		err := m.Apply(c.stable, "b", 50)
		m.BeforeWrite(nil)
		if !istio.IsConflict(err) || !apierrors.IsConflict(err) {
			t.Errorf("%s: error: %v", c.kind, err)
		}
		if got := m.Get(c.kind, c.name).GetLabels()["somebody"]; got != "else" {
			t.Errorf("%s: the edit between is lost", c.kind)
		}
	}
}

func TestARejectedObjectIsNoConflict(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	err := m.Apply("a", "not a label", 50)
	if !apierrors.IsInvalid(err) || istio.IsConflict(err) {
		t.Errorf("error: %v", err)
	}
	m.wantWeights("checkout", 0, 0, 100)
}

func TestOtherRoutesSubsetsAndFieldsAreNotTouched(t *testing.T) {
	m := newMesh(t, subsets(named("checkout", "primary")), destinationRule, subsetVirtualService)
	m.MustApply("a", "b", 20)
	m.wantWeights("checkout", 0, -1)
	m.wantWeights("checkout", 1, 80, 20)
	dr := m.Get("DestinationRule", "checkout").Object
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
	if manager := m.Get("VirtualService", "checkout").GetManagedFields(); manager[len(manager)-1].Manager != istio.FieldManager {
		t.Errorf("managed by %+v", manager)
	}
}

func TestADeletedServiceDoesNotKeepTrafficFromStable(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.MustApply("a", "b", 50)
	m.Delete("Service", "checkout-canary")
	onserver.WantProblem(t, m.Apply("a", "b", 60), v1alpha1.ReasonObjectMissing, "checkout-canary")
	m.wantWeights("checkout", 0, 50, 50)
	onserver.WantProblem(t, m.Apply("a", "b", 0), v1alpha1.ReasonObjectMissing, "checkout-canary")
	m.wantWeights("checkout", 0, 0, 100)
}

func TestReleaseLeavesTrafficWhereItIsServed(t *testing.T) {
	m := newMesh(t, services(named("checkout")), stableService, canaryService, hostVirtualService)
	m.MustApply("a", "b", 50)
	m.Delete("Service", "checkout")
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	m.wantWeights("checkout", 0, 50, 50)
	if selector, ok := at(m.Get("Service", "checkout-canary").Object, "spec").(map[string]any)["selector"]; ok {
		t.Errorf("the selector is %v", selector)
	}
}

func TestReleaseWithoutDestinationRule(t *testing.T) {
	m := newMesh(t, subsets(named("checkout", "primary", "gone")), destinationRule, subsetVirtualService)
	_ = m.Apply("a", "b", 50) // A route that is missing is no matter here.
	m.Delete("DestinationRule", "checkout")
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
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
		{"no route that sends here", services(named("checkout")), []string{stableService, canaryService, subsetVirtualService},
			v1alpha1.ReasonDestinationMissing, "no canary destination"},
		{"no such route", subsets(named("checkout", "prime")), []string{destinationRule, subsetVirtualService},
			v1alpha1.ReasonRouteMissing, `"prime"`},
		{"no destination", subsets(named("checkout", "admin")), []string{destinationRule, subsetVirtualService},
			v1alpha1.ReasonDestinationMissing, "- destination:\n    host: checkout\n    subset: stable\n  weight: 100"},
		{"neither kind", v1alpha1.IstioTraffic{}, nil, v1alpha1.ReasonInvalidSpec, "exactly one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t, c.traffic, c.documents...)
			_, err := m.Router.Observe(t.Context(), m.Target)
			onserver.WantProblem(t, err, c.reason, c.says)
			onserver.WantProblem(t, m.Apply("a", "b", 20), c.reason, c.says)
			if err := m.Router.Release(t.Context(), m.Target); err != nil {
				t.Errorf("release: %v", err)
			}
		})
	}
}

func TestRefs(t *testing.T) {
	const here, there = "shop", "mesh"
	elsewhere := named("c")
	elsewhere.Namespace = there
	for _, c := range []struct {
		traffic       v1alpha1.IstioTraffic
		claims, reads []string
	}{
		{subsets(named("a"), named("b", "x")), []string{"VirtualService/shop/a", "VirtualService/shop/b", "DestinationRule/shop/checkout"}, nil},
		{services(named("a")), []string{"VirtualService/shop/a", "Service/shop/checkout", "Service/shop/checkout-canary"}, nil},
		{subsets(elsewhere), []string{"VirtualService/mesh/c", "DestinationRule/shop/checkout"}, []string{"ReferenceGrant/mesh/"}},
	} {
		traffic := v1alpha1.Traffic{Istio: &c.traffic}
		if diff := cmp.Diff(c.claims, refStrings(istio.Claims(here, traffic))); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(c.reads, refStrings(istio.Reads(here, traffic))); diff != "" {
			t.Errorf("reads (-want +got):\n%s", diff)
		}
	}
	if refs := istio.Claims(here, v1alpha1.Traffic{}); refs != nil {
		t.Errorf("claims of nothing: %v", refs)
	}
}

func refStrings(refs []trafficrouting.Ref) []string {
	var all []string
	for _, ref := range refs {
		all = append(all, ref.String())
	}
	return all
}

// TestKinds holds that each kind names its objects as the refs do, and tells what
// matters in them from what does not.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, kind := range istio.Kinds() {
		before, ok := kind.Object.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatalf("%T is no object", kind.Object)
		}
		before.SetNamespace("shop")
		before.SetName("x")
		names[kind.RefOf(before).String()] = true
		after := before.DeepCopyObject().(client.Object)
		after.SetResourceVersion("2")
		after.SetLabels(map[string]string{"a": "b"})
		if kind.Changed(before, after) {
			t.Errorf("%T: a label is a change", kind.Object)
		}
		if service, ok := after.(*corev1.Service); ok {
			service.Spec.Selector = map[string]string{"app": "a"}
		}
		after.SetGeneration(2)
		if !kind.Changed(before, after) {
			t.Errorf("%T: another spec is no change", kind.Object)
		}
	}
	want := map[string]bool{
		"VirtualService/shop/x": true, "DestinationRule/shop/x": true, "Service/shop/x": true, "ReferenceGrant/shop/": true,
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

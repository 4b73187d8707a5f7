package edit

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const service = "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\nspec: "

// parse reads a Service from YAML, with the JSON that it is.
func parse(t *testing.T, spec string) (*corev1.Service, []byte) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(service + spec))
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Service{}
	if err := json.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return s, raw
}

// wantSpec applies c to raw, as an API server does, and compares.
func wantSpec(t *testing.T, raw []byte, c Change, want string) {
	t.Helper()
	out := raw
	if len(c.Ops) > 0 {
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(data)
		if err != nil {
			t.Fatal(err)
		}
		if out, err = patch.Apply(raw); err != nil {
			t.Fatalf("apply %s: %v", data, err)
		}
	}
	var got, wanted any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(service+want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSelectorBinding(t *testing.T) {
	for _, c := range []struct{ before, bound, unbound string }{
		{
			"{selector: {app.kubernetes.io/name: a}, ports: [{port: 80}]}",
			"{selector: {app.kubernetes.io/name: a, pod-template-hash: new}, ports: [{port: 80}]}",
			"{selector: {app.kubernetes.io/name: a}, ports: [{port: 80}]}",
		},
		{"{ports: [{port: 80}]}", "{selector: {pod-template-hash: new}, ports: [{port: 80}]}", "{ports: [{port: 80}]}"},
		{"{selector: {pod-template-hash: old, a: b}}", "{selector: {pod-template-hash: new, a: b}}", "{selector: {a: b}}"},
		{"{selector: {pod-template-hash: new, a: b}}", "{selector: {pod-template-hash: new, a: b}}", "{selector: {a: b}}"},
	} {
		s, raw := parse(t, c.before)
		wantSpec(t, raw, SelectorBinding(s).Bind("new"), c.bound)
		s, raw = parse(t, c.bound)
		wantSpec(t, raw, SelectorBinding(s).Unbind(), c.unbound)
		s, raw = parse(t, c.unbound)
		wantSpec(t, raw, SelectorBinding(s).Unbind(), c.unbound)
	}
}

func TestAMissingDestination(t *testing.T) {
	var missing *Binding
	if missing.revision() != "" || missing.bound("") || missing.bound("a") ||
		len(missing.Bind("a").Ops) > 0 || len(missing.Unbind().Ops) > 0 || missing.in(&corev1.Service{}) {
		t.Error("a destination that is missing selects something")
	}
}

func TestPointerEscapes(t *testing.T) {
	if got, want := Pointer("a/b", 3, "c~d", "~1"), "/a~1b/3/c~0d/~01"; got != want {
		t.Errorf("pointer is %s, want %s", got, want)
	}
}

func TestChangesOfOneObjectAreOne(t *testing.T) {
	s, raw := parse(t, "{selector: {app: a}}")
	labels := &Binding{Object: s, Path: []any{"metadata", "labels"}}
	changes := perObject(SelectorBinding(s).Bind("a"), Change{}, labels.Bind("b"))
	if len(changes) != 1 {
		t.Fatalf("%d changes, want 1", len(changes))
	}
	data, err := changes[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got corev1.Service
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Labels["pod-template-hash"] != "b" || got.Spec.Selector["pod-template-hash"] != "a" || got.Spec.Selector["app"] != "a" {
		t.Errorf("%s", out)
	}
	if other, _ := parse(t, "{}"); len(perObject(SelectorBinding(s).Bind("a"), SelectorBinding(other).Bind("b"))) != 2 {
		t.Error("changes of two objects are one")
	}
}

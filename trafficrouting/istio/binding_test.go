package istio

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func fromYAML(t *testing.T, text string, into client.Object) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	return raw
}

func applyTo(t *testing.T, raw []byte, obj client.Object, ops []operation) any {
	t.Helper()
	data, err := encodePatch(obj, ops)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("apply %s: %v", data, err)
	}
	return generic(t, out)
}

func TestSubsetBinding(t *testing.T) {
	const head = "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\nspec: {host: checkout, subsets: "
	for _, c := range []struct{ name, before, bound, unbound string }{
		{"labels beside it", `[{name: x}, {name: canary, labels: {app: a}, futureField: 1.50}]}`,
			`[{name: x}, {name: canary, labels: {app: a, pod-template-hash: new}, futureField: 1.50}]}`,
			`[{name: x}, {name: canary, labels: {app: a}, futureField: 1.50}]}`},
		{"no labels", `[{name: canary}]}`, `[{name: canary, labels: {pod-template-hash: new}}]}`, `[{name: canary}]}`},
		{"empty labels", `[{name: canary, labels: {}}]}`,
			`[{name: canary, labels: {pod-template-hash: new}}]}`, `[{name: canary}]}`},
		{"another revision", `[{name: canary, labels: {pod-template-hash: old}}]}`,
			`[{name: canary, labels: {pod-template-hash: new}}]}`, `[{name: canary}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dr := &networkingv1.DestinationRule{}
			raw := fromYAML(t, head+c.before, dr)
			b := subsetBinding(dr, "canary")
			if diff := cmp.Diff(asGeneric(t, head+c.bound), applyTo(t, raw, dr, b.bind("new"))); diff != "" {
				t.Errorf("bind (-want +got):\n%s", diff)
			}
			raw = fromYAML(t, head+c.bound, dr)
			b = subsetBinding(dr, "canary")
			if ops := b.bind("new"); len(ops) > 0 {
				t.Errorf("bind again: %v", ops)
			}
			if diff := cmp.Diff(asGeneric(t, head+c.unbound), applyTo(t, raw, dr, b.unbind())); diff != "" {
				t.Errorf("unbind (-want +got):\n%s", diff)
			}
			fromYAML(t, head+c.unbound, dr)
			if ops := subsetBinding(dr, "canary").unbind(); len(ops) > 0 {
				t.Errorf("unbind again: %v", ops)
			}
		})
	}
}

func asGeneric(t *testing.T, text string) any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return generic(t, raw)
}

func TestSelectorBinding(t *testing.T) {
	const head = "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\nspec: "
	service := &corev1.Service{}
	raw := fromYAML(t, head+"{selector: {app.kubernetes.io/name: a}, ports: [{port: 80}]}", service)
	got := applyTo(t, raw, service, selectorBinding(service).bind("new"))
	want := asGeneric(t, head+"{selector: {app.kubernetes.io/name: a, pod-template-hash: new}, ports: [{port: 80}]}")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPointerEscapes(t *testing.T) {
	if got, want := pointer("a/b", 3, "c~d", "~1"), "/a~1b/3/c~0d/~01"; got != want {
		t.Errorf("pointer is %s, want %s", got, want)
	}
}

func TestBindingsOfOneObjectAreOneEdit(t *testing.T) {
	dr := &networkingv1.DestinationRule{}
	raw := fromYAML(t, "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\n"+
		"spec: {host: checkout, subsets: [{name: stable}, {name: canary}]}", dr)
	stable, canary := subsetBinding(dr, "stable"), subsetBinding(dr, "canary")
	edits := perObject(stable.edit(stable.bind("a")), canary.edit(canary.bind("b")))
	if len(edits) != 1 {
		t.Fatalf("%d edits, want 1", len(edits))
	}
	want := asGeneric(t, "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\nspec: {host: checkout, subsets: "+
		"[{name: stable, labels: {pod-template-hash: a}}, {name: canary, labels: {pod-template-hash: b}}]}")
	if diff := cmp.Diff(want, applyTo(t, raw, dr, edits[0].ops)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

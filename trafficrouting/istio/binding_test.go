package istio

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
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

func applyTo(t *testing.T, raw []byte, c edit.Change) any {
	t.Helper()
	data, err := c.Encode()
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
			if diff := cmp.Diff(asGeneric(t, head+c.bound), applyTo(t, raw, b.Bind("new"))); diff != "" {
				t.Errorf("bind (-want +got):\n%s", diff)
			}
			raw = fromYAML(t, head+c.bound, dr)
			b = subsetBinding(dr, "canary")
			if again := b.Bind("new"); len(again.Ops) > 0 {
				t.Errorf("bind again: %v", again.Ops)
			}
			if diff := cmp.Diff(asGeneric(t, head+c.unbound), applyTo(t, raw, b.Unbind())); diff != "" {
				t.Errorf("unbind (-want +got):\n%s", diff)
			}
			fromYAML(t, head+c.unbound, dr)
			if again := subsetBinding(dr, "canary").Unbind(); len(again.Ops) > 0 {
				t.Errorf("unbind again: %v", again.Ops)
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

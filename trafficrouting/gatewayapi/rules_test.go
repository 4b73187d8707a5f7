package gatewayapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
)

// TestRoutePatch draws routes that are well formed, with fields that nobody knows,
// sets a weight in them, and compares what there is then with what was there before.
func TestRoutePatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(drawRoute(t))
		if err != nil {
			t.Fatal(err)
		}
		var route client.Object = &gatewayv1.HTTPRoute{}
		if rapid.Bool().Draw(t, "gRPC") {
			route = &gatewayv1.GRPCRoute{}
		}
		sel := selection{services: v1alpha1.GatewayAPIServices{Stable: "checkout", Canary: "checkout-canary"}}
		sel.ref.Rules = rapid.SliceOfNDistinct(rapid.SampledFrom(ruleNamesDrawn[1:]), 0, 2, rapid.ID).Draw(t, "selected")
		checkPatch(t, raw, route, sel, rapid.Int32Range(0, 100).Draw(t, "weight"))
	})
}

func checkPatch(t *rapid.T, raw []byte, route client.Object, sel selection, weight int32) {
	decode := func(raw []byte) (client.Object, []rule) {
		decoded := route.DeepCopyObject().(client.Object)
		if err := json.Unmarshal(raw, decoded); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		rules, _ := findRules(decoded, sel)
		return decoded, rules
	}
	object, rules := decode(raw)
	change, impossible := editable(object, rules).Weigh(weight, edit.Limits{RaiseStable: true, RaiseCanary: true})
	after := raw
	if len(change.Ops) > 0 {
		data, err := change.Encode()
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(data)
		if err != nil {
			t.Fatal(err)
		}
		if after, err = patch.Apply(raw); err != nil {
			t.Fatalf("apply %s to %s: %v", data, raw, err)
		}
	}
	object, again := decode(after)
	if more, _ := editable(object, again).Weigh(weight, edit.Limits{RaiseStable: true, RaiseCanary: true}); len(more.Ops) > 0 {
		t.Fatalf("%s: after weight %d there is more to do: %v", after, weight, more.Ops)
	}
	want, got := generic(t, raw), generic(t, after)
	for i, r := range rules {
		was, is := r.numbers(), again[i].numbers()
		if is.Others != was.Others || impossible == nil && is.Stable+is.Canary > 0 && (is.Canary == 0) != (weight == 0) {
			t.Fatalf("weight %d made %+v of %+v", weight, is, was)
		}
		for _, j := range []int{r.stable, r.canary} {
			for _, document := range []any{want, got} {
				backends := document.(map[string]any)["spec"].(map[string]any)["rules"].([]any)[r.index].(map[string]any)["backendRefs"]
				delete(backends.([]any)[j].(map[string]any), "weight")
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("more than weights changed (-before +after):\n%s", diff)
	}
}

// generic decodes raw without losing a digit of any number.
func generic(t *rapid.T, raw []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

var (
	ruleNamesDrawn = []string{"", "primary", "a.b", "c-d"}
	backendsDrawn  = []map[string]any{
		{"name": "checkout"}, {"name": "checkout", "namespace": "shop", "kind": "Service"}, {"name": "checkout-canary", "group": ""},
		{"name": "checkout", "namespace": "elsewhere"}, {"name": "checkout-canary", "kind": "Other", "group": "example.com"}, {"name": "legacy"},
	}
	// Raw JSON, so that a float keeps its digits.
	unknownDrawn = []json.RawMessage{
		json.RawMessage(`1.50`), json.RawMessage(`123456789012345678901234567890`), json.RawMessage(`{"deep":[null,true,"<&>"]}`),
	}
)

func drawRoute(t *rapid.T) map[string]any {
	return drawUnknown(t, map[string]any{
		"metadata": map[string]any{"name": "checkout", "namespace": "shop", "resourceVersion": "42"},
		"spec":     drawUnknown(t, map[string]any{"rules": rapid.SliceOfN(rapid.Custom(drawRule), 0, 4).Draw(t, "rules")}),
	})
}

func drawRule(t *rapid.T) map[string]any {
	rule := map[string]any{}
	if name := rapid.SampledFrom(ruleNamesDrawn).Draw(t, "name"); name != "" {
		rule["name"] = name
	}
	var backends []map[string]any
	for _, b := range rapid.SliceOfN(rapid.SampledFrom(backendsDrawn), 0, 4).Draw(t, "backends") {
		backend := drawUnknown(t, map[string]any{"port": 80})
		for field, value := range b {
			backend[field] = value
		}
		if rapid.Bool().Draw(t, "weighted") {
			backend["weight"] = rapid.OneOf(rapid.Int32Range(0, 3), rapid.Int32Range(0, maxWeight)).Draw(t, "weight")
		}
		backends = append(backends, backend)
	}
	if len(backends) > 0 {
		rule["backendRefs"] = backends
	}
	return drawUnknown(t, rule)
}

func drawUnknown(t *rapid.T, object map[string]any) map[string]any {
	if i := rapid.IntRange(-3, len(unknownDrawn)-1).Draw(t, "unknown"); i >= 0 {
		object[fmt.Sprintf("future%d", i)] = unknownDrawn[i]
	}
	return object
}

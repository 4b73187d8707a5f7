package istio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
)

// generic decodes raw without losing a digit of any number.
func generic(t fataler, raw []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// FuzzVirtualServicePatch mutates the JSON of spec.http.
func FuzzVirtualServicePatch(f *testing.F) {
	for _, seed := range []string{
		`[{"route":[{"destination":{"host":"checkout","subset":"stable"},"weight":100},` +
			`{"destination":{"host":"checkout","subset":"canary"}}]}]`,
		`[{"name":"a/b","future":1.50,"route":[{"destination":{"host":"checkout.shop"},"weight":59,"future":[]},` +
			`{"destination":{"host":"legacy"},"weight":41},{"destination":{"host":"checkout-canary","future":{}}}]},` +
			`{"name":"c~d","redirect":{"uri":"/"}}]`,
		`[{"route":[{"destination":{"host":"checkout.shop.svc.cluster.local","subset":"canary"},"weight":-1},` +
			`{"destination":{"host":"checkout","subset":"stable"},"weight":2147483647},null]},null]`,
	} {
		f.Add([]byte(seed), uint8(20), false)
		f.Add([]byte(seed), uint8(100), true)
	}
	f.Fuzz(func(t *testing.T, http []byte, weight uint8, hosts bool) {
		var routes any
		decoder := json.NewDecoder(bytes.NewReader(http))
		decoder.UseNumber()
		if decoder.Decode(&routes) != nil {
			t.Skip("no JSON")
		}
		raw, err := json.Marshal(map[string]any{"metadata": metadataDrawn, "spec": map[string]any{"http": routes}})
		if err != nil {
			t.Skip("no JSON that can be written")
		}
		if json.Unmarshal(raw, &networkingv1.VirtualService{}) != nil {
			t.Skip("no VirtualService")
		}
		sel := subsetSelection()
		if hosts {
			sel = hostSelection("a/b", "c~d")
		}
		checkPatch(t, raw, sel, int32(weight%101))
	})
}

// TestVirtualServicePatch draws VirtualServices that are well formed.
func TestVirtualServicePatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(drawVirtualService(t))
		if err != nil {
			t.Fatal(err)
		}
		sel := subsetSelection()
		if rapid.Bool().Draw(t, "hosts") {
			sel = hostSelection()
		}
		sel.ref.Routes = rapid.SliceOfNDistinct(rapid.SampledFrom(routeNamesDrawn), 0, 3, rapid.ID).Draw(t, "selected")
		for _, port := range rapid.SliceOfNDistinct(rapid.Int32Range(1, 3), 0, 2, rapid.ID).Draw(t, "ports") {
			sel.ref.TLS = append(sel.ref.TLS, v1alpha1.IstioTLSRoute{Port: &port, SNIHosts: []string{"a.example.com"}})
			sel.ref.TCP = append(sel.ref.TCP, v1alpha1.IstioTCPRoute{Port: port})
		}
		checkPatch(t, raw, sel, rapid.Int32Range(0, 100).Draw(t, "weight"))
	})
}

// checkPatch sets a weight in a VirtualService and compares what there is then
// with what was there before.
func checkPatch(t fataler, raw []byte, sel selection, weight int32) {
	vs := decodeVirtualService(t, raw)
	routes, _ := findRoutes(vs, sel)
	c, impossible := editable(vs, routes).Weigh(weight, unlimited)
	after, err := applyChange(raw, c)
	if err != nil {
		t.Fatalf("apply %v to %s: %v", c.Ops, raw, err)
	}

	again := decodeVirtualService(t, after)
	foundAgain, _ := findRoutes(again, sel)
	if more, _ := editable(again, foundAgain).Weigh(weight, unlimited); len(more.Ops) > 0 {
		t.Fatalf("%s: after weight %d there is more to do: %v", after, weight, more.Ops)
	}
	for i, r := range routes {
		checkNumbers(t, r.numbers(), foundAgain[i].numbers(), weight, impossible == nil)
	}
	want, got := generic(t, raw), generic(t, after)
	for _, r := range routes {
		eraseWeights(want, r)
		eraseWeights(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("more than weights changed (-before +after):\n%s", diff)
	}
}

// checkNumbers compares the weights of a route before and after the canary was to
// have weight. What they are in between is for the tests of package edit.
func checkNumbers(t fataler, before, now edit.Numbers, weight int32, possible bool) {
	if before.Others != now.Others {
		t.Fatalf("others had %d, have %d", before.Others, now.Others)
	}
	sum, was := int64(now.Stable)+int64(now.Canary), int64(before.Stable)+int64(before.Canary)
	if before.Others > 0 && was <= math.MaxInt32 && sum != was {
		t.Fatalf("%+v became %+v: others have another share", before, now)
	}
	if sum == 0 || !possible {
		return
	}
	if (now.Canary == 0) != (weight == 0) || (now.Stable == 0) != (weight == 100) {
		t.Fatalf("weight %d made %+v: nothing or everything", weight, now)
	}
}

// eraseWeights removes the two weights of a route, which alone may differ.
func eraseWeights(object any, r route) {
	route := object.(map[string]any)["spec"].(map[string]any)[r.list].([]any)[r.index].(map[string]any)["route"].([]any)
	for _, i := range []int{r.stable, r.canary} {
		delete(route[i].(map[string]any), "weight")
	}
}

var (
	routeNamesDrawn = []string{"primary", "a/b", "c~d", "käse"}
	hostsDrawn      = []string{
		"checkout", "checkout.shop", "checkout.shop.svc.cluster.local", "checkout-canary.shop.svc.cluster.local",
		"checkout-canary", "checkout-canary.shop.svc", "legacy", "checkout.other", "www.example.com",
	}
	metadataDrawn = map[string]any{"name": "checkout", "namespace": "shop", "resourceVersion": "42"}
	subsetsDrawn  = []string{"", "stable", "canary", "old"}
	// Raw JSON, so that a float keeps its digits.
	unknownDrawn = []json.RawMessage{
		json.RawMessage(`1.50`), json.RawMessage(`123456789012345678901234567890`),
		json.RawMessage(`{"deep":[null,true,"<&>"]}`), json.RawMessage(`""`), json.RawMessage(`[]`),
	}
)

func drawVirtualService(t *rapid.T) map[string]any {
	spec := map[string]any{"hosts": []string{"checkout"}, "http": rapid.SliceOfN(rapid.Custom(drawRoute), 1, 4).Draw(t, "routes")}
	for _, list := range []string{listTLS, listTCP} {
		if routes := rapid.SliceOfN(rapid.Custom(drawConnectionRoute), 0, 2).Draw(t, list); len(routes) > 0 {
			spec[list] = routes
		}
	}
	return drawUnknown(t, map[string]any{
		"apiVersion": "networking.istio.io/v1",
		"kind":       "VirtualService",
		"metadata":   metadataDrawn,
		"spec":       drawUnknown(t, spec),
	})
}

// drawConnectionRoute draws a TLS or a TCP route.
func drawConnectionRoute(t *rapid.T) map[string]any {
	route := drawRoute(t)
	delete(route, "name")
	delete(route, "headers")
	route["match"] = []any{map[string]any{
		"port": rapid.Uint32Range(1, 3).Draw(t, "port"), "sniHosts": []any{"a.example.com", "b.example.com"},
	}}
	return route
}

func drawRoute(t *rapid.T) map[string]any {
	route := map[string]any{}
	if name := rapid.SampledFrom(append([]string{""}, routeNamesDrawn...)).Draw(t, "name"); name != "" {
		route["name"] = name
	}
	if rapid.Bool().Draw(t, "headers") {
		route["headers"] = map[string]any{"request": map[string]any{"set": map[string]string{"x-a/b": "~1"}}}
	}
	destinations := rapid.SliceOfN(rapid.Custom(drawDestination), 0, 3).Draw(t, "destinations")
	if rapid.Bool().Draw(t, "usual") {
		destinations = append(destinations,
			withWeight(t, map[string]any{"destination": map[string]any{"host": "checkout", "subset": "stable"}}),
			withWeight(t, map[string]any{"destination": map[string]any{"host": "checkout", "subset": "canary"}}),
			withWeight(t, map[string]any{"destination": map[string]any{"host": "checkout-canary"}}))
		destinations = rapid.Permutation(destinations).Draw(t, "order")
	}
	if len(destinations) > 0 {
		route["route"] = destinations
	}
	return drawUnknown(t, route)
}

func drawDestination(t *rapid.T) map[string]any {
	destination := map[string]any{"host": rapid.SampledFrom(hostsDrawn).Draw(t, "host")}
	if subset := rapid.SampledFrom(subsetsDrawn).Draw(t, "subset"); subset != "" {
		destination["subset"] = subset
	}
	return withWeight(t, drawUnknown(t, map[string]any{"destination": drawUnknown(t, destination)}))
}

func withWeight(t *rapid.T, destination map[string]any) map[string]any {
	switch rapid.IntRange(0, 3).Draw(t, "kind of weight") {
	case 0:
	case 1:
		destination["weight"] = rapid.Int32Range(0, 100).Draw(t, "weight")
	case 2:
		destination["weight"] = rapid.Int32Range(0, 2).Draw(t, "small weight")
	default:
		destination["weight"] = rapid.Int32().Draw(t, "any weight")
	}
	return destination
}

func drawUnknown(t *rapid.T, object map[string]any) map[string]any {
	if i := rapid.IntRange(-3, len(unknownDrawn)-1).Draw(t, "unknown"); i >= 0 {
		object[fmt.Sprintf("future%d", i)] = slices.Clone(unknownDrawn[i])
	}
	return object
}

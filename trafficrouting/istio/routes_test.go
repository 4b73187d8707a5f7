package istio

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
)

// unlimited lets both destinations get more.
var unlimited = edit.Limits{RaiseStable: true, RaiseCanary: true}

func subsetSelection(names ...string) selection {
	host := serviceHost("checkout", "shop", DefaultClusterDomain)
	return selection{
		domain: DefaultClusterDomain,
		ref:    v1alpha1.IstioVirtualService{Name: "checkout", Routes: names},
		stable: destination{host: host, subset: "stable", written: "checkout"},
		canary: destination{host: host, subset: "canary", written: "checkout"},
	}
}

func hostSelection(names ...string) selection {
	return selection{
		domain: DefaultClusterDomain,
		ref:    v1alpha1.IstioVirtualService{Name: "checkout", Routes: names},
		stable: destination{host: serviceHost("checkout", "shop", DefaultClusterDomain), written: "checkout"},
		canary: destination{host: serviceHost("checkout-canary", "shop", DefaultClusterDomain), written: "checkout-canary"},
	}
}

// connections selects TLS and TCP routes, between two subsets.
func connections(tls []v1alpha1.IstioTLSRoute, tcp ...v1alpha1.IstioTCPRoute) selection {
	sel := subsetSelection()
	sel.ref.TLS, sel.ref.TCP = tls, tcp
	return sel
}

// connectionRoutes is a spec with TLS and TCP routes, of which one of each has the
// weights of stable and canary.
func connectionRoutes(tlsStable, tlsCanary, tcpStable, tcpCanary string) string {
	return fmt.Sprintf(`
  - route: [{destination: {host: checkout, subset: stable}, weight: 100}, {destination: {host: checkout, subset: canary}}]
  tls:
  - match: [{port: 8443, sniHosts: [b.example.com]}, {port: 443, sniHosts: [c.example.com]}]
    route: [{destination: {host: checkout, subset: stable}, weight: 100}, {destination: {host: checkout, subset: canary}}]
  - match: [{port: 443, sniHosts: [a.example.com, b.example.com]}]
    route:
    - {destination: {host: checkout, subset: stable}, weight: %s}
    - {destination: {host: checkout, subset: canary}, weight: %s}
  tcp:
  - match: [{port: 3306}, {port: 3307}]
    route:
    - {destination: {host: checkout, subset: stable}, weight: %s}
    - {destination: {host: checkout, subset: canary}, weight: %s}
  - match: [{port: 33}]
    route: [{destination: {host: checkout, subset: stable}, weight: 100}, {destination: {host: checkout, subset: canary}}]
  - route: [{destination: {host: checkout, subset: stable}, weight: 100}, {destination: {host: checkout, subset: canary}}]`,
		tlsStable, tlsCanary, tcpStable, tcpCanary)
}

// withRoutes makes the JSON of a VirtualService of the YAML of its spec.http.
func withRoutes(t testing.TB, routes string) []byte {
	t.Helper()
	text := "metadata: {name: checkout, namespace: shop, resourceVersion: '7'}\nspec:\n  hosts: [checkout]\n  http:\n"
	raw, err := yaml.YAMLToJSON([]byte(text + routes))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parse(t testing.TB, raw []byte) *networkingv1.VirtualService {
	t.Helper()
	return decodeVirtualService(t, raw)
}

// fataler is what testing.TB and rapid.T share.
type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func decodeVirtualService(t fataler, raw []byte) *networkingv1.VirtualService {
	vs := &networkingv1.VirtualService{}
	if err := json.Unmarshal(raw, vs); err != nil {
		t.Fatalf("parse %s: %v", raw, err)
	}
	return vs
}

// applyChange applies c to raw, guarded, as an API server does.
func applyChange(raw []byte, c edit.Change) ([]byte, error) {
	data, err := c.Encode()
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, err
	}
	return patch.Apply(raw)
}

func patched(t testing.TB, raw []byte, c edit.Change) []byte {
	t.Helper()
	out, err := applyChange(raw, c)
	if err != nil {
		t.Fatalf("apply %v to %s: %v", c.Ops, raw, err)
	}
	return out
}

func TestWeigh(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes string
		sel    selection
		weight int32
		want   string
	}{
		{
			name: "subsets of the only route",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}, weight: 0}`,
			sel: subsetSelection(), weight: 20,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 80}
    - {destination: {host: checkout, subset: canary}, weight: 20}`,
		},
		{
			name: "weights that were left out, and the canary first",
			routes: `
  - route:
    - {destination: {host: checkout.shop.svc.cluster.local, subset: canary}, headers: {request: {set: {x: a/b~c}}}}
    - {destination: {host: checkout, subset: stable, port: {number: 80}}}`,
			sel: subsetSelection(), weight: 1,
			want: `
  - route:
    - {destination: {host: checkout.shop.svc.cluster.local, subset: canary}, headers: {request: {set: {x: a/b~c}}}, weight: 1}
    - {destination: {host: checkout, subset: stable, port: {number: 80}}, weight: 99}`,
		},
		{
			name: "two Services, named routes only, fields that the client does not know",
			routes: `
  - name: admin
    route:
    - {destination: {host: checkout}, weight: 100}
    - {destination: {host: checkout-canary}}
  - name: primary
    futureField: {deep: [1, 2.50, null]}
    route:
    - {destination: {host: checkout, futureField: 1e400}, weight: 100, futureField: x}
    - {destination: {host: checkout-canary.shop.svc.cluster.local}}`,
			sel: hostSelection("primary"), weight: 50,
			want: `
  - name: admin
    route:
    - {destination: {host: checkout}, weight: 100}
    - {destination: {host: checkout-canary}}
  - name: primary
    futureField: {deep: [1, 2.50, null]}
    route:
    - {destination: {host: checkout, futureField: 1e400}, weight: 50, futureField: x}
    - {destination: {host: checkout-canary.shop.svc.cluster.local}, weight: 50}`,
		},
		{
			name: "a third destination keeps its share",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 50}
    - {destination: {host: legacy}, weight: 50}
    - {destination: {host: checkout, subset: canary}}`,
			sel: subsetSelection(), weight: 5,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 47}
    - {destination: {host: legacy}, weight: 50}
    - {destination: {host: checkout, subset: canary}, weight: 3}`,
		},
		{
			name: "a third destination that has everything",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 0}
    - {destination: {host: legacy}, weight: 100}
    - {destination: {host: checkout, subset: canary}}`,
			sel: subsetSelection(), weight: 5,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 0}
    - {destination: {host: legacy}, weight: 100}
    - {destination: {host: checkout, subset: canary}}`,
		},
		{
			name: "the sum stays what it is",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 900}
    - {destination: {host: checkout, subset: canary}, weight: 100}`,
			sel: subsetSelection(), weight: 25,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 750}
    - {destination: {host: checkout, subset: canary}, weight: 250}`,
		},
		{
			name: "without names, every route that sends here",
			routes: `
  - name: admin
    route:
    - {destination: {host: checkout, subset: old}, weight: 100}
  - name: elsewhere
    redirect: {uri: /}
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 80}
    - {destination: {host: checkout, subset: old}, weight: 10}
    - {destination: {host: checkout, subset: canary}, weight: 10}
  tls:
  - match: [{port: 443, sniHosts: [checkout.example.com]}]
    route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}}
  - match: [{port: 443, sniHosts: [other.example.com]}]
    route: [{destination: {host: other}}]
  tcp:
  - match: [{port: 5432}]
    route:
    - {destination: {host: checkout, subset: canary}, weight: 0}
    - {destination: {host: checkout, subset: stable}, weight: 100}`,
			sel: subsetSelection(), weight: 20,
			want: `
  - name: admin
    route:
    - {destination: {host: checkout, subset: old}, weight: 100}
  - name: elsewhere
    redirect: {uri: /}
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 72}
    - {destination: {host: checkout, subset: old}, weight: 10}
    - {destination: {host: checkout, subset: canary}, weight: 18}
  tls:
  - match: [{port: 443, sniHosts: [checkout.example.com]}]
    route:
    - {destination: {host: checkout, subset: stable}, weight: 80}
    - {destination: {host: checkout, subset: canary}, weight: 20}
  - match: [{port: 443, sniHosts: [other.example.com]}]
    route: [{destination: {host: other}}]
  tcp:
  - match: [{port: 5432}]
    route:
    - {destination: {host: checkout, subset: canary}, weight: 20}
    - {destination: {host: checkout, subset: stable}, weight: 80}`,
		},
		{
			name:   "TLS by SNI and port, TCP by port",
			routes: connectionRoutes("100", "0", "100", "0"),
			sel: connections(
				[]v1alpha1.IstioTLSRoute{{Port: ptr.To(int32(443)), SNIHosts: []string{"b.example.com"}}},
				v1alpha1.IstioTCPRoute{Port: 3306}),
			weight: 25,
			want:   connectionRoutes("75", "25", "75", "25"),
		},
		{
			name:   "TLS by SNI alone",
			routes: connectionRoutes("100", "0", "100", "0"),
			sel:    connections([]v1alpha1.IstioTLSRoute{{SNIHosts: []string{"a.example.com", "b.example.com"}}}),
			weight: 25,
			want:   connectionRoutes("75", "25", "100", "0"),
		},
		{
			name: "weights too small to tell are written anew",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 1}
    - {destination: {host: checkout, subset: canary}, weight: 0}`,
			sel: subsetSelection(), weight: 5,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 95}
    - {destination: {host: checkout, subset: canary}, weight: 5}`,
		},
		{
			name: "negative weights count as none",
			routes: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: -20}
    - {destination: {host: checkout, subset: canary}, weight: 100}`,
			sel: subsetSelection(), weight: 0,
			want: `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}, weight: 0}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := withRoutes(t, c.routes)
			vs := parse(t, raw)
			routes, err := findRoutes(vs, c.sel)
			if err != nil {
				t.Fatal(err)
			}
			change, err := editable(vs, routes).Weigh(c.weight, unlimited)
			if err != nil {
				t.Fatal(err)
			}
			got := patched(t, raw, change)
			if diff := cmp.Diff(generic(t, withRoutes(t, c.want)), generic(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWeighWithinLimits(t *testing.T) {
	raw := withRoutes(t, `
  - name: a
    route:
    - {destination: {host: checkout, subset: stable}, weight: 90}
    - {destination: {host: checkout, subset: canary}, weight: 10}
  - name: b
    route:
    - {destination: {host: checkout, subset: stable}, weight: 10}
    - {destination: {host: checkout, subset: canary}, weight: 90}`)
	for _, c := range []struct {
		name string
		may  edit.Limits
		want [2]int32
	}{
		{"both", unlimited, [2]int32{50, 50}},
		{"stable only", edit.Limits{RaiseStable: true}, [2]int32{10, 50}},
		{"canary only", edit.Limits{RaiseCanary: true}, [2]int32{50, 90}},
		{"neither", edit.Limits{}, [2]int32{10, 90}},
	} {
		vs := parse(t, raw)
		routes, err := findRoutes(vs, subsetSelection("a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		change, err := editable(vs, routes).Weigh(50, c.may)
		if err != nil {
			t.Fatal(err)
		}
		after := parse(t, patched(t, raw, change))
		got := [2]int32{after.Spec.Http[0].Route[1].Weight, after.Spec.Http[1].Route[1].Weight}
		if got != c.want {
			t.Errorf("%s: canary weights %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEveryWeightIsGuarded(t *testing.T) {
	raw := withRoutes(t, `
  - name: primary
    route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}}`)
	vs := parse(t, raw)
	routes, err := findRoutes(vs, subsetSelection("primary"))
	if err != nil {
		t.Fatal(err)
	}
	change, err := editable(vs, routes).Weigh(20, unlimited)
	if err != nil {
		t.Fatal(err)
	}
	data, err := change.Encode()
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string][2]string{
		"the object":      {`"resourceVersion":"7"`, `"resourceVersion":"8"`},
		"the route":       {`"name":"primary"`, `"name":"secondary"`},
		"the destination": {`"host":"checkout"`, `"host":"basket"`},
		"the subset":      {`"subset":"canary"`, `"subset":"experiment"`},
	} {
		changed := strings.ReplaceAll(string(raw), edit[0], edit[1])
		if changed == string(raw) {
			t.Fatalf("%s: nothing to change", what)
		}
		if out, err := patch.Apply([]byte(changed)); err == nil {
			t.Errorf("%s was another, and the patch was applied: %s", what, out)
		}
	}
}

func TestProblems(t *testing.T) {
	const good = `
  - name: good
    route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}, weight: 0}`
	for _, c := range []struct {
		name   string
		routes string
		sel    selection
		reason string
		says   []string
	}{
		{
			name: "named route missing", routes: good, sel: subsetSelection("good", "lost"),
			reason: v1alpha1.ReasonRouteMissing, says: []string{`"lost"`, "HTTP routes are: good"},
		},
		{
			name: "no TLS route", routes: good, sel: connections([]v1alpha1.IstioTLSRoute{{Port: ptr.To(int32(443)), SNIHosts: []string{"a.b"}}}),
			reason: v1alpha1.ReasonRouteMissing, says: []string{"no TLS route with a match of port 443 and SNI hosts a.b", "spec.tls[].match"},
		},
		{
			name: "no TCP route", routes: connectionRoutes("1", "1", "1", "1"), sel: connections(nil, v1alpha1.IstioTCPRoute{Port: 3308}),
			reason: v1alpha1.ReasonRouteMissing, says: []string{"no TCP route with a match of port 3308", "spec.tcp[].match"},
		},
		{
			name: "no route sends here", routes: "  - {name: other, route: [{destination: {host: other}}]}", sel: subsetSelection(),
			reason: v1alpha1.ReasonRouteMissing,
			says:   []string{"no route that sends to", "host: checkout\n    subset: canary\n  weight: 0"},
		},
		{
			name: "no route", routes: "    []", sel: subsetSelection(),
			reason: v1alpha1.ReasonRouteMissing, says: []string{"no route that sends to"},
		},
		{
			name: "a name that Istio does not complete", sel: hostSelection(),
			routes: "  - route: [{destination: {host: checkout.shop.svc}, weight: 100}, {destination: {host: checkout-canary.shop}}]",
			reason: v1alpha1.ReasonRouteMissing,
			says:   []string{"write checkout.shop.svc.cluster.local instead of checkout.shop.svc"},
		},
		{
			name: "a name that Istio does not complete, beside one that it does", sel: hostSelection(),
			routes: "  - route: [{destination: {host: checkout}, weight: 100}, {destination: {host: checkout-canary.shop}}]",
			reason: v1alpha1.ReasonDestinationMissing,
			says:   []string{"no canary destination", "write checkout-canary.shop.svc.cluster.local instead of checkout-canary.shop"},
		},
		{
			name: "a route to all pods of the service", sel: subsetSelection(),
			routes: good + "\n  - route: [{destination: {host: checkout}}]",
			reason: v1alpha1.ReasonDestinationMissing, says: []string{"spec.http[1], has neither", "or name the routes to weigh"},
		},
		{
			name: "a TCP route without canary", sel: subsetSelection(),
			routes: good + "\n  tcp: [{route: [{destination: {host: checkout, subset: stable}}]}]",
			reason: v1alpha1.ReasonDestinationMissing, says: []string{"spec.tcp[0], has no canary destination. Add under spec.tcp[0].route"},
		},
		{
			name: "canary missing", sel: subsetSelection("good", "half"),
			routes: good + `
  - name: half
    route:
    - {destination: {host: checkout, subset: stable}}`,
			reason: v1alpha1.ReasonDestinationMissing,
			says:   []string{"spec.http[1].route:\n- destination:\n    host: checkout\n    subset: canary\n  weight: 0"},
		},
		{
			name: "stable missing", sel: hostSelection("good", "half"),
			routes: `
  - name: good
    route: [{destination: {host: checkout}, weight: 1}, {destination: {host: checkout-canary}, weight: 1}]
  - name: half
    route: [{destination: {host: checkout-canary}, weight: 30}]`,
			reason: v1alpha1.ReasonDestinationMissing,
			says:   []string{"- destination:\n    host: checkout\n  weight: 70"},
		},
		{
			name: "both missing, a redirect", sel: subsetSelection("good", "half"),
			routes: good + `
  - name: half
    redirect: {uri: /}`,
			reason: v1alpha1.ReasonDestinationMissing,
			says:   []string{"neither", "subset: stable\n  weight: 100\n- destination", "subset: canary\n  weight: 0"},
		},
		{
			name: "a destination twice", sel: subsetSelection("good", "half"),
			routes: good + `
  - name: half
    route:
    - {destination: {host: checkout, subset: stable}}
    - {destination: {host: checkout, subset: canary}}
    - {destination: {host: checkout.shop.svc.cluster.local, subset: canary}, weight: 100}`,
			reason: v1alpha1.ReasonDestinationMissing, says: []string{"2 destinations", "[1 2]", "leave one"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			routes, err := findRoutes(parse(t, withRoutes(t, c.routes)), c.sel)
			problem := trafficrouting.AsProblem(err)
			if problem == nil {
				t.Fatalf("error %v is no problem", err)
			}
			if problem.Reason != c.reason {
				t.Errorf("reason %s, want %s", problem.Reason, c.reason)
			}
			for _, want := range c.says {
				if !strings.Contains(problem.Message, want) {
					t.Errorf("message lacks %q:\n%s", want, problem.Message)
				}
			}
			if len(c.sel.ref.Routes) > 0 && (len(routes) != 1 || routes[0].name != "good") {
				t.Errorf("the good route is not usable: %v", routes)
			}
		})
	}
}

func TestIndivisibleWeights(t *testing.T) {
	vs := parse(t, withRoutes(t, `
  - route:
    - {destination: {host: checkout, subset: stable}, weight: 1}
    - {destination: {host: legacy}, weight: 99}
    - {destination: {host: checkout, subset: canary}}`))
	routes, err := findRoutes(vs, subsetSelection())
	if err != nil {
		t.Fatal(err)
	}
	if half, err := editable(vs, routes).Weigh(50, unlimited); trafficrouting.AsProblem(err) == nil || len(half.Ops) > 0 {
		t.Errorf("half of 1: %v, %v", half.Ops, err)
	}
	for weight, want := range map[int32]int{0: 0, 100: 2} {
		change, err := editable(vs, routes).Weigh(weight, unlimited)
		sets := 0
		for _, op := range change.Ops {
			if op.Op == "add" {
				sets++
			}
		}
		if err != nil || sets != want {
			t.Errorf("weight %d: %v, %v", weight, change.Ops, err)
		}
	}
}

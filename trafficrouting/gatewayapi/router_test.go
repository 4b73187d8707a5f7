package gatewayapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/gatewayapi"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
)

// say has the gateway's controller report on the HTTPRoute checkout.
func (g *gateway) say(generation int64, accepted metav1.ConditionStatus) {
	g.T.Helper()
	route := &gatewayv1.HTTPRoute{}
	if err := g.Admin.Get(g.T.Context(), types.NamespacedName{Namespace: g.Name, Name: "checkout"}, route); err != nil {
		g.T.Fatal(err)
	}
	condition := func(kind string) metav1.Condition {
		return metav1.Condition{
			Type: kind, Status: accepted, ObservedGeneration: generation, Reason: "Said", Message: "no listener has this host",
			LastTransitionTime: metav1.Now(),
		}
	}
	route.Status.Parents = []gatewayv1.RouteParentStatus{{
		ParentRef: route.Spec.ParentRefs[0], ControllerName: "example.com/gateway",
		Conditions: []metav1.Condition{condition("Accepted"), condition("ResolvedRefs")},
	}}
	if err := g.Admin.Status().Update(g.T.Context(), route); err != nil {
		g.T.Fatal(err)
	}
}

// TestAWriteIsProgrammedWhenTheControllerSaysSo follows a weight from the write to
// the controller's report on it.
func TestAWriteIsProgrammedWhenTheControllerSaysSo(t *testing.T) {
	g := newGateway(t, []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout", "primary")}, ofGateway)
	want := func(programmed trafficrouting.Programmed) {
		t.Helper()
		state, err := g.Router.Observe(t.Context(), g.Target)
		if err != nil || state.Programmed != programmed {
			t.Errorf("observed %+v, %v; want %s", state, err, programmed)
		}
	}
	want(trafficrouting.ProgrammedUnknown)
	g.say(1, metav1.ConditionTrue)
	want(trafficrouting.ProgrammedYes)
	g.MustApply("a", "b", 25)
	want(trafficrouting.ProgrammedNo)
	g.say(2, metav1.ConditionTrue)
	want(trafficrouting.ProgrammedYes)

	g.say(2, metav1.ConditionFalse)
	state, err := g.Router.Observe(t.Context(), g.Target)
	onserver.WantProblem(t, err, v1alpha1.ReasonRouteNotAccepted, "no listener has this host")
	if state.Programmed != trafficrouting.ProgrammedNo || !state.Uniform(25) || state.Canary != "b" {
		t.Errorf("observed %+v", state)
	}
	// An abort is written all the same.
	g.MustApply("a", "b", 0)
	g.wantWeights("HTTPRoute", "checkout", 1, 100, 0)
}

// TestSmallWeights holds that weights as people write them, without any or with a
// few parts, become what tells each percentage; the rest of the route is kept.
func TestSmallWeights(t *testing.T) {
	g := newGateway(t, []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout")}, ofMesh)
	g.MustApply("a", "b", 3)
	g.wantWeights("HTTPRoute", "checkout", 0, 1, 9)
	g.wantWeights("HTTPRoute", "checkout", 1, 3, 97)
}

// TestTooLittleBesideOthers holds that a share which cannot be told is a problem,
// and that nothing and everything can be told always.
func TestTooLittleBesideOthers(t *testing.T) {
	g := newGateway(t, []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout")}, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec:
  rules:
  - backendRefs: [{name: checkout, port: 80}, {name: checkout-canary, port: 80}, {name: legacy, port: 80}]
`)
	_, err := g.Router.Observe(t.Context(), g.Target)
	onserver.WantProblem(t, err, v1alpha1.ReasonDestinationMissing, "gives 2 of 3 to the stable and the canary destination together")
	onserver.WantProblem(t, g.Apply("a", "b", 5), v1alpha1.ReasonDestinationMissing, "write greater weights")
	g.wantWeights("HTTPRoute", "checkout", 0, 1, 1, 1)
	_ = g.Apply("a", "b", 0)
	g.wantWeights("HTTPRoute", "checkout", 0, 2, 0, 1)
}

func TestProblemsSayWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		name     string
		traffic  v1alpha1.GatewayAPITraffic
		document string
		reason   string
		says     string
	}{
		{
			name: "a backend twice", document: `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec: {rules: [{backendRefs: [{name: checkout, port: 80}, {name: checkout, port: 81}, {name: checkout-canary, port: 80}]}]}
`, reason: v1alpha1.ReasonDestinationMissing, says: "2 backends that are Service checkout (spec.rules[0].backendRefs[0 1])",
		},
		{
			name: "a redirect", document: `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec: {rules: [{name: a, filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}]}
`,
			traffic: v1alpha1.GatewayAPITraffic{Routes: []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout", "a")}},
			reason:  v1alpha1.ReasonDestinationMissing, says: "- name: checkout\n  port: <port>\n  weight: 100\n- name: checkout-canary",
		},
		{
			name: "a kind of a later Sluice", document: ofGateway,
			traffic: v1alpha1.GatewayAPITraffic{Routes: []v1alpha1.GatewayAPIRoute{named("TCPRoute", "checkout")}},
			reason:  v1alpha1.ReasonInvalidSpec, says: "write HTTPRoute or GRPCRoute",
		},
		{
			name: "one Service for both", document: ofGateway,
			traffic: v1alpha1.GatewayAPITraffic{Services: v1alpha1.GatewayAPIServices{Stable: "a", Canary: "a"}},
			reason:  v1alpha1.ReasonInvalidSpec, says: "two different Services",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t, []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout")}, c.document)
			if c.traffic.Routes != nil {
				g.Target.Traffic.GatewayAPI.Routes = c.traffic.Routes
			}
			if c.traffic.Services.Stable != "" {
				g.Target.Traffic.GatewayAPI.Services = c.traffic.Services
			}
			_, err := g.Router.Observe(t.Context(), g.Target)
			onserver.WantProblem(t, err, c.reason, c.says)
			onserver.WantProblem(t, g.Apply("a", "b", 20), c.reason, c.says)
			if err := g.Router.Release(t.Context(), g.Target); err != nil {
				t.Errorf("release: %v", err)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	traffic := v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayAPITraffic{
		Routes:   []v1alpha1.GatewayAPIRoute{named("", "a"), named("GRPCRoute", "a")},
		Services: v1alpha1.GatewayAPIServices{Stable: "one", Canary: "two"},
	}}
	var got []string
	for _, ref := range gatewayapi.Claims("shop", traffic) {
		got = append(got, ref.String())
	}
	want := []string{"HTTPRoute/shop/a", "GRPCRoute/shop/a", "Service/shop/one", "Service/shop/two"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if refs := gatewayapi.Claims("shop", v1alpha1.Traffic{}); refs != nil {
		t.Errorf("claims of nothing: %v", refs)
	}
}

// TestKinds holds that each kind names its objects as the claims do, and that of a
// status nothing but the evidence is a change.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, kind := range gatewayapi.Kinds() {
		obj := kind.Object.DeepCopyObject().(client.Object)
		obj.SetNamespace("shop")
		obj.SetName("x")
		names[kind.RefOf(obj).String()] = true
		before, ok := obj.(*gatewayv1.HTTPRoute)
		if !ok {
			continue
		}
		before.Generation = 1
		before.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "public"}}
		before.Status.Parents = []gatewayv1.RouteParentStatus{{
			ParentRef: gatewayv1.ParentReference{Name: "public"},
			Conditions: []metav1.Condition{
				{Type: "Accepted", Status: "True", ObservedGeneration: 1}, {Type: "ResolvedRefs", Status: "True", ObservedGeneration: 1},
			},
		}}
		for what, want := range map[string]bool{"nothing": false, "message": false, "condition": true, "spec": true} {
			after := before.DeepCopy()
			conditions := after.Status.Parents[0].Conditions
			switch what {
			case "message":
				conditions[0].Message, after.ResourceVersion = "other words", "2"
			case "condition":
				conditions[1].Status = "False"
			case "spec":
				after.Generation = 2
			}
			if kind.Changed(before, after) != want {
				t.Errorf("%s: changed is %t", what, !want)
			}
		}
	}
	want := map[string]bool{"HTTPRoute/shop/x": true, "GRPCRoute/shop/x": true, "Service/shop/x": true}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

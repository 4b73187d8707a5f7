package mux_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/fake"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

var name = types.NamespacedName{Namespace: "shop", Name: "checkout"}

// backends are two fakes: one for Istio, which may claim in namespace mesh, and one
// for the Gateway API.
func backends() (istio, gateway *fake.Router, router *mux.Router) {
	istio, gateway = fake.New(), fake.New()
	return istio, gateway, mux.New(
		mux.Backend{
			Field: "istio", Asked: func(t v1alpha1.Traffic) bool { return t.Istio != nil }, Router: istio,
			Claims: func(namespace string, _ v1alpha1.Traffic) []trafficrouting.Ref {
				return []trafficrouting.Ref{
					{Kind: "VirtualService", Namespace: namespace, Name: "a"}, {Kind: "VirtualService", Namespace: namespace, Name: "a"},
					{Kind: "VirtualService", Namespace: "mesh", Name: "b"}, {Kind: "VirtualService", Namespace: "closed", Name: "c"},
				}
			},
			Reads: func(string, v1alpha1.Traffic) []trafficrouting.Ref {
				return []trafficrouting.Ref{{Kind: "ReferenceGrant", Namespace: "mesh"}}
			},
			Permits: func(_ context.Context, namespace string, ref trafficrouting.Ref) (bool, error) {
				return ref.Namespace == "mesh" && namespace == "shop", nil
			},
		},
		mux.Backend{
			Field: "gatewayAPI", Asked: func(t v1alpha1.Traffic) bool { return t.GatewayAPI != nil }, Router: gateway,
			Claims: func(namespace string, _ v1alpha1.Traffic) []trafficrouting.Ref {
				return []trafficrouting.Ref{{Kind: "HTTPRoute", Namespace: namespace, Name: "a"}, {Kind: "HTTPRoute", Namespace: "mesh", Name: "b"}}
			},
		},
	)
}

func rolloutWith(t v1alpha1.Traffic) *v1alpha1.Rollout {
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	r.Spec.Traffic = t
	return r
}

func TestOneRouterIsAsked(t *testing.T) {
	istio, gateway, router := backends()
	target := trafficrouting.Target{Rollout: name, Traffic: v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayAPITraffic{}}}
	if err := router.Apply(t.Context(), target, trafficrouting.Split{Stable: "a", Canary: "b", Weight: 20}); err != nil {
		t.Fatal(err)
	}
	if state, err := router.Observe(t.Context(), target); err != nil || !state.Uniform(20) || state.Canary != "b" {
		t.Errorf("observed %+v, %v", state, err)
	}
	if err := router.Release(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if state := gateway.Get(name).State(); !state.Uniform(0) || state.Canary != "" {
		t.Errorf("released, and it is %+v", state)
	}
	if len(istio.Writes()) > 0 || istio.Observations() > 0 {
		t.Error("the other router was asked too")
	}
}

func TestNoneOrSeveralAreAProblem(t *testing.T) {
	istio, gateway, router := backends()
	for says, traffic := range map[string]v1alpha1.Traffic{
		"write one of istio, gatewayAPI":           {},
		"names istio and gatewayAPI: leave one of": {Istio: &v1alpha1.IstioTraffic{}, GatewayAPI: &v1alpha1.GatewayAPITraffic{}},
	} {
		target := trafficrouting.Target{Rollout: name, Traffic: traffic}
		_, observed := router.Observe(t.Context(), target)
		for what, err := range map[string]error{
			"observe": observed, "apply": router.Apply(t.Context(), target, trafficrouting.Split{Weight: 20}),
		} {
			problem := trafficrouting.AsProblem(err)
			if problem == nil || problem.Reason != v1alpha1.ReasonInvalidSpec || !contains(problem.Message, says) {
				t.Errorf("%s: %v, want %q", what, err, says)
			}
		}
		if err := router.Release(t.Context(), target); err != nil {
			t.Errorf("the Rollout could never be deleted: %v", err)
		}
		if claims := router.Claims(rolloutWith(traffic)); claims != nil {
			t.Errorf("claims are %v", claims)
		}
		if reads := router.Reads(rolloutWith(traffic)); reads != nil {
			t.Errorf("reads are %v", reads)
		}
		if permitted, err := router.Permits(t.Context(), rolloutWith(traffic), "VirtualService/shop/a"); permitted || err != nil {
			t.Errorf("permits %t, %v", permitted, err)
		}
	}
	if len(istio.Writes())+len(gateway.Writes()) > 0 {
		t.Error("something was written")
	}
}

func TestClaimsAndReads(t *testing.T) {
	_, _, router := backends()
	istio := rolloutWith(v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{}})
	claims := []string{"VirtualService/shop/a", "VirtualService/mesh/b", "VirtualService/closed/c"}
	if diff := cmp.Diff(claims, router.Claims(istio)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(claims, "ReferenceGrant/mesh/"), router.Reads(istio)); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	gateway := rolloutWith(v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayAPITraffic{}})
	if diff := cmp.Diff(router.Claims(gateway), router.Reads(gateway)); diff != "" {
		t.Errorf("(-claims +reads):\n%s", diff)
	}
}

func TestPermits(t *testing.T) {
	_, _, router := backends()
	istio, gateway := v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{}}, v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayAPITraffic{}}
	for _, c := range []struct {
		traffic v1alpha1.Traffic
		claim   string
		want    bool
	}{
		{istio, "VirtualService/shop/a", true},
		{istio, "VirtualService/mesh/b", true},
		{istio, "VirtualService/closed/c", false},
		{istio, "VirtualService/shop/not-its-own", false},
		{gateway, "HTTPRoute/shop/a", true},
		{gateway, "HTTPRoute/mesh/b", false},
	} {
		if got, err := router.Permits(t.Context(), rolloutWith(c.traffic), c.claim); got != c.want || err != nil {
			t.Errorf("%s: %t, %v; want %t", c.claim, got, err, c.want)
		}
	}
	broken := mux.New(mux.Backend{
		Asked: func(v1alpha1.Traffic) bool { return true },
		Claims: func(string, v1alpha1.Traffic) []trafficrouting.Ref {
			return []trafficrouting.Ref{{Kind: "VirtualService", Namespace: "mesh", Name: "b"}}
		},
		Permits: func(context.Context, string, trafficrouting.Ref) (bool, error) { return false, errors.New("away") },
	})
	if _, err := broken.Permits(t.Context(), rolloutWith(istio), "VirtualService/mesh/b"); err == nil {
		t.Error("an error is an answer")
	}
}

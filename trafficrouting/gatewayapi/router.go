package gatewayapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// Router implements trafficrouting.Router over HTTPRoutes, GRPCRoutes and Services.
// It keeps nothing between calls and may be used by several goroutines at once.
type Router struct{ edit.Router }

var _ trafficrouting.Router = (*Router)(nil)

// New makes a Router that reads through c, which should be backed by a cache. c
// must know the types that AddToScheme adds.
func New(c client.Client) *Router {
	r := &Router{}
	r.Router = edit.Router{Client: c, Read: r.read}
	return r
}

// Backend makes a Router part of a mux.
func Backend(c client.Client) mux.Backend {
	return mux.Backend{
		Field:  "gatewayAPI",
		Asked:  func(t v1alpha1.Traffic) bool { return t.GatewayAPI != nil },
		Router: New(c),
		Claims: Claims,
	}
}

// AddToScheme makes the types that the router reads known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	return errors.Join(corev1.AddToScheme(scheme), gatewayv1.Install(scheme))
}

// Claims returns the objects that t makes the router write for a Rollout of
// namespace; none if t is not about the Gateway API.
func Claims(namespace string, t v1alpha1.Traffic) []trafficrouting.Ref {
	spec := t.GatewayAPI
	if spec == nil {
		return nil
	}
	refs := make([]trafficrouting.Ref, 0, len(spec.Routes)+2)
	for _, route := range spec.Routes {
		refs = append(refs, trafficrouting.Ref{Kind: string(kindOf(route)), Namespace: namespace, Name: route.Name})
	}
	return append(refs, edit.ServiceRef(namespace, spec.Services.Stable), edit.ServiceRef(namespace, spec.Services.Canary))
}

func kindOf(route v1alpha1.GatewayAPIRoute) v1alpha1.GatewayAPIRouteKind {
	return cmp.Or(route.Kind, v1alpha1.GatewayAPIHTTPRoute)
}

// Kinds returns the kinds that the router reads, all that a controller must watch
// and that a cache must hold. Of a route's status only the evidence matters.
func Kinds() []mux.Kind {
	kinds := []mux.Kind{edit.ServiceKind()}
	for _, kind := range []v1alpha1.GatewayAPIRouteKind{v1alpha1.GatewayAPIHTTPRoute, v1alpha1.GatewayAPIGRPCRoute} {
		k := edit.KindBySpec(newRoute(kind), string(kind))
		spec := k.Changed
		k.Changed = func(before, after client.Object) bool {
			return spec(before, after) || evidenceOf(before) != evidenceOf(after)
		}
		kinds = append(kinds, k)
	}
	return kinds
}

func newRoute(kind v1alpha1.GatewayAPIRouteKind) client.Object {
	switch kind {
	case v1alpha1.GatewayAPIHTTPRoute:
		return &gatewayv1.HTTPRoute{}
	case v1alpha1.GatewayAPIGRPCRoute:
		return &gatewayv1.GRPCRoute{}
	default:
		return nil
	}
}

// read reads all objects of the target.
func (r *Router) read(ctx context.Context, t trafficrouting.Target) *edit.Routing {
	found := &edit.Routing{}
	spec := t.Traffic.GatewayAPI
	if spec == nil || spec.Services.Stable == spec.Services.Canary {
		found.Note(trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
			"spec.traffic.gatewayAPI must name two different Services under services"))
		return found
	}
	found.ReadServices(ctx, r.Client, edit.ServicePair{
		Namespace: t.Rollout.Namespace, Stable: spec.Services.Stable, Canary: spec.Services.Canary,
		Field: "spec.traffic.gatewayAPI.services",
	})
	var all []trafficrouting.Programmed
	for _, ref := range spec.Routes {
		all = append(all, r.readRoute(ctx, found, t.Rollout.Namespace, selection{ref: ref, services: spec.Services}))
	}
	found.Programmed = worst(all)
	return found
}

// readRoute reads one route, and returns whether it is carried out.
func (r *Router) readRoute(ctx context.Context, found *edit.Routing, namespace string, sel selection) trafficrouting.Programmed {
	obj := newRoute(kindOf(sel.ref))
	if obj == nil {
		found.Note(trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
			"spec.traffic.gatewayAPI.routes[].kind %s is not known to this version of Sluice: write %s or %s",
			sel.ref.Kind, v1alpha1.GatewayAPIHTTPRoute, v1alpha1.GatewayAPIGRPCRoute))
		return trafficrouting.ProgrammedUnknown
	}
	key := types.NamespacedName{Namespace: namespace, Name: sel.ref.Name}
	err := edit.Get(ctx, r.Client, obj, key, "spec.traffic.gatewayAPI.routes", "the Gateway API 1.1 or newer")
	if !found.Note(err) {
		return trafficrouting.ProgrammedUnknown
	}
	rules, err := findRules(obj, sel)
	found.Note(err)
	found.Objects = append(found.Objects, editable(obj, rules))
	seen := evidenceOf(obj)
	if seen.refusal != "" {
		found.Refusals = append(found.Refusals,
			trafficrouting.Problemf(v1alpha1.ReasonRouteNotAccepted, "%s %s %s", kindOf(sel.ref), key, seen.refusal))
	}
	return seen.programmed
}

// worst returns what holds for all: that they are carried out if each of them is,
// that they are not if one is not.
func worst(all []trafficrouting.Programmed) trafficrouting.Programmed {
	result := trafficrouting.ProgrammedYes
	for _, p := range all {
		switch {
		case p == trafficrouting.ProgrammedNo:
			return p
		case p != trafficrouting.ProgrammedYes:
			result = trafficrouting.ProgrammedUnknown
		}
	}
	if len(all) == 0 {
		return trafficrouting.ProgrammedUnknown
	}
	return result
}

// describe names a route to its author.
func describe(obj client.Object) string {
	kind := v1alpha1.GatewayAPIHTTPRoute
	if _, ok := obj.(*gatewayv1.GRPCRoute); ok {
		kind = v1alpha1.GatewayAPIGRPCRoute
	}
	return fmt.Sprintf("%s %s/%s", kind, obj.GetNamespace(), obj.GetName())
}

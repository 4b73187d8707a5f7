package istio

import (
	"cmp"
	"context"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
	"github.com/sluice-dev/sluice/trafficrouting/internal/grants"
)

const (
	defaultStableSubset = "stable"
	defaultCanarySubset = "canary"
)

// read reads all objects of the target.
func (r *Router) read(ctx context.Context, t trafficrouting.Target) *edit.Routing {
	found := &edit.Routing{}
	spec := t.Traffic.Istio
	if spec == nil || (spec.DestinationRule == nil) == (spec.Services == nil) {
		found.Note(trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
			"spec.traffic.istio must have exactly one of destinationRule and services"))
		return found
	}
	sel := selection{domain: r.domain}
	if spec.DestinationRule != nil {
		sel.stable, sel.canary = r.readSubsets(ctx, found, t.Rollout.Namespace, *spec.DestinationRule)
	} else {
		sel.stable, sel.canary = r.readServices(ctx, found, t.Rollout.Namespace, *spec.Services)
	}
	for _, ref := range spec.VirtualServices {
		sel.ref = ref
		r.readVirtualService(ctx, found, t.Rollout.Namespace, sel)
	}
	return found
}

func (r *Router) readVirtualService(ctx context.Context, found *edit.Routing, namespace string, sel selection) {
	ref := virtualServiceRef(namespace, sel.ref)
	if !found.Note(r.permitted(ctx, namespace, ref)) {
		return
	}
	vs := &networkingv1.VirtualService{}
	if !found.Note(r.get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, vs)) {
		return
	}
	if ref.Namespace != namespace {
		// A short name would mean a service over there.
		sel.stable.written = cmp.Or(sel.stable.host, sel.stable.written)
		sel.canary.written = cmp.Or(sel.canary.host, sel.canary.written)
	}
	routes, err := findRoutes(vs, sel)
	found.Note(err)
	found.Objects = append(found.Objects, editable(vs, routes))
}

// permitted returns a problem for what a Rollout of namespace may not refer to.
func (r *Router) permitted(ctx context.Context, namespace string, ref trafficrouting.Ref) error {
	if ref.Namespace == namespace {
		return nil
	}
	permitted, err := grants.Permits(ctx, r.Client, namespace, networkingv1.GroupName, ref)
	if err != nil || permitted {
		return err
	}
	return grants.Denied(namespace, schema.GroupKind{Group: networkingv1.GroupName, Kind: ref.Kind}, ref)
}

// readSubsets reads the DestinationRule. Where it is missing, destinations are
// still known by their subsets.
func (r *Router) readSubsets(ctx context.Context, found *edit.Routing, namespace string, spec v1alpha1.IstioDestinationRule,
) (stable, canary destination) {
	stable = destination{subset: cmp.Or(spec.StableSubset, defaultStableSubset), written: "<the service>"}
	canary = destination{subset: cmp.Or(spec.CanarySubset, defaultCanarySubset), written: "<the service>"}
	dr := &networkingv1.DestinationRule{}
	key := types.NamespacedName{Namespace: namespace, Name: spec.Name}
	if !found.Note(r.get(ctx, key, dr)) {
		return stable, canary
	}
	host := dr.Spec.GetHost()
	for _, d := range []*destination{&stable, &canary} {
		d.host, d.written = resolveHost(host, dr.Namespace, r.domain), host
	}
	found.Stable, found.Canary = subsetBinding(dr, stable.subset), subsetBinding(dr, canary.subset)
	var missing []string
	if found.Stable == nil {
		missing = append(missing, stable.subset)
	}
	if found.Canary == nil {
		missing = append(missing, canary.subset)
	}
	if len(missing) > 0 {
		found.Note(subsetsNotFound(kindDestinationRule+" "+key.String(), missing))
	}
	return stable, canary
}

// subsetBinding returns the binding of a subset; nil if there is no such subset.
func subsetBinding(dr *networkingv1.DestinationRule, name string) *edit.Binding {
	for i, subset := range dr.Spec.GetSubsets() {
		if subset.GetName() != name {
			continue
		}
		return &edit.Binding{
			Object: dr,
			Path:   []any{"spec", "subsets", i, "labels"},
			Holds:  []edit.Operation{edit.Test(edit.Pointer("spec", "subsets", i, "name"), name)},
			Labels: subset.GetLabels(),
		}
	}
	return nil
}

func (r *Router) readServices(ctx context.Context, found *edit.Routing, namespace string, spec v1alpha1.IstioServices,
) (stable, canary destination) {
	found.ReadServices(ctx, r.Client, edit.ServicePair{
		Namespace: namespace, Stable: spec.Stable, Canary: spec.Canary, Field: "spec.traffic.istio.services",
	})
	named := func(name string) destination {
		return destination{host: serviceHost(name, namespace, r.domain), written: name}
	}
	return named(spec.Stable), named(spec.Canary)
}

func (r *Router) get(ctx context.Context, key types.NamespacedName, obj client.Object) error {
	return edit.Get(ctx, r.Client, obj, key, "spec.traffic.istio", "Istio 1.22 or newer")
}

package istio

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

const (
	defaultStableSubset = "stable"
	defaultCanarySubset = "canary"
)

// routing is what a Target's objects are, as far as they could be read.
type routing struct {
	// stable and canary are nil where they are missing.
	stable, canary  *binding
	virtualServices []virtualService
	// problems only the user can mend; failures may pass by themselves.
	problems, failures []error
}

// virtualService is one with its selected routes.
type virtualService struct {
	object *networkingv1.VirtualService
	routes []route
}

func (r *routing) err() error {
	return errors.Join(append(append([]error{}, r.problems...), r.failures...)...)
}

// note records err; it reports whether there was none.
func (r *routing) note(err error) bool {
	switch {
	case err == nil:
		return true
	case trafficrouting.AsProblem(err) != nil:
		r.problems = append(r.problems, err)
	default:
		r.failures = append(r.failures, err)
	}
	return false
}

// read reads all objects of the target.
func (r *Router) read(ctx context.Context, t trafficrouting.Target) *routing {
	found := &routing{}
	spec := t.Traffic.Istio
	if spec == nil || (spec.DestinationRule == nil) == (spec.Services == nil) {
		found.note(trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
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
		vs := &networkingv1.VirtualService{}
		key := types.NamespacedName{Namespace: t.Rollout.Namespace, Name: ref.Name}
		if !found.note(r.get(ctx, kindVirtualService, key, vs)) {
			continue
		}
		sel.names = ref.Routes
		routes, err := findRoutes(vs, sel)
		found.note(err)
		found.virtualServices = append(found.virtualServices, virtualService{vs, routes})
	}
	return found
}

// readSubsets reads the DestinationRule. Where it is missing, destinations are
// still known by their subsets.
func (r *Router) readSubsets(ctx context.Context, found *routing, namespace string, spec v1alpha1.IstioDestinationRule,
) (stable, canary destination) {
	stable = destination{subset: cmp.Or(spec.StableSubset, defaultStableSubset), written: "<the service>"}
	canary = destination{subset: cmp.Or(spec.CanarySubset, defaultCanarySubset), written: "<the service>"}
	dr := &networkingv1.DestinationRule{}
	key := types.NamespacedName{Namespace: namespace, Name: spec.Name}
	if !found.note(r.get(ctx, kindDestinationRule, key, dr)) {
		return stable, canary
	}
	host := dr.Spec.GetHost()
	for _, d := range []*destination{&stable, &canary} {
		d.host, d.written = resolveHost(host, dr.Namespace, r.domain), host
	}
	found.stable, found.canary = subsetBinding(dr, stable.subset), subsetBinding(dr, canary.subset)
	var missing []string
	if found.stable == nil {
		missing = append(missing, stable.subset)
	}
	if found.canary == nil {
		missing = append(missing, canary.subset)
	}
	if len(missing) > 0 {
		found.note(subsetsNotFound(kindDestinationRule+" "+key.String(), missing))
	}
	return stable, canary
}

func (r *Router) readServices(ctx context.Context, found *routing, namespace string, spec v1alpha1.IstioServices,
) (stable, canary destination) {
	read := func(name string) (*binding, destination) {
		d := destination{host: serviceHost(name, namespace, r.domain), written: name}
		service := &corev1.Service{}
		key := types.NamespacedName{Namespace: namespace, Name: name}
		if !found.note(r.get(ctx, kindService, key, service)) {
			return nil, d
		}
		return selectorBinding(service), d
	}
	found.stable, stable = read(spec.Stable)
	found.canary, canary = read(spec.Canary)
	return stable, canary
}

func (r *Router) get(ctx context.Context, kind string, key types.NamespacedName, obj client.Object) error {
	err := r.client.Get(ctx, key, obj)
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return trafficrouting.Problemf(v1alpha1.ReasonObjectMissing,
			"%s %s does not exist: create it, or correct its name in spec.traffic.istio", kind, key)
	case meta.IsNoMatchError(err):
		return trafficrouting.Problemf(v1alpha1.ReasonObjectMissing,
			"%s %s does not exist, for the cluster has no kind %s in networking.istio.io/v1: install Istio 1.22 or newer",
			kind, key, kind)
	default:
		return fmt.Errorf("read %s %s: %w", kind, key, err)
	}
}

// Package mux makes one Router of several: each Rollout is served by the one that
// its spec.traffic asks for. It also knows which kinds of objects the cluster has,
// so that a router whose kinds are not installed keeps no other from working.
package mux

import (
	"context"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// Router is a trafficrouting.Router that passes each call on to the backend that
// the Target asks for.
type Router struct{ backends []Backend }

var _ trafficrouting.Router = (*Router)(nil)

// New makes a Router of backends.
func New(backends ...Backend) *Router { return &Router{backends} }

// backend returns what t asks for. The schema admits one router exactly; objects
// from before it did, or from a later Sluice, are a problem.
func (r *Router) backend(t v1alpha1.Traffic) (*Backend, error) {
	var asked []*Backend
	var fields, askedFields []string
	for i := range r.backends {
		b := &r.backends[i]
		fields = append(fields, b.Field)
		if b.Asked(t) {
			asked, askedFields = append(asked, b), append(askedFields, b.Field)
		}
	}
	switch len(asked) {
	case 1:
		return asked[0], nil
	case 0:
		return nil, trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
			"spec.traffic names no router that this version of Sluice knows: write one of %s", strings.Join(fields, ", "))
	default:
		return nil, trafficrouting.Problemf(v1alpha1.ReasonInvalidSpec,
			"spec.traffic names %s: leave one of them", strings.Join(askedFields, " and "))
	}
}

// Observe implements trafficrouting.Router.
func (r *Router) Observe(ctx context.Context, t trafficrouting.Target) (trafficrouting.State, error) {
	b, err := r.backend(t.Traffic)
	if err != nil {
		return trafficrouting.State{Programmed: trafficrouting.ProgrammedUnknown}, err
	}
	return b.Router.Observe(ctx, t)
}

// Apply implements trafficrouting.Router.
func (r *Router) Apply(ctx context.Context, t trafficrouting.Target, s trafficrouting.Split) error {
	b, err := r.backend(t.Traffic)
	if err != nil {
		return err
	}
	return b.Router.Apply(ctx, t, s)
}

// Release implements trafficrouting.Router. Where it is not clear which router is
// meant there is nothing that could be given back.
func (r *Router) Release(ctx context.Context, t trafficrouting.Target) error {
	b, err := r.backend(t.Traffic)
	if err != nil {
		log.FromContext(ctx).Info("No routing can be given back", "cause", err.Error())
		return nil // An error would keep the Rollout from ever being deleted.
	}
	return b.Router.Release(ctx, t)
}

// Claims returns keys of the objects that a Rollout has written, and that no other
// Rollout may.
func (r *Router) Claims(rollout *v1alpha1.Rollout) []string {
	b, err := r.backend(rollout.Spec.Traffic)
	if err != nil {
		return nil
	}
	return keys(b.Claims(rollout.Namespace, rollout.Spec.Traffic))
}

// Reads returns keys of all objects whose changes concern a Rollout.
func (r *Router) Reads(rollout *v1alpha1.Rollout) []string {
	b, err := r.backend(rollout.Spec.Traffic)
	if err != nil {
		return nil
	}
	refs := b.Claims(rollout.Namespace, rollout.Spec.Traffic)
	if b.Reads != nil {
		refs = slices.Concat(refs, b.Reads(rollout.Namespace, rollout.Spec.Traffic))
	}
	return keys(refs)
}

// Permits reports whether a Rollout's claim is one that it may make: one in its own
// namespace, or one that was granted.
func (r *Router) Permits(ctx context.Context, rollout *v1alpha1.Rollout, claim string) (bool, error) {
	b, err := r.backend(rollout.Spec.Traffic)
	if err != nil {
		return false, nil //nolint:nilerr // it has no claims
	}
	for _, ref := range b.Claims(rollout.Namespace, rollout.Spec.Traffic) {
		if ref.String() != claim {
			continue
		}
		if ref.Namespace == rollout.Namespace {
			return true, nil
		}
		if b.Permits == nil {
			return false, nil
		}
		return b.Permits(ctx, rollout.Namespace, ref)
	}
	return false, nil
}

func keys(refs []trafficrouting.Ref) []string {
	var all []string
	for _, ref := range refs {
		if key := ref.String(); !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}

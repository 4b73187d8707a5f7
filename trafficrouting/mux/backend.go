package mux

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// Backend is one router, with what a controller must know to serve Rollouts by it.
type Backend struct {
	// Field of spec.traffic that asks for the router.
	Field string
	// Asked reports whether a spec asks for the router.
	Asked func(t v1alpha1.Traffic) bool
	// Router that is asked for.
	Router trafficrouting.Router
	// Claims returns the objects that Router writes for a Rollout of namespace: no
	// other Rollout may have them written.
	Claims func(namespace string, t v1alpha1.Traffic) []trafficrouting.Ref
	// Reads returns what else Router reads for it.
	Reads func(namespace string, t v1alpha1.Traffic) []trafficrouting.Ref
	// Permits reports whether a Rollout of namespace may have the object written;
	// nil if Router writes in the Rollout's namespace alone.
	Permits func(ctx context.Context, namespace string, ref trafficrouting.Ref) (bool, error)
}

// Kind is a kind of object that a router reads.
type Kind struct {
	// Object is an empty object of the kind.
	Object client.Object
	// RefOf names an object of the kind as the router's refs do.
	RefOf func(obj client.Object) trafficrouting.Ref
	// Changed reports whether an update is of anything that the router reads.
	Changed func(before, after client.Object) bool
}

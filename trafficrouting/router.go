// Package trafficrouting says what a rollout wants of the routing (Split), what
// the routing objects say (State), and what stands between the two (Router).
//
// Concrete routers live in folders beside this file, and only cmd/sluice imports
// them.
package trafficrouting

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Split is a whole routing intent: which revision each of the two destinations
// selects, and how requests are divided between the destinations.
type Split struct {
	// Stable is the revision that the stable destination selects. Empty leaves
	// the destination as it is.
	Stable string
	// Canary is the revision that the canary destination selects. Empty leaves
	// the destination as it is.
	Canary string
	// Weight is the percentage of requests to the canary destination, 0 to 100;
	// the stable destination gets the rest.
	Weight int32
}

// String is for logs and golden files.
func (s Split) String() string {
	return fmt.Sprintf("stable=%s:%d canary=%s:%d", s.Stable, 100-s.Weight, s.Canary, s.Weight)
}

// Programmed says whether the data plane carries out what the routing objects
// say.
type Programmed string

const (
	// ProgrammedUnknown: the router has no evidence either way; a propagation
	// time must pass instead.
	ProgrammedUnknown Programmed = "Unknown"
	// ProgrammedYes: the router has evidence that it does.
	ProgrammedYes Programmed = "Yes"
	// ProgrammedNo: the router has evidence that it does not.
	ProgrammedNo Programmed = "No"
)

// State is what the routing objects say. Routes may disagree, after a write that
// landed in part or an edit by somebody else; weights are therefore a range.
type State struct {
	// Stable is the revision that the stable destination selects; empty when it
	// selects by no revision.
	Stable string
	// Canary is the revision that the canary destination selects; likewise.
	Canary string
	// MinWeight and MaxWeight are the least and the greatest share of the canary
	// destination over all routes, in percent of what goes to the two
	// destinations together. MinWeight is rounded down and MaxWeight up: MaxWeight
	// is 0 only if the canary gets nothing, MinWeight is 100 only if it gets all.
	MinWeight, MaxWeight int32
	// FitMin and FitMax bound the weights of splits that every route expresses
	// exactly as it stands, so that Apply would write none of them. Where other
	// destinations hold part of a route, its numbers are coarser than percent and
	// several weights come to the same ones: of 50, both 5 and 6 percent come to 3.
	// Both are 0 if there is no such weight; a router whose routes are no coarser
	// than percent may leave them 0.
	FitMin, FitMax int32
	// Programmed says whether the data plane follows.
	Programmed Programmed
}

// Uniform reports whether every route gives the canary destination weight, as
// near as its numbers can say it.
func (s State) Uniform(weight int32) bool {
	if s.MinWeight == weight && s.MaxWeight == weight {
		return true
	}
	return s.FitMax > 0 && s.FitMin <= weight && weight <= s.FitMax
}

// Is reports whether the routing objects say split. An empty revision in split
// matches any.
func (s State) Is(split Split) bool {
	return s.Uniform(split.Weight) &&
		(split.Stable == "" || split.Stable == s.Stable) &&
		(split.Canary == "" || split.Canary == s.Canary)
}

// Target is what a router works on.
type Target struct {
	// Rollout is the Rollout whose traffic is routed.
	Rollout types.NamespacedName
	// UID of the Rollout: two Rollouts that claim one object are told apart by it.
	UID types.UID
	// Traffic is the Rollout's routing spec. It is not changed.
	Traffic v1alpha1.Traffic
}

// Ref names an object that a router reads.
type Ref struct {
	// Kind of the object, such as VirtualService.
	Kind string
	// Namespace of the object.
	Namespace string
	// Name of the object; empty for all of the kind in the namespace.
	Name string
}

// String is the Ref as the value of an index: kind/namespace/name.
func (r Ref) String() string { return r.Kind + "/" + r.Namespace + "/" + r.Name }

// Router reads and writes the routing of one kind of mesh or gateway.
//
// Errors that only the user can mend are *ProblemError; all others may pass by
// themselves.
type Router interface {
	// Observe reads what the routing objects say. Beside an error, State is of what
	// could be read, and of no use where nothing could.
	Observe(ctx context.Context, t Target) (State, error)
	// Apply makes the routing objects say s: the whole intent, idempotent, and
	// without a write where they say so already. Destinations are bound before
	// weights are moved; a destination that could not be bound gets no more
	// requests than it has. On an error any part may have been written: one route
	// that cannot be written keeps no other from being written.
	Apply(ctx context.Context, t Target, s Split) error
	// Release gives everything back: all traffic to the stable destination, and
	// every field that Apply set besides weights as it was before. Objects that are
	// gone are not an error. Idempotent.
	Release(ctx context.Context, t Target) error
}

// ProblemError says that the routing cannot be as the spec wants it until
// somebody changes the spec or the routing objects.
type ProblemError struct {
	// Reason is one of the Reason constants of package v1alpha1.
	Reason string
	// Message says what is wrong and what to write.
	Message string
}

// Error implements error.
func (e *ProblemError) Error() string { return e.Reason + ": " + e.Message }

// Problemf makes a ProblemError.
func Problemf(reason, format string, args ...any) error {
	return &ProblemError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// AsProblem returns the ProblemError in err, or nil.
func AsProblem(err error) *ProblemError {
	var p *ProblemError
	if errors.As(err, &p) {
		return p
	}
	return nil
}

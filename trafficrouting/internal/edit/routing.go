package edit

import (
	"errors"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// Routing is what a Target's objects are, as far as they could be read.
type Routing struct {
	// Stable and Canary are nil where the destination is missing.
	Stable, Canary *Binding
	// Objects that hold the routes.
	Objects []Object
	// Programmed says whether the data plane follows; empty means unknown.
	Programmed trafficrouting.Programmed
	// Refusals are problems that keep the data plane from following, and nobody from
	// writing: Observe alone tells of them.
	Refusals []error

	problems, failures []error
}

// Object is one object of the user's with its selected routes.
type Object struct {
	Object client.Object
	Routes []Route
}

// Route is a place in an object that divides requests between destinations, the
// stable and the canary one among them.
type Route struct {
	Numbers
	// StableAt and CanaryAt are where the two weights stand.
	StableAt, CanaryAt Place
	// Describe names the route to its author.
	Describe func() string
}

// Place is where the weight of a destination stands.
type Place struct {
	// Path of the weight.
	Path string
	// Holds is what must be so for Path to lead to what is meant.
	Holds []Operation
	// Weight that stands there; it may be absent where it is 0.
	Weight int32
}

// Note records an error that a part of the routing could not be read for; nil is
// none. It reports whether there was none. Problems are the user's to mend,
// others may pass by themselves.
func (r *Routing) Note(err error) bool {
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

func (r *Routing) err() error {
	return errors.Join(slices.Concat(r.problems, r.failures)...)
}

// state is what the routing says.
func (r *Routing) state() trafficrouting.State {
	state := trafficrouting.State{
		Stable:     r.Stable.revision(),
		Canary:     r.Canary.revision(),
		Programmed: trafficrouting.ProgrammedUnknown,
	}
	if r.Programmed != "" {
		state.Programmed = r.Programmed
	}
	var routes []Numbers
	for _, o := range r.Objects {
		for _, route := range o.Routes {
			routes = append(routes, route.Numbers)
		}
	}
	if len(routes) == 0 {
		return state
	}
	s := summarise(routes)
	state.MinWeight, state.MaxWeight = s.lowest, s.highest
	if s.fitMin <= s.fitMax {
		state.FitMin, state.FitMax = s.fitMin, s.fitMax
	}
	return state
}

// unusable returns what keeps the routing from being used, whether or not it could
// be written: refusals, and routes whose weights are too small to share.
func (r *Routing) unusable() error {
	errs := slices.Clone(r.Refusals)
	for _, o := range r.Objects {
		for _, route := range o.Routes {
			if route.coarse() {
				errs = append(errs, route.indivisible())
			}
		}
	}
	return errors.Join(errs...)
}

func (r Route) indivisible() error {
	held := int64(r.Stable) + int64(r.Canary)
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s gives %d of %d to the stable and the canary destination together, which cannot be divided: "+
			"write greater weights, best ones that add up to 100", r.Describe(), held, held+r.Others)
}

// Limits say which destination may get more requests than it has.
type Limits struct{ RaiseStable, RaiseCanary bool }

// Weigh returns what gives the canary weight percent of what the two destinations
// hold, in each of the object's routes; nothing where that is so already. A route
// that would give a destination more against may is left as it is.
func (o Object) Weigh(weight int32, may Limits) (Change, error) {
	c := Change{Object: o.Object}
	var errs []error
	for _, r := range o.Routes {
		at, ok := r.at(weight)
		if !ok {
			errs = append(errs, r.indivisible())
			continue
		}
		stableMore, canaryMore := r.raises(at)
		if stableMore && !may.RaiseStable || canaryMore && !may.RaiseCanary {
			continue
		}
		c.Ops = append(c.Ops, r.CanaryAt.set(at.Canary)...)
		c.Ops = append(c.Ops, r.StableAt.set(at.Stable)...)
	}
	return c, errors.Join(errs...)
}

// set returns the operations that write weight at the place, unless it is there.
func (p Place) set(weight int32) []Operation {
	if p.Weight == weight {
		return nil
	}
	return append(slices.Clone(p.Holds), set(p.Path, weight))
}

package istio

import (
	"errors"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// destination is one of the two ends of a split, as routes name it.
type destination struct {
	// host is the full name of the service; empty matches any.
	host string
	// subset is the name of the subset; empty matches any, and none.
	subset string
	// written is the host as the message to a user should have it.
	written string
}

// selection says what of a VirtualService is a Rollout's to weigh.
type selection struct {
	domain string
	// names of HTTP routes; empty means the only one.
	names          []string
	stable, canary destination
}

// route is an HTTP route with both destinations.
type route struct {
	// index in spec.http.
	index int
	http  *networking.HTTPRoute
	// stable and canary are indexes in the route's destinations.
	stable, canary int
}

// limits say which destination may get more requests than it has.
type limits struct{ raiseStable, raiseCanary bool }

func (s selection) matches(d destination, dst *networking.Destination, namespace string) bool {
	return dst != nil &&
		(d.subset == "" || d.subset == dst.GetSubset()) &&
		(d.host == "" || d.host == resolveHost(dst.GetHost(), namespace, s.domain))
}

// findRoutes returns the selected routes. What keeps others from being among
// them is in the error; those found can be worked on all the same.
func findRoutes(vs *networkingv1.VirtualService, s selection) ([]route, error) {
	indexes, err := s.routeIndexes(vs)
	errs := []error{err}
	routes := make([]route, 0, len(indexes))
	for _, i := range indexes {
		r, err := s.findDestinations(vs, i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		routes = append(routes, r)
	}
	return routes, errors.Join(errs...)
}

func (s selection) routeIndexes(vs *networkingv1.VirtualService) ([]int, error) {
	http := vs.Spec.GetHttp()
	if len(s.names) == 0 {
		if len(http) != 1 {
			return nil, routeNotChosen(vs)
		}
		return []int{0}, nil
	}
	var indexes []int
	var errs []error
	for _, name := range s.names {
		if !slices.ContainsFunc(http, func(r *networking.HTTPRoute) bool { return r.GetName() == name }) {
			errs = append(errs, routeNotFound(vs, name))
		}
	}
	for i, r := range http {
		if r.GetName() != "" && slices.Contains(s.names, r.GetName()) {
			indexes = append(indexes, i)
		}
	}
	return indexes, errors.Join(errs...)
}

func (s selection) findDestinations(vs *networkingv1.VirtualService, index int) (route, error) {
	r := route{index: index, http: vs.Spec.GetHttp()[index]}
	var stable, canary []int
	for i, d := range r.http.GetRoute() {
		switch {
		case s.matches(s.stable, d.GetDestination(), vs.Namespace):
			stable = append(stable, i)
		case s.matches(s.canary, d.GetDestination(), vs.Namespace):
			canary = append(canary, i)
		}
	}
	switch {
	case len(stable) == 0 || len(canary) == 0:
		return r, destinationNotFound(vs, r, s, len(stable) > 0, len(canary) > 0)
	case len(stable) > 1:
		return r, destinationRepeated(vs, r, s.stable, stable)
	case len(canary) > 1:
		return r, destinationRepeated(vs, r, s.canary, canary)
	}
	r.stable, r.canary = stable[0], canary[0]
	return r, nil
}

// numbers reads the route's weights.
func (r route) numbers() numbers {
	var n numbers
	for i, d := range r.http.GetRoute() {
		weight := max(d.GetWeight(), 0)
		switch i {
		case r.stable:
			n.stable = weight
		case r.canary:
			n.canary = weight
		default:
			n.others += int64(weight)
		}
	}
	return n
}

// weigh returns the operations that give the canary weight percent of what the
// two destinations hold, in each route; none where that is so already. A route
// that would give a destination more against limits is left as it is.
func weigh(vs *networkingv1.VirtualService, routes []route, weight int32, may limits) ([]operation, error) {
	var ops []operation
	var errs []error
	for _, r := range routes {
		n := r.numbers()
		common := n.common()
		canary, ok := share(weight, common)
		if !ok {
			errs = append(errs, trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
				"%s gives %d of %d to the stable and the canary destination together, which cannot be divided: "+
					"write greater weights, best ones that add up to 100",
				r.describe(vs), common, int64(common)+n.others))
			continue
		}
		stable := common - canary
		if canary > n.canary && !may.raiseCanary || stable > n.stable && !may.raiseStable {
			continue
		}
		ops = append(ops, r.set(r.canary, canary)...)
		ops = append(ops, r.set(r.stable, stable)...)
	}
	return ops, errors.Join(errs...)
}

// set returns the operations that set the weight of a destination, unless it is
// that already.
func (r route) set(index int, weight int32) []operation {
	d := r.http.GetRoute()[index]
	if d.GetWeight() == weight {
		return nil
	}
	path := []any{"spec", "http", r.index}
	at := func(tokens ...any) string { return pointer(append(slices.Clone(path), tokens...)...) }

	var ops []operation
	if name := r.http.GetName(); name != "" {
		ops = append(ops, test(at("name"), name))
	}
	ops = append(ops, test(at("route", index, "destination", "host"), d.GetDestination().GetHost()))
	if subset := d.GetDestination().GetSubset(); subset != "" {
		ops = append(ops, test(at("route", index, "destination", "subset"), subset))
	}
	return append(ops, set(at("route", index, "weight"), weight))
}

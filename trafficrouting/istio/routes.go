package istio

import (
	"errors"
	"fmt"
	"math"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
)

// The lists of routes in the spec of a VirtualService.
const (
	listHTTP = "http"
	listTLS  = "tls"
	listTCP  = "tcp"
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
	// ref names the routes.
	ref            v1alpha1.IstioVirtualService
	stable, canary destination
}

// weighted is a destination of a route with its weight, whatever its protocol.
type weighted interface {
	GetDestination() *networking.Destination
	GetWeight() int32
}

// route is a route of a VirtualService, whatever its protocol.
type route struct {
	vs *networkingv1.VirtualService
	// list and index are where in the spec it is.
	list  string
	index int
	// name of an HTTP route; others have none.
	name         string
	destinations []weighted
	// stable and canary are indexes in destinations, once they were looked for.
	stable, canary int
}

// routesOf returns all routes of a VirtualService.
func routesOf(vs *networkingv1.VirtualService) []route {
	var routes []route
	for i, r := range vs.Spec.GetHttp() {
		routes = append(routes, route{vs: vs, list: listHTTP, index: i, name: r.GetName(), destinations: asWeighted(r.GetRoute())})
	}
	for i, r := range vs.Spec.GetTls() {
		routes = append(routes, route{vs: vs, list: listTLS, index: i, destinations: asWeighted(r.GetRoute())})
	}
	for i, r := range vs.Spec.GetTcp() {
		routes = append(routes, route{vs: vs, list: listTCP, index: i, destinations: asWeighted(r.GetRoute())})
	}
	return routes
}

func asWeighted[D weighted](destinations []D) []weighted {
	all := make([]weighted, len(destinations))
	for i, d := range destinations {
		all[i] = d
	}
	return all
}

func (s selection) matches(d destination, dst *networking.Destination, namespace string) bool {
	return dst != nil &&
		(d.subset == "" || d.subset == dst.GetSubset()) &&
		(d.host == "" || d.host == resolveHost(dst.GetHost(), namespace, s.domain))
}

// concerns reports whether a route that nobody named is one to weigh: it sends to
// one of the two destinations, or to the whole of the service of which they are
// subsets.
func (s selection) concerns(r route) bool {
	return slices.ContainsFunc(r.destinations, func(d weighted) bool {
		dst := d.GetDestination()
		return s.matches(s.stable, dst, r.vs.Namespace) || s.matches(s.canary, dst, r.vs.Namespace) ||
			s.stable.host != "" && dst.GetSubset() == "" && resolveHost(dst.GetHost(), r.vs.Namespace, s.domain) == s.stable.host
	})
}

// findRoutes returns the selected routes. What keeps others from being among
// them is in the error; those found can be worked on all the same.
func findRoutes(vs *networkingv1.VirtualService, s selection) ([]route, error) {
	selected, err := s.choose(vs)
	errs := []error{err}
	routes := make([]route, 0, len(selected))
	for _, r := range selected {
		if err := s.findDestinations(&r); err != nil {
			errs = append(errs, err)
			continue
		}
		routes = append(routes, r)
	}
	return routes, errors.Join(errs...)
}

// choose returns the routes that the Rollout names, or all that concern it where
// it names none.
func (s selection) choose(vs *networkingv1.VirtualService) ([]route, error) {
	all := routesOf(vs)
	named := append(append(s.byName(), s.bySNI(vs)...), s.byPort(vs)...)
	if len(named) == 0 {
		chosen := slices.DeleteFunc(all, func(r route) bool { return !s.concerns(r) })
		if len(chosen) == 0 {
			return nil, noRouteSends(vs, s)
		}
		return chosen, nil
	}
	var errs []error
	for _, n := range named {
		if !slices.ContainsFunc(all, n.is) {
			errs = append(errs, routeNotFound(vs, n))
		}
	}
	chosen := slices.DeleteFunc(all, func(r route) bool {
		return !slices.ContainsFunc(named, func(n namedRoute) bool { return n.is(r) })
	})
	return chosen, errors.Join(errs...)
}

// namedRoute is what the Rollout says of one or more routes.
type namedRoute struct {
	is func(route) bool
	// what is for a message: "HTTP route named x".
	what string
	// remedy is what to write in the VirtualService.
	remedy string
}

func (s selection) byName() []namedRoute {
	var named []namedRoute
	for _, name := range s.ref.Routes {
		named = append(named, namedRoute{
			is:     func(r route) bool { return r.list == listHTTP && r.name == name },
			what:   fmt.Sprintf("HTTP route named %q", name),
			remedy: "set spec.http[].name to it, or correct spec.traffic.istio.virtualServices[].routes",
		})
	}
	return named
}

func (s selection) bySNI(vs *networkingv1.VirtualService) []namedRoute {
	var named []namedRoute
	for _, want := range s.ref.TLS {
		meets := func(m *networking.TLSMatchAttributes) bool {
			return portMeets(want.Port, m.GetPort()) &&
				!slices.ContainsFunc(want.SNIHosts, func(host string) bool { return !slices.Contains(m.GetSniHosts(), host) })
		}
		named = append(named, namedRoute{
			is: func(r route) bool {
				return r.list == listTLS && slices.ContainsFunc(vs.Spec.GetTls()[r.index].GetMatch(), meets)
			},
			what:   "TLS route with a match of " + describeTLS(want),
			remedy: "correct spec.tls[].match, or spec.traffic.istio.virtualServices[].tls",
		})
	}
	return named
}

func (s selection) byPort(vs *networkingv1.VirtualService) []namedRoute {
	var named []namedRoute
	for _, want := range s.ref.TCP {
		meets := func(m *networking.L4MatchAttributes) bool { return portMeets(&want.Port, m.GetPort()) }
		named = append(named, namedRoute{
			is: func(r route) bool {
				return r.list == listTCP && slices.ContainsFunc(vs.Spec.GetTcp()[r.index].GetMatch(), meets)
			},
			what:   fmt.Sprintf("TCP route with a match of port %d", want.Port),
			remedy: "correct spec.tcp[].match, or spec.traffic.istio.virtualServices[].tcp",
		})
	}
	return named
}

func portMeets(want *int32, port uint32) bool {
	return want == nil || int64(*want) == int64(port)
}

// findDestinations finds the two destinations of a route.
func (s selection) findDestinations(r *route) error {
	var stable, canary []int
	for i, d := range r.destinations {
		switch {
		case s.matches(s.stable, d.GetDestination(), r.vs.Namespace):
			stable = append(stable, i)
		case s.matches(s.canary, d.GetDestination(), r.vs.Namespace):
			canary = append(canary, i)
		}
	}
	switch {
	case len(stable) == 0 || len(canary) == 0:
		return destinationNotFound(*r, s, len(stable) > 0, len(canary) > 0)
	case len(stable) > 1:
		return destinationRepeated(*r, s.stable, stable)
	case len(canary) > 1:
		return destinationRepeated(*r, s.canary, canary)
	}
	r.stable, r.canary = stable[0], canary[0]
	return nil
}

// editable makes the routes of a VirtualService what can be edited.
func editable(vs *networkingv1.VirtualService, routes []route) edit.Object {
	o := edit.Object{Object: vs}
	for _, r := range routes {
		o.Routes = append(o.Routes, edit.Route{
			Numbers:  r.numbers(),
			StableAt: r.place(r.stable),
			CanaryAt: r.place(r.canary),
			Describe: r.String,
		})
	}
	return o
}

// numbers reads the route's weights, absent ones as 0.
func (r route) numbers() edit.Numbers {
	n := edit.Numbers{Max: math.MaxInt32}
	for i, d := range r.destinations {
		weight := max(d.GetWeight(), 0)
		switch i {
		case r.stable:
			n.Stable = weight
		case r.canary:
			n.Canary = weight
		default:
			n.Others += int64(weight)
		}
	}
	return n
}

// place is where the weight of a destination stands.
func (r route) place(index int) edit.Place {
	d := r.destinations[index]
	at := func(tokens ...any) string {
		return edit.Pointer(append([]any{"spec", r.list, r.index}, tokens...)...)
	}
	var holds []edit.Operation
	if r.name != "" {
		holds = append(holds, edit.Test(at("name"), r.name))
	}
	holds = append(holds, edit.Test(at("route", index, "destination", "host"), d.GetDestination().GetHost()))
	if subset := d.GetDestination().GetSubset(); subset != "" {
		holds = append(holds, edit.Test(at("route", index, "destination", "subset"), subset))
	}
	return edit.Place{Path: at("route", index, "weight"), Holds: holds, Weight: d.GetWeight()}
}

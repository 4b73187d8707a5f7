package istio

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// maxListed bounds the names in a message; it goes into a condition.
const maxListed = 20

// String names the route to its author.
func (r route) String() string {
	if r.name != "" {
		return fmt.Sprintf("VirtualService %s/%s, route %q,", r.vs.Namespace, r.vs.Name, r.name)
	}
	return fmt.Sprintf("VirtualService %s/%s, spec.%s[%d],", r.vs.Namespace, r.vs.Name, r.list, r.index)
}

func noRouteSends(vs *networkingv1.VirtualService, s selection) error {
	message := fmt.Sprintf("VirtualService %s/%s has no route that sends to %s or to %s: have destinations of a route be\n%s",
		vs.Namespace, vs.Name, s.stable, s.canary, strings.TrimSuffix(s.stable.yaml(100)+s.canary.yaml(0), "\n"))
	for _, r := range routesOf(vs) {
		if hint := s.hint(r); hint != "" {
			return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing, "%s\n%s", message, hint)
		}
	}
	return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing, "%s", message)
}

func routeNotFound(vs *networkingv1.VirtualService, n namedRoute) error {
	message := fmt.Sprintf("VirtualService %s/%s has no %s: %s.", vs.Namespace, vs.Name, n.what, n.remedy)
	names, unnamed := routeNames(vs)
	if len(names) > 0 {
		message += " HTTP routes are: " + list(names) + "."
	}
	if unnamed > 0 {
		message += fmt.Sprintf(" %d HTTP routes have no name.", unnamed)
	}
	if n := len(vs.Spec.GetTls()) + len(vs.Spec.GetTcp()); n > 0 {
		message += fmt.Sprintf(" There are %d TLS and TCP routes.", n)
	}
	return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing, "%s", message)
}

func routeNames(vs *networkingv1.VirtualService) (names []string, unnamed int) {
	for _, r := range vs.Spec.GetHttp() {
		if r.GetName() == "" {
			unnamed++
			continue
		}
		names = append(names, r.GetName())
	}
	return names, unnamed
}

func list(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}

func describeTLS(want v1alpha1.IstioTLSRoute) string {
	hosts := "SNI hosts " + strings.Join(want.SNIHosts, ", ")
	if want.Port == nil {
		return hosts
	}
	return fmt.Sprintf("port %d and %s", *want.Port, hosts)
}

func destinationNotFound(r route, s selection, haveStable, haveCanary bool) error {
	var missing, yaml string
	switch {
	case !haveStable && !haveCanary:
		missing = "neither the stable nor the canary destination. Have its destinations be"
		yaml = s.stable.yaml(100) + s.canary.yaml(0)
	case !haveStable:
		missing = "no stable destination. Add"
		yaml = s.stable.yaml(100 - weightSum(r))
	default:
		missing = "no canary destination. Add"
		yaml = s.canary.yaml(0)
	}
	message := fmt.Sprintf("%s has %s under spec.%s[%d].route:\n%s", r, missing, r.list, r.index, strings.TrimSuffix(yaml, "\n"))
	if s.unnamed() {
		message += "\nor name the routes to weigh under spec.traffic.istio.virtualServices[]."
	}
	if hint := s.hint(r); hint != "" {
		message += "\n" + hint
	}
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing, "%s", message)
}

// unnamed reports whether the Rollout leaves it to the VirtualService which routes
// are weighed.
func (s selection) unnamed() bool {
	return len(s.ref.Routes)+len(s.ref.TLS)+len(s.ref.TCP) == 0
}

// hint tells of a host that looks like one of the two destinations and that Istio
// takes for another; it is empty if there is none.
func (s selection) hint(r route) string {
	for _, d := range r.destinations {
		host := d.GetDestination().GetHost()
		full := slices.IndexFunc([]string{s.stable.host, s.canary.host}, func(full string) bool {
			return cutShort(host, full, s.domain)
		})
		if full >= 0 {
			return fmt.Sprintf("Istio completes no name that has a dot: write %s instead of %s.",
				[]string{s.stable.host, s.canary.host}[full], host)
		}
	}
	return ""
}

// weightSum is what the route's destinations hold, 100 at most.
func weightSum(r route) int32 {
	var sum int64
	for _, d := range r.destinations {
		sum += int64(max(d.GetWeight(), 0))
	}
	return int32(min(sum, 100))
}

func (d destination) yaml(weight int32) string {
	text := "- destination:\n    host: " + d.written + "\n"
	if d.subset != "" {
		text += "    subset: " + d.subset + "\n"
	}
	return text + fmt.Sprintf("  weight: %d\n", weight)
}

func (d destination) String() string {
	if d.subset == "" {
		return "host " + d.written
	}
	return "host " + d.written + ", subset " + d.subset
}

func destinationRepeated(r route, d destination, indexes []int) error {
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s has %d destinations with %s (spec.%s[%d].route%v): which of them to weigh is unclear, leave one",
		r, len(indexes), d, r.list, r.index, indexes)
}

func subsetsNotFound(object string, names []string) error {
	var yaml strings.Builder
	for _, name := range names {
		yaml.WriteString("\n- name: " + name)
	}
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s lacks %d of the two subsets. Add under spec.subsets:%s", object, len(names), yaml.String())
}

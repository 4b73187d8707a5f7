package istio

import (
	"fmt"
	"strings"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// maxListed bounds the names in a message; it goes into a condition.
const maxListed = 20

func (r route) describe(vs *networkingv1.VirtualService) string {
	if name := r.http.GetName(); name != "" {
		return fmt.Sprintf("VirtualService %s/%s, route %q,", vs.Namespace, vs.Name, name)
	}
	return fmt.Sprintf("VirtualService %s/%s, spec.http[%d],", vs.Namespace, vs.Name, r.index)
}

func routeNotChosen(vs *networkingv1.VirtualService) error {
	http := vs.Spec.GetHttp()
	if len(http) == 0 {
		return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing,
			"VirtualService %s/%s has no HTTP route: add one under spec.http", vs.Namespace, vs.Name)
	}
	names, unnamed := routeNames(vs)
	message := fmt.Sprintf("VirtualService %s/%s has %d HTTP routes: write the names of those to weigh under "+
		"spec.traffic.istio.virtualServices[].routes.", vs.Namespace, vs.Name, len(http))
	if len(names) > 0 {
		message += " There are: " + list(names) + "."
	}
	if unnamed > 0 {
		message += fmt.Sprintf(" %d of them have no name: add it as spec.http[].name.", unnamed)
	}
	return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing, "%s", message)
}

func routeNotFound(vs *networkingv1.VirtualService, name string) error {
	names, unnamed := routeNames(vs)
	message := fmt.Sprintf("VirtualService %s/%s has no HTTP route named %q: set spec.http[].name to it, or correct "+
		"spec.traffic.istio.virtualServices[].routes.", vs.Namespace, vs.Name, name)
	if len(names) > 0 {
		message += " There are: " + list(names) + "."
	}
	if unnamed > 0 {
		message += fmt.Sprintf(" %d have no name.", unnamed)
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

func destinationNotFound(vs *networkingv1.VirtualService, r route, s selection, haveStable, haveCanary bool) error {
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
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing, "%s has %s under spec.http[%d].route:\n%s",
		r.describe(vs), missing, r.index, strings.TrimSuffix(yaml, "\n"))
}

// weightSum is what the route's destinations hold, 100 at most.
func weightSum(r route) int32 {
	var sum int64
	for _, d := range r.http.GetRoute() {
		sum += int64(max(d.GetWeight(), 0))
	}
	return int32(min(sum, defaultTotal))
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

func destinationRepeated(vs *networkingv1.VirtualService, r route, d destination, indexes []int) error {
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s has %d destinations with %s (spec.http[%d].route%v): which of them to weigh is unclear, leave one",
		r.describe(vs), len(indexes), d, r.index, indexes)
}

func subsetsNotFound(object string, names []string) error {
	var yaml strings.Builder
	for _, name := range names {
		yaml.WriteString("\n- name: " + name)
	}
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s lacks %d of the two subsets. Add under spec.subsets:%s", object, len(names), yaml.String())
}

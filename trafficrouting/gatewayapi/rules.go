package gatewayapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
)

const (
	// maxWeight is the greatest weight that the Gateway API takes.
	maxWeight = 1_000_000
	// defaultWeight is the weight of a backend that has none.
	defaultWeight = 1
	// maxListed bounds the names in a message; it goes into a condition.
	maxListed = 20
)

// selection says what of a route is a Rollout's to weigh.
type selection struct {
	// ref names the route and its rules.
	ref      v1alpha1.GatewayAPIRoute
	services v1alpha1.GatewayAPIServices
}

// rule is a rule of a route, whatever its protocol.
type rule struct {
	route client.Object
	// index in spec.rules.
	index    int
	name     string
	backends []gatewayv1.BackendRef
	// stable and canary are indexes in backends, once they were looked for.
	stable, canary int
}

// rulesOf returns all rules of a route.
func rulesOf(route client.Object) []rule {
	var rules []rule
	add := func(index int, name *gatewayv1.SectionName, backends []gatewayv1.BackendRef) {
		rules = append(rules, rule{route: route, index: index, name: string(ptr.Deref(name, "")), backends: backends})
	}
	switch r := route.(type) {
	case *gatewayv1.HTTPRoute:
		for i, rule := range r.Spec.Rules {
			var backends []gatewayv1.BackendRef
			for _, b := range rule.BackendRefs {
				backends = append(backends, b.BackendRef)
			}
			add(i, rule.Name, backends)
		}
	case *gatewayv1.GRPCRoute:
		for i, rule := range r.Spec.Rules {
			var backends []gatewayv1.BackendRef
			for _, b := range rule.BackendRefs {
				backends = append(backends, b.BackendRef)
			}
			add(i, rule.Name, backends)
		}
	}
	return rules
}

// sendsTo reports whether a backend is the Service of that name in the route's
// namespace.
func (r rule) sendsTo(b gatewayv1.BackendRef, service string) bool {
	return ptr.Deref(b.Group, "") == "" && ptr.Deref(b.Kind, "Service") == "Service" &&
		string(ptr.Deref(b.Namespace, gatewayv1.Namespace(r.route.GetNamespace()))) == r.route.GetNamespace() &&
		string(b.Name) == service
}

// indexesOf returns where in the rule the Service is.
func (r rule) indexesOf(service string) []int {
	var indexes []int
	for i, b := range r.backends {
		if r.sendsTo(b, service) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// findRules returns the selected rules. What keeps others from being among them is
// in the error; those found can be worked on all the same.
func findRules(route client.Object, s selection) ([]rule, error) {
	selected, err := s.choose(route)
	errs := []error{err}
	rules := make([]rule, 0, len(selected))
	for _, r := range selected {
		if err := s.findBackends(&r); err != nil {
			errs = append(errs, err)
			continue
		}
		rules = append(rules, r)
	}
	return rules, errors.Join(errs...)
}

// choose returns the rules that the Rollout names, or all that send to one of the
// two Services where it names none.
func (s selection) choose(route client.Object) ([]rule, error) {
	all := rulesOf(route)
	if len(s.ref.Rules) == 0 {
		chosen := slices.DeleteFunc(all, func(r rule) bool {
			return len(r.indexesOf(s.services.Stable))+len(r.indexesOf(s.services.Canary)) == 0
		})
		if len(chosen) == 0 {
			return nil, s.noRuleSends(route)
		}
		return chosen, nil
	}
	var errs []error
	for _, name := range s.ref.Rules {
		if !slices.ContainsFunc(all, func(r rule) bool { return r.name == name }) {
			errs = append(errs, ruleNotFound(route, name))
		}
	}
	chosen := slices.DeleteFunc(all, func(r rule) bool { return r.name == "" || !slices.Contains(s.ref.Rules, r.name) })
	return chosen, errors.Join(errs...)
}

// findBackends finds the two destinations of a rule.
func (s selection) findBackends(r *rule) error {
	stable, canary := r.indexesOf(s.services.Stable), r.indexesOf(s.services.Canary)
	switch {
	case len(stable) == 0 || len(canary) == 0:
		return s.backendNotFound(*r, len(stable) > 0, len(canary) > 0)
	case len(stable) > 1:
		return backendRepeated(*r, s.services.Stable, stable)
	case len(canary) > 1:
		return backendRepeated(*r, s.services.Canary, canary)
	}
	r.stable, r.canary = stable[0], canary[0]
	return nil
}

// editable makes the rules of a route what can be edited.
func editable(route client.Object, rules []rule) edit.Object {
	o := edit.Object{Object: route}
	for _, r := range rules {
		o.Routes = append(o.Routes, edit.Route{
			Numbers:  r.numbers(),
			StableAt: r.place(r.stable),
			CanaryAt: r.place(r.canary),
			Describe: r.String,
		})
	}
	return o
}

// numbers reads the rule's weights.
func (r rule) numbers() edit.Numbers {
	n := edit.Numbers{Max: maxWeight}
	for i, b := range r.backends {
		weight := max(ptr.Deref(b.Weight, defaultWeight), 0)
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

// place is where the weight of a backend stands.
func (r rule) place(index int) edit.Place {
	b := r.backends[index]
	at := func(tokens ...any) string {
		return edit.Pointer(append([]any{"spec", "rules", r.index}, tokens...)...)
	}
	var holds []edit.Operation
	if r.name != "" {
		holds = append(holds, edit.Test(at("name"), r.name))
	}
	holds = append(holds, edit.Test(at("backendRefs", index, "name"), string(b.Name)))
	return edit.Place{
		Path: at("backendRefs", index, "weight"), Holds: holds, Weight: ptr.Deref(b.Weight, defaultWeight),
	}
}

// String names the rule to its author.
func (r rule) String() string {
	if r.name != "" {
		return fmt.Sprintf("%s, rule %q,", describe(r.route), r.name)
	}
	return fmt.Sprintf("%s, spec.rules[%d],", describe(r.route), r.index)
}

func (s selection) noRuleSends(route client.Object) error {
	return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing,
		"%s has no rule that sends to Service %s or %s: have backendRefs of a rule be\n%s%s",
		describe(route), s.services.Stable, s.services.Canary,
		backendYAML(s.services.Stable, percentTotal, nil), strings.TrimSuffix(backendYAML(s.services.Canary, 0, nil), "\n"))
}

func ruleNotFound(route client.Object, name string) error {
	var names []string
	unnamed := 0
	for _, r := range rulesOf(route) {
		if r.name == "" {
			unnamed++
			continue
		}
		names = append(names, r.name)
	}
	message := fmt.Sprintf("%s has no rule named %q: set spec.rules[].name to it, or correct "+
		"spec.traffic.gatewayAPI.routes[].rules.", describe(route), name)
	if len(names) > maxListed {
		names = append(names[:maxListed], "...")
	}
	if len(names) > 0 {
		message += " There are: " + strings.Join(names, ", ") + "."
	}
	if unnamed > 0 {
		message += fmt.Sprintf(" %d have no name.", unnamed)
	}
	return trafficrouting.Problemf(v1alpha1.ReasonRouteMissing, "%s", message)
}

// percentTotal is what two weights are best written to add up to.
const percentTotal = 100

func (s selection) backendNotFound(r rule, haveStable, haveCanary bool) error {
	var missing, yaml string
	var port *gatewayv1.PortNumber
	if len(r.backends) > 0 {
		port = r.backends[0].Port
	}
	switch {
	case !haveStable && !haveCanary:
		missing = "neither the stable nor the canary Service. Have its backends be"
		yaml = backendYAML(s.services.Stable, percentTotal, port) + backendYAML(s.services.Canary, 0, port)
	case !haveStable:
		missing = "no stable Service. Add"
		yaml = backendYAML(s.services.Stable, percentTotal, port)
	default:
		missing = "no canary Service. Add"
		yaml = backendYAML(s.services.Canary, 0, port)
	}
	message := fmt.Sprintf("%s has %s under spec.rules[%d].backendRefs:\n%s", r, missing, r.index, strings.TrimSuffix(yaml, "\n"))
	if len(s.ref.Rules) == 0 {
		message += "\nor name the rules to weigh under spec.traffic.gatewayAPI.routes[].rules"
	}
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing, "%s", message)
}

func backendYAML(service string, weight int, port *gatewayv1.PortNumber) string {
	written := "<port>"
	if port != nil {
		written = fmt.Sprint(*port)
	}
	return fmt.Sprintf("- name: %s\n  port: %s\n  weight: %d\n", service, written, weight)
}

func backendRepeated(r rule, service string, indexes []int) error {
	return trafficrouting.Problemf(v1alpha1.ReasonDestinationMissing,
		"%s has %d backends that are Service %s (spec.rules[%d].backendRefs%v): which of them to weigh is unclear, leave one",
		r, len(indexes), service, r.index, indexes)
}

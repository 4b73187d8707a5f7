package history

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// gatewayRoute is the part of an HTTPRoute or a GRPCRoute that matters here.
type gatewayRoute struct {
	Spec struct {
		Rules []gatewayRule `json:"rules"`
	} `json:"spec"`
}

type gatewayRule struct {
	Name        string    `json:"name"`
	BackendRefs []backend `json:"backendRefs"`
}

type backend struct {
	Name   string `json:"name"`
	Weight int32  `json:"weight"`
}

// managedRule reports whether a rule is one to weigh: named, or without names one
// that has one of the two Services.
func managedRule(ref v1alpha1.GatewayAPIRoute, rule gatewayRule, services v1alpha1.GatewayAPIServices) bool {
	if len(ref.Rules) > 0 {
		return slices.Contains(ref.Rules, rule.Name)
	}
	return slices.ContainsFunc(rule.BackendRefs, func(b backend) bool { return b.Name == services.Stable || b.Name == services.Canary })
}

// gatewaySplit reads the routing of a Rollout by the Gateway API; ok is false while
// an object, a rule or a backend of it is missing.
func (w world) gatewaySplit(namespace string, g *v1alpha1.GatewayAPITraffic) (s split, ok bool) {
	const label = v1alpha1.PodTemplateHashLabel
	stable := get[corev1.Service](w, KindService, namespace, g.Services.Stable)
	canary := get[corev1.Service](w, KindService, namespace, g.Services.Canary)
	if stable == nil || canary == nil {
		return split{}, false
	}
	s.stable, s.canary = stable.Spec.Selector[label], canary.Spec.Selector[label]
	for _, ref := range g.Routes {
		object := get[gatewayRoute](w, string(ref.Kind), namespace, ref.Name)
		if object == nil {
			return split{}, false
		}
		found := 0
		for _, rule := range object.Spec.Rules {
			if managedRule(ref, rule, g.Services) {
				found++
				s.routes = append(s.routes, readRule(ref.Name, rule, g.Services))
			}
		}
		if found < max(1, len(ref.Rules)) {
			return split{}, false
		}
	}
	return s, true
}

func readRule(object string, rule gatewayRule, services v1alpha1.GatewayAPIServices) route {
	out := route{object: object, name: rule.Name, least: 100}
	for _, b := range rule.BackendRefs {
		switch b.Name {
		case services.Stable:
			out.stable += b.Weight
		case services.Canary:
			out.canary += b.Weight
		}
		out.sum += b.Weight
		out.least, out.most = min(out.least, b.Weight), max(out.most, b.Weight)
	}
	return out
}

// gatewayRoutesBy reports whether an object is one of a Rollout's routing objects.
func gatewayRoutesBy(g *v1alpha1.GatewayAPITraffic, kind, name string) bool {
	if kind == KindService {
		return g.Services.Stable == name || g.Services.Canary == name
	}
	return slices.ContainsFunc(g.Routes, func(ref v1alpha1.GatewayAPIRoute) bool { return string(ref.Kind) == kind && ref.Name == name })
}

// blankGateway removes from an object what a Rollout lets the operator write.
func blankGateway(spec map[string]any, g *v1alpha1.GatewayAPITraffic, kind, name string) {
	if kind == KindService {
		blankLabel(spec, "selector")
		return
	}
	for _, ref := range g.Routes {
		if string(ref.Kind) != kind || ref.Name != name {
			continue
		}
		for _, r := range children(spec, "rules") {
			blankRule(r, ref, g.Services)
		}
	}
}

func blankRule(rule map[string]any, ref v1alpha1.GatewayAPIRoute, services v1alpha1.GatewayAPIServices) {
	var typed gatewayRule
	typed.Name, _ = rule["name"].(string)
	backends := children(rule, "backendRefs")
	for _, b := range backends {
		name, _ := b["name"].(string)
		typed.BackendRefs = append(typed.BackendRefs, backend{Name: name})
	}
	if !managedRule(ref, typed, services) {
		return
	}
	for _, b := range backends {
		if b["name"] == services.Stable || b["name"] == services.Canary {
			delete(b, "weight")
		}
	}
}

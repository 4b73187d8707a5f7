package history

import (
	"encoding/json"
	"reflect"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// checkWeights holds W: what the operator writes sums to 100, and nothing else of
// the object is touched. Of a Rollout it writes the status and its finalizer.
func (c *Checker) checkWeights(ch *change) {
	if ch.Writer == "" || ch.new == nil || ch.old == nil || ch.new.generic == nil {
		return
	}
	if ch.Kind == KindRollout {
		if !reflect.DeepEqual(ch.old.generic["spec"], ch.new.generic["spec"]) {
			c.violate(Weights, ch.Version, "the operator changed the spec of Rollout %s", ch.Name)
		}
		return
	}
	c.checkSums(ch)
	before, after := c.foreign(ch, ch.old), c.foreign(ch, ch.new)
	if !reflect.DeepEqual(before, after) {
		c.violate(Weights, ch.Version, "the operator changed more of %s %s than weights and the label of the revision:\n   before: %s\n   after:  %s",
			ch.Kind, ch.Name, text(before), text(after))
	}
}

func (c *Checker) checkSums(ch *change) {
	switch ch.Kind {
	case KindVirtualService, KindHTTPRoute, KindGRPCRoute:
	default:
		return
	}
	for _, r := range c.world.rollouts(ch.Namespace) {
		s, ok := c.world.splitOf(r)
		if !ok {
			continue
		}
		for _, route := range s.routes {
			if route.object == ch.Name && (route.sum != 100 || route.least < 0 || route.most > 100) {
				c.violate(Weights, ch.Version, "route %s of %s %s has weights from %d to %d that sum to %d",
					route.name, ch.Kind, ch.Name, route.least, route.most, route.sum)
			}
		}
	}
}

// foreign returns what of an object is not the operator's to change.
func (c *Checker) foreign(ch *change, o *object) map[string]any {
	var out map[string]any
	raw, err := json.Marshal(o.generic)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return nil
	}
	if m, ok := out["metadata"].(map[string]any); ok {
		delete(m, "managedFields")
		delete(m, "resourceVersion")
		delete(m, "generation")
	}
	delete(out, "status")
	for _, r := range c.world.rollouts(ch.Namespace) {
		if routesBy(r, ch.Kind, ch.Name) {
			blank(out, r, ch.Kind, ch.Name)
		}
	}
	return out
}

// blank removes from an object what a Rollout lets the operator write.
func blank(o map[string]any, r *v1alpha1.Rollout, kind, name string) {
	istio := r.Spec.Traffic.Istio
	spec := child(o, "spec")
	if g := r.Spec.Traffic.GatewayAPI; g != nil {
		blankGateway(spec, g, kind, name)
		return
	}
	switch kind {
	case KindVirtualService:
		for _, ref := range istio.VirtualServices {
			if ref.Name == name {
				blankWeights(spec, ref, istio)
			}
		}
	case KindDestinationRule:
		for _, s := range children(spec, "subsets") {
			if s["name"] == istio.DestinationRule.StableSubset || s["name"] == istio.DestinationRule.CanarySubset {
				blankLabel(s, "labels")
			}
		}
	case KindService:
		blankLabel(spec, "selector")
	}
}

func blankWeights(spec map[string]any, ref v1alpha1.IstioVirtualService, istio *v1alpha1.IstioTraffic) {
	for _, h := range children(spec, "http") {
		var typed httpRoute
		typed.Name, _ = h["name"].(string)
		for _, d := range children(h, "route") {
			var to destination
			to.Destination.Host, _ = child(d, "destination")["host"].(string)
			to.Destination.Subset, _ = child(d, "destination")["subset"].(string)
			typed.Route = append(typed.Route, to)
		}
		if !managed(ref, typed, istio) {
			continue
		}
		for i, d := range children(h, "route") {
			if isDestination(typed.Route[i], istio, true) || isDestination(typed.Route[i], istio, false) {
				delete(d, "weight")
			}
		}
	}
}

// blankLabel removes the label of the revision, and with it a map that has no
// other.
func blankLabel(o map[string]any, field string) {
	labels := child(o, field)
	delete(labels, v1alpha1.PodTemplateHashLabel)
	if len(labels) == 0 {
		delete(o, field)
	}
}

func child(o map[string]any, field string) map[string]any {
	m, _ := o[field].(map[string]any)
	return m
}

func children(o map[string]any, field string) []map[string]any {
	items, _ := o[field].([]any)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

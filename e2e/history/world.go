package history

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// key identifies an object.
type key struct{ kind, namespace, name string }

// world is everything that is stored at one revision.
type world map[key]*object

// get returns an object of a kind, or nil.
func get[T any](w world, kind, namespace, name string) *T {
	o := w[key{kind, namespace, name}]
	if o == nil {
		return nil
	}
	typed, _ := o.typed.(*T)
	return typed
}

// list returns the objects of a kind in a namespace, by name.
func list[T any](w world, kind, namespace string) []*T {
	var names []string
	for k := range w {
		if k.kind == kind && k.namespace == namespace {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	out := make([]*T, 0, len(names))
	for _, name := range names {
		out = append(out, get[T](w, kind, namespace, name))
	}
	return out
}

// rollouts returns the Rollouts of a namespace that move their routing: not those
// whose routing objects an older one claims.
func (w world) rollouts(namespace string) []*v1alpha1.Rollout {
	all := list[v1alpha1.Rollout](w, KindRollout, namespace)
	return slices.DeleteFunc(slices.Clone(all), func(r *v1alpha1.Rollout) bool {
		return slices.ContainsFunc(all, func(other *v1alpha1.Rollout) bool {
			return other.UID != r.UID && older(other, r) && overlap(other, r)
		})
	})
}

func older(a, b *v1alpha1.Rollout) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}

// overlap reports whether two Rollouts name the same routing object.
func overlap(a, b *v1alpha1.Rollout) bool {
	if g := a.Spec.Traffic.GatewayAPI; g != nil {
		return routesBy(b, KindService, g.Services.Stable) || routesBy(b, KindService, g.Services.Canary) ||
			slices.ContainsFunc(g.Routes, func(ref v1alpha1.GatewayAPIRoute) bool { return routesBy(b, string(ref.Kind), ref.Name) })
	}
	istio := a.Spec.Traffic.Istio
	if istio == nil {
		return false
	}
	if istio.DestinationRule != nil && routesBy(b, KindDestinationRule, istio.DestinationRule.Name) ||
		istio.Services != nil && (routesBy(b, KindService, istio.Services.Stable) || routesBy(b, KindService, istio.Services.Canary)) {
		return true
	}
	return slices.ContainsFunc(istio.VirtualServices, func(v v1alpha1.IstioVirtualService) bool {
		return routesBy(b, KindVirtualService, v.Name)
	})
}

// readyPods counts the pods of a revision that take requests.
func (w world) readyPods(r *v1alpha1.Rollout, revision string) int32 {
	var n int32
	for _, pod := range list[corev1.Pod](w, KindPod, r.Namespace) {
		owner := metav1.GetControllerOf(pod)
		if owner != nil && owner.Name == r.Name+"-"+revision && pod.DeletionTimestamp == nil && podReady(pod) {
			n++
		}
	}
	return n
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// revisionOf returns the revision of a Rollout's ReplicaSet.
func revisionOf(r *v1alpha1.Rollout, rs *appsv1.ReplicaSet) (string, bool) {
	revision := rs.Labels[v1alpha1.PodTemplateHashLabel]
	return revision, revision != "" && rs.Name == r.Name+"-"+revision
}

// split is what the routing objects of a Rollout say.
type split struct {
	// stable and canary are the revisions that the destinations select; empty when
	// they select by none.
	stable, canary string
	routes         []route
}

// route is one managed route: the weights of the two destinations, and the sum and
// the bounds over all its destinations.
type route struct {
	object, name     string
	stable, canary   int32
	sum, least, most int32
}

// splitOf reads the routing of a Rollout; ok is false while an object, a route or
// a destination of it is missing.
func (w world) splitOf(r *v1alpha1.Rollout) (s split, ok bool) {
	if g := r.Spec.Traffic.GatewayAPI; g != nil {
		return w.gatewaySplit(r.Namespace, g)
	}
	istio := r.Spec.Traffic.Istio
	if istio == nil {
		return split{}, false
	}
	stable, canary, ok := w.bindings(r.Namespace, istio)
	if !ok {
		return split{}, false
	}
	s.stable, s.canary = stable, canary
	for _, ref := range istio.VirtualServices {
		vs := get[virtualService](w, KindVirtualService, r.Namespace, ref.Name)
		if vs == nil {
			return split{}, false
		}
		found := 0
		for _, h := range vs.Spec.HTTP {
			if !managed(ref, h, istio) {
				continue
			}
			found++
			s.routes = append(s.routes, readRoute(ref.Name, h, istio))
		}
		if found < max(1, len(ref.Routes)) {
			return split{}, false
		}
	}
	return s, true
}

// gives reports whether every route gives the canary destination a weight.
func (s split) gives(weight int32) bool {
	return !slices.ContainsFunc(s.routes, func(r route) bool { return r.canary != weight })
}

// managed reports whether a route is one to weigh: named, or without names one that
// has one of the two destinations.
func managed(ref v1alpha1.IstioVirtualService, h httpRoute, istio *v1alpha1.IstioTraffic) bool {
	if len(ref.Routes) > 0 {
		return slices.Contains(ref.Routes, h.Name)
	}
	return slices.ContainsFunc(h.Route, func(d destination) bool {
		return isDestination(d, istio, true) || isDestination(d, istio, false)
	})
}

func readRoute(object string, h httpRoute, istio *v1alpha1.IstioTraffic) route {
	out := route{object: object, name: h.Name, least: 100}
	for _, d := range h.Route {
		switch {
		case isDestination(d, istio, true):
			out.stable += d.Weight
		case isDestination(d, istio, false):
			out.canary += d.Weight
		}
		out.sum += d.Weight
		out.least, out.most = min(out.least, d.Weight), max(out.most, d.Weight)
	}
	return out
}

// isDestination reports whether d is the stable (or else the canary) destination.
func isDestination(d destination, istio *v1alpha1.IstioTraffic, stable bool) bool {
	if istio.DestinationRule != nil {
		want := istio.DestinationRule.CanarySubset
		if stable {
			want = istio.DestinationRule.StableSubset
		}
		return d.Destination.Subset == want
	}
	want := istio.Services.Canary
	if stable {
		want = istio.Services.Stable
	}
	host, _, _ := strings.Cut(d.Destination.Host, ".")
	return host == want
}

// bindings returns the revisions that the two destinations select.
func (w world) bindings(namespace string, istio *v1alpha1.IstioTraffic) (stable, canary string, ok bool) {
	const label = v1alpha1.PodTemplateHashLabel
	if istio.Services != nil {
		s := get[corev1.Service](w, KindService, namespace, istio.Services.Stable)
		c := get[corev1.Service](w, KindService, namespace, istio.Services.Canary)
		if s == nil || c == nil {
			return "", "", false
		}
		return s.Spec.Selector[label], c.Spec.Selector[label], true
	}
	rule := get[destinationRule](w, KindDestinationRule, namespace, istio.DestinationRule.Name)
	if rule == nil {
		return "", "", false
	}
	found := 0
	for _, s := range rule.Spec.Subsets {
		switch s.Name {
		case istio.DestinationRule.StableSubset:
			stable, found = s.Labels[label], found+1
		case istio.DestinationRule.CanarySubset:
			canary, found = s.Labels[label], found+1
		}
	}
	return stable, canary, found == 2
}

// weight is the most that any route gives to a revision.
func (s split) weight(revision string) int32 {
	var most int32
	for _, r := range s.routes {
		var w int32
		if s.stable == revision {
			w += r.stable
		}
		if s.canary == revision {
			w += r.canary
		}
		most = max(most, w)
	}
	return most
}

// unbound reports whether some requests go to pods of any revision.
func (s split) unbound() bool {
	return slices.ContainsFunc(s.routes, func(r route) bool {
		return s.stable == "" && r.stable > 0 || s.canary == "" && r.canary > 0
	})
}

// revisions that a destination selects.
func (s split) revisions() []string {
	var out []string
	for _, revision := range []string{s.stable, s.canary} {
		if revision != "" && !slices.Contains(out, revision) {
			out = append(out, revision)
		}
	}
	return out
}

// routesBy reports whether an object is one of a Rollout's routing objects.
func routesBy(r *v1alpha1.Rollout, kind, name string) bool {
	if g := r.Spec.Traffic.GatewayAPI; g != nil {
		return gatewayRoutesBy(g, kind, name)
	}
	istio := r.Spec.Traffic.Istio
	if istio == nil {
		return false
	}
	switch kind {
	case KindVirtualService:
		return slices.ContainsFunc(istio.VirtualServices, func(v v1alpha1.IstioVirtualService) bool { return v.Name == name })
	case KindDestinationRule:
		return istio.DestinationRule != nil && istio.DestinationRule.Name == name
	case KindService:
		return istio.Services != nil && (istio.Services.Stable == name || istio.Services.Canary == name)
	}
	return false
}

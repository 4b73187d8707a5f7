package istio

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	kindVirtualService  = "VirtualService"
	kindDestinationRule = "DestinationRule"
	kindService         = "Service"
)

// Ref names a routing object in a Rollout's namespace.
type Ref struct {
	// Kind is VirtualService, DestinationRule or Service.
	Kind string
	// Name of the object.
	Name string
}

// String is the Ref as the value of an index: kind/name.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Refs returns the objects that t makes the router read and write; none if t is
// not about Istio. It is what to index Rollouts by, to find those that an object
// concerns.
func Refs(t v1alpha1.Traffic) []Ref {
	if t.Istio == nil {
		return nil
	}
	refs := make([]Ref, 0, len(t.Istio.VirtualServices)+2)
	for _, vs := range t.Istio.VirtualServices {
		refs = append(refs, Ref{kindVirtualService, vs.Name})
	}
	if dr := t.Istio.DestinationRule; dr != nil {
		refs = append(refs, Ref{kindDestinationRule, dr.Name})
	}
	if services := t.Istio.Services; services != nil {
		refs = append(refs, Ref{kindService, services.Stable}, Ref{kindService, services.Canary})
	}
	return refs
}

// RefOf returns the Ref by which Refs would name obj; ok is false if obj is of no
// kind that the router reads.
func RefOf(obj client.Object) (ref Ref, ok bool) {
	switch obj.(type) {
	case *networkingv1.VirtualService:
		return Ref{kindVirtualService, obj.GetName()}, true
	case *networkingv1.DestinationRule:
		return Ref{kindDestinationRule, obj.GetName()}, true
	case *corev1.Service:
		return Ref{kindService, obj.GetName()}, true
	default:
		return Ref{}, false
	}
}

// Watched returns an empty object of each type that the router reads, all that a
// controller must watch and that a cache must hold.
func Watched() []client.Object {
	return []client.Object{
		&networkingv1.VirtualService{},
		&networkingv1.DestinationRule{},
		&corev1.Service{},
	}
}

// AddToScheme makes the types that the router reads known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	return networkingv1.AddToScheme(scheme)
}

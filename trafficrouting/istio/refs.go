package istio

import (
	"cmp"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
	"github.com/sluice-dev/sluice/trafficrouting/internal/grants"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

const (
	kindVirtualService  = "VirtualService"
	kindDestinationRule = "DestinationRule"
)

// Claims returns the objects that t makes the router write for a Rollout of
// namespace; none if t is not about Istio.
func Claims(namespace string, t v1alpha1.Traffic) []trafficrouting.Ref {
	if t.Istio == nil {
		return nil
	}
	refs := make([]trafficrouting.Ref, 0, len(t.Istio.VirtualServices)+2)
	for _, vs := range t.Istio.VirtualServices {
		refs = append(refs, virtualServiceRef(namespace, vs))
	}
	if dr := t.Istio.DestinationRule; dr != nil {
		refs = append(refs, trafficrouting.Ref{Kind: kindDestinationRule, Namespace: namespace, Name: dr.Name})
	}
	if services := t.Istio.Services; services != nil {
		refs = append(refs, edit.ServiceRef(namespace, services.Stable), edit.ServiceRef(namespace, services.Canary))
	}
	return refs
}

// Reads returns what else t makes the router read: the grants of other namespaces.
func Reads(namespace string, t v1alpha1.Traffic) []trafficrouting.Ref {
	var refs []trafficrouting.Ref
	for _, ref := range Claims(namespace, t) {
		if ref.Namespace != namespace {
			refs = append(refs, grants.Ref(ref.Namespace))
		}
	}
	return refs
}

func virtualServiceRef(namespace string, vs v1alpha1.IstioVirtualService) trafficrouting.Ref {
	return trafficrouting.Ref{Kind: kindVirtualService, Namespace: cmp.Or(vs.Namespace, namespace), Name: vs.Name}
}

// Kinds returns the kinds that the router reads, all that a controller must watch
// and that a cache must hold.
func Kinds() []mux.Kind {
	return []mux.Kind{
		edit.KindBySpec(&networkingv1.VirtualService{}, kindVirtualService),
		edit.KindBySpec(&networkingv1.DestinationRule{}, kindDestinationRule),
		edit.ServiceKind(),
		grants.Kind(),
	}
}

package edit

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

const kindService = "Service"

// ServicePair names two Services as the ends of a split.
type ServicePair struct {
	Namespace, Stable, Canary string
	// Field of the Rollout that names them.
	Field string
}

// ReadServices reads the two Services, by whose selectors the destinations are
// bound.
func (r *Routing) ReadServices(ctx context.Context, c client.Client, pair ServicePair) {
	read := func(name string) *Binding {
		service := &corev1.Service{}
		key := types.NamespacedName{Namespace: pair.Namespace, Name: name}
		if !r.Note(Get(ctx, c, service, key, pair.Field, "Kubernetes")) {
			return nil
		}
		return SelectorBinding(service)
	}
	r.Stable, r.Canary = read(pair.Stable), read(pair.Canary)
}

// ServiceRef names a Service.
func ServiceRef(namespace, name string) trafficrouting.Ref {
	return trafficrouting.Ref{Kind: kindService, Namespace: namespace, Name: name}
}

// ServiceKind is the kind Service. Services have no generation to tell by whether
// one was changed in what matters.
func ServiceKind() mux.Kind {
	return mux.Kind{
		Object: &corev1.Service{},
		RefOf:  func(obj client.Object) trafficrouting.Ref { return ServiceRef(obj.GetNamespace(), obj.GetName()) },
		Changed: func(before, after client.Object) bool {
			was, ok := before.(*corev1.Service)
			is, also := after.(*corev1.Service)
			return !ok || !also || !maps.Equal(was.Spec.Selector, is.Spec.Selector)
		},
	}
}

// KindBySpec is a kind of which nothing but the spec matters.
func KindBySpec(obj client.Object, kind string) mux.Kind {
	return mux.Kind{
		Object: obj,
		RefOf: func(obj client.Object) trafficrouting.Ref {
			return trafficrouting.Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
		},
		Changed: func(before, after client.Object) bool {
			// Of two updates that came as one, the first may have been a deletion.
			return before.GetGeneration() != after.GetGeneration() || before.GetUID() != after.GetUID()
		},
	}
}

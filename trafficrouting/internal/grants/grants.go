// Package grants tells whether a Rollout may refer to an object in another
// namespace: only where a ReferenceGrant of the Gateway API in that namespace says
// so.
package grants

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

const (
	kindReferenceGrant = "ReferenceGrant"
	kindRollout        = "Rollout"
)

// Permits reports whether a Rollout of namespace may refer to the object ref, of
// group. Where the cluster has no kind ReferenceGrant nothing is granted.
func Permits(ctx context.Context, c client.Reader, namespace, group string, ref trafficrouting.Ref) (bool, error) {
	var list gatewayv1beta1.ReferenceGrantList
	err := c.List(ctx, &list, client.InNamespace(ref.Namespace), client.UnsafeDisableDeepCopy)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("listing the ReferenceGrants of %s: %w", ref.Namespace, err)
	}
	return slices.ContainsFunc(list.Items, func(grant gatewayv1beta1.ReferenceGrant) bool {
		return slices.ContainsFunc(grant.Spec.From, func(from gatewayv1.ReferenceGrantFrom) bool {
			return string(from.Group) == v1alpha1.GroupVersion.Group && from.Kind == kindRollout && string(from.Namespace) == namespace
		}) && slices.ContainsFunc(grant.Spec.To, func(to gatewayv1.ReferenceGrantTo) bool {
			return string(to.Group) == group && string(to.Kind) == ref.Kind &&
				(to.Name == nil || *to.Name == "" || string(*to.Name) == ref.Name)
		})
	}), nil
}

// Denied is the problem of a Rollout that refers to what it may not.
func Denied(namespace string, to schema.GroupKind, ref trafficrouting.Ref) error {
	return trafficrouting.Problemf(v1alpha1.ReasonReferenceNotPermitted,
		"%s %s/%s is in another namespace, which does not permit that: create there\n"+
			"apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"+
			"metadata: {name: sluice, namespace: %s}\nspec:\n"+
			"  from: [{group: %s, kind: %s, namespace: %s}]\n  to: [{group: %s, kind: %s, name: %s}]",
		ref.Kind, ref.Namespace, ref.Name, ref.Namespace,
		v1alpha1.GroupVersion.Group, kindRollout, namespace, to.Group, to.Kind, ref.Name)
}

// Ref stands for all ReferenceGrants of a namespace.
func Ref(namespace string) trafficrouting.Ref {
	return trafficrouting.Ref{Kind: kindReferenceGrant, Namespace: namespace}
}

// Kind is the kind ReferenceGrant.
func Kind() mux.Kind {
	return mux.Kind{
		Object:  &gatewayv1beta1.ReferenceGrant{},
		RefOf:   func(obj client.Object) trafficrouting.Ref { return Ref(obj.GetNamespace()) },
		Changed: func(before, after client.Object) bool { return before.GetGeneration() != after.GetGeneration() },
	}
}

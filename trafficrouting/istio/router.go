package istio

import (
	"context"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/internal/edit"
	"github.com/sluice-dev/sluice/trafficrouting/internal/grants"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// FieldManager is the name under which the router's writes stand in an object's
// managedFields.
const FieldManager = edit.FieldManager

// Router implements trafficrouting.Router over VirtualServices, DestinationRules
// and Services. It keeps nothing between calls and may be used by several
// goroutines at once.
type Router struct {
	edit.Router
	domain string
}

var _ trafficrouting.Router = (*Router)(nil)

// Option changes how New makes a Router.
type Option func(*Router)

// WithClusterDomain sets the cluster's DNS domain, by which short and full names
// of a service are told to be the same. DefaultClusterDomain without it.
func WithClusterDomain(domain string) Option {
	return func(r *Router) {
		if domain != "" {
			r.domain = domain
		}
	}
}

// New makes a Router. It reads through c, which should be backed by a cache:
// every Observe and Apply reads each object once. Objects read are never
// changed, so the cache need not copy them. c must know the types that
// AddToScheme adds.
func New(c client.Client, opts ...Option) *Router {
	r := &Router{domain: DefaultClusterDomain}
	r.Router = edit.Router{Client: c, Read: r.read}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Backend makes a Router part of a mux.
func Backend(c client.Client, opts ...Option) mux.Backend {
	return mux.Backend{
		Field:  "istio",
		Asked:  func(t v1alpha1.Traffic) bool { return t.Istio != nil },
		Router: New(c, opts...),
		Claims: Claims,
		Reads:  Reads,
		Permits: func(ctx context.Context, namespace string, ref trafficrouting.Ref) (bool, error) {
			return grants.Permits(ctx, c, namespace, networkingv1.GroupName, ref)
		},
	}
}

// IsConflict reports whether err is because an object was changed since it was
// read: nothing of it was written, and trying again with a fresh read is all that
// is needed.
func IsConflict(err error) bool { return apierrors.IsConflict(err) }

// AddToScheme makes the types that the router reads known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, gatewayv1beta1.Install,
	} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	return nil
}

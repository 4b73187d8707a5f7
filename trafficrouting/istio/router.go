package istio

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// FieldManager is the name under which the router's writes stand in an object's
// managedFields.
const FieldManager = "sluice"

// Router implements trafficrouting.Router over VirtualServices, DestinationRules
// and Services. It keeps nothing between calls and may be used by several
// goroutines at once.
type Router struct {
	client client.Client
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
	r := &Router{client: c, domain: DefaultClusterDomain}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// IsConflict reports whether err is because an object was changed since it was
// read: nothing of it was written, and trying again with a fresh read is all that
// is needed.
func IsConflict(err error) bool { return apierrors.IsConflict(err) }

// Observe implements trafficrouting.Router. It makes no request beyond reading
// each object through the client.
func (r *Router) Observe(ctx context.Context, t trafficrouting.Target) (trafficrouting.State, error) {
	found := r.read(ctx, t)
	state := trafficrouting.State{
		Stable:     found.stable.revision(),
		Canary:     found.canary.revision(),
		Programmed: trafficrouting.ProgrammedUnknown,
	}
	var routes []numbers
	for _, vs := range found.virtualServices {
		for _, route := range vs.routes {
			routes = append(routes, route.numbers())
		}
	}
	if len(routes) == 0 {
		return state, found.err()
	}
	s := summarise(routes)
	state.MinWeight, state.MaxWeight = s.lowest, s.highest
	if s.fitMin <= s.fitMax {
		state.FitMin, state.FitMax = s.fitMin, s.fitMax
	}
	return state, found.err()
}

// Apply implements trafficrouting.Router. Errors that are IsConflict pass with a
// fresh read.
func (r *Router) Apply(ctx context.Context, t trafficrouting.Target, s trafficrouting.Split) error {
	if s.Weight < 0 || s.Weight > 100 {
		return fmt.Errorf("weight %d is not in 0 to 100", s.Weight)
	}
	found := r.read(ctx, t)
	may, bindErr := r.bind(ctx, found, s)
	return errors.Join(found.err(), bindErr, r.weigh(ctx, found, s.Weight, may))
}

// Release implements trafficrouting.Router. What is missing is not an error; as
// long as a route could not be written, no destination is unbound. Requests stay
// with the canary destination where the stable one is missing: it serves.
func (r *Router) Release(ctx context.Context, t trafficrouting.Target) error {
	found := r.read(ctx, t)
	may := limits{raiseStable: found.stable != nil || found.canary == nil}
	errs := found.failures
	for _, vs := range found.virtualServices {
		ops, err := weigh(vs.object, vs.routes, 0, may)
		errs = append(errs, err, client.IgnoreNotFound(r.patch(ctx, edit{vs.object, ops})))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	edits := perObject(found.stable.edit(found.stable.unbind()), found.canary.edit(found.canary.unbind()))
	for _, e := range edits {
		errs = append(errs, client.IgnoreNotFound(r.patch(ctx, e)))
	}
	return errors.Join(errs...)
}

// bind makes the destinations select the split's revisions. It returns which of
// them may get more requests: those that are bound.
func (r *Router) bind(ctx context.Context, found *routing, s trafficrouting.Split) (limits, error) {
	may := limits{raiseStable: found.stable.bound(s.Stable), raiseCanary: found.canary.bound(s.Canary)}
	edits := perObject(found.stable.edit(found.stable.bind(s.Stable)), found.canary.edit(found.canary.bind(s.Canary)))
	var errs []error
	for _, e := range edits {
		if err := r.patch(ctx, e); err != nil {
			errs = append(errs, err)
			continue
		}
		may.raiseStable = may.raiseStable || found.stable != nil && found.stable.object == e.object
		may.raiseCanary = may.raiseCanary || found.canary != nil && found.canary.object == e.object
	}
	return may, errors.Join(errs...)
}

// weigh moves the weights of every VirtualService, each in one write.
func (r *Router) weigh(ctx context.Context, found *routing, weight int32, may limits) error {
	var errs []error
	for _, vs := range found.virtualServices {
		ops, err := weigh(vs.object, vs.routes, weight, may)
		errs = append(errs, err, r.patch(ctx, edit{vs.object, ops}))
	}
	return errors.Join(errs...)
}

// patch carries out e, if there is anything to do.
func (r *Router) patch(ctx context.Context, e edit) error {
	if len(e.ops) == 0 {
		return nil
	}
	data, err := encodePatch(e.object, e.ops)
	if err != nil {
		return err
	}
	ref, _ := RefOf(e.object)
	key := client.ObjectKeyFromObject(e.object)
	answer := emptyLike(e.object)
	answer.SetNamespace(key.Namespace)
	answer.SetName(key.Name)
	err = r.client.Patch(ctx, answer, client.RawPatch(types.JSONPatchType, data), client.FieldOwner(FieldManager))
	if err != nil {
		return fmt.Errorf("patch %s %s: %w", ref.Kind, key, asConflict(err, ref))
	}
	log.FromContext(ctx).V(1).Info("Patched a routing object", "kind", ref.Kind, "object", key, "patch", string(data))
	return nil
}

func emptyLike(obj client.Object) client.Object {
	switch obj.(type) {
	case *networkingv1.DestinationRule:
		return &networkingv1.DestinationRule{}
	case *corev1.Service:
		return &corev1.Service{}
	default:
		return &networkingv1.VirtualService{}
	}
}

// asConflict turns the API server's answer to a failed test of a JSON patch into
// what it means. The answer has the status of an invalid object but, unlike that,
// names no object.
func asConflict(err error, ref Ref) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity {
		return err
	}
	if details := status.Status().Details; details != nil && (details.Kind != "" || len(details.Causes) > 0) {
		return err
	}
	group := ""
	if ref.Kind != kindService {
		group = networkingv1.GroupName
	}
	return apierrors.NewConflict(schema.GroupResource{Group: group, Resource: ref.Kind}, ref.Name,
		fmt.Errorf("it was changed since it was read: %w", err))
}

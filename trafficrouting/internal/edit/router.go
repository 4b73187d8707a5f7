package edit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// FieldManager is the name under which a router's writes stand in an object's
// managedFields.
const FieldManager = "sluice"

// Router implements trafficrouting.Router over what Read finds. It keeps nothing
// between calls and may be used by several goroutines at once.
type Router struct {
	// Client to read and write with. It should be backed by a cache: every Observe
	// and Apply reads each object once. Objects read are never changed, so the cache
	// need not copy them.
	Client client.Client
	// Read finds a Target's routing.
	Read func(ctx context.Context, t trafficrouting.Target) *Routing
}

var _ trafficrouting.Router = (*Router)(nil)

// Observe implements trafficrouting.Router. It makes no request beyond reading
// each object through the client.
func (r *Router) Observe(ctx context.Context, t trafficrouting.Target) (trafficrouting.State, error) {
	found := r.Read(ctx, t)
	return found.state(), errors.Join(found.err(), found.unusable())
}

// Apply implements trafficrouting.Router. Errors that are conflicts pass with a
// fresh read.
func (r *Router) Apply(ctx context.Context, t trafficrouting.Target, s trafficrouting.Split) error {
	if s.Weight < 0 || s.Weight > 100 {
		return fmt.Errorf("weight %d is not in 0 to 100", s.Weight)
	}
	found := r.Read(ctx, t)
	may, bindErr := r.bind(ctx, found, s)
	return errors.Join(found.err(), bindErr, r.weigh(ctx, found, s.Weight, may))
}

// Release implements trafficrouting.Router. What is missing is not an error; as
// long as a route could not be written, no destination is unbound. Requests stay
// with the canary destination where the stable one is missing: it serves.
func (r *Router) Release(ctx context.Context, t trafficrouting.Target) error {
	found := r.Read(ctx, t)
	may := Limits{RaiseStable: found.Stable != nil || found.Canary == nil}
	errs := found.failures
	for _, o := range found.Objects {
		c, err := o.Weigh(0, may)
		errs = append(errs, err, client.IgnoreNotFound(r.patch(ctx, c)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, c := range perObject(found.Stable.Unbind(), found.Canary.Unbind()) {
		errs = append(errs, client.IgnoreNotFound(r.patch(ctx, c)))
	}
	return errors.Join(errs...)
}

// bind makes the destinations select the split's revisions. It returns which of
// them may get more requests: those that are bound.
func (r *Router) bind(ctx context.Context, found *Routing, s trafficrouting.Split) (Limits, error) {
	may := Limits{RaiseStable: found.Stable.bound(s.Stable), RaiseCanary: found.Canary.bound(s.Canary)}
	var errs []error
	for _, c := range perObject(found.Stable.Bind(s.Stable), found.Canary.Bind(s.Canary)) {
		if err := r.patch(ctx, c); err != nil {
			errs = append(errs, err)
			continue
		}
		may.RaiseStable = may.RaiseStable || found.Stable.in(c.Object)
		may.RaiseCanary = may.RaiseCanary || found.Canary.in(c.Object)
	}
	return may, errors.Join(errs...)
}

// weigh moves the weights of every object, each in one write.
func (r *Router) weigh(ctx context.Context, found *Routing, weight int32, may Limits) error {
	var errs []error
	for _, o := range found.Objects {
		c, err := o.Weigh(weight, may)
		errs = append(errs, err, r.patch(ctx, c))
	}
	return errors.Join(errs...)
}

// Get reads an object of the user's, whose field the Rollout names it in. A
// missing one, and one whose kind the cluster does not have, is a problem;
// install then says what has that kind.
func Get(ctx context.Context, c client.Client, obj client.Object, key types.NamespacedName, field, install string) error {
	err := c.Get(ctx, key, obj)
	if err == nil {
		return nil
	}
	gvk, unknown := c.GroupVersionKindFor(obj)
	switch {
	case unknown != nil:
		return errors.Join(err, unknown)
	case apierrors.IsNotFound(err):
		return trafficrouting.Problemf(v1alpha1.ReasonObjectMissing,
			"%s %s does not exist: create it, or correct its name in %s", gvk.Kind, key, field)
	case meta.IsNoMatchError(err):
		return trafficrouting.Problemf(v1alpha1.ReasonObjectMissing,
			"%s %s does not exist, for the cluster has no kind %s in %s: install %s",
			gvk.Kind, key, gvk.Kind, gvk.GroupVersion(), install)
	default:
		return fmt.Errorf("read %s %s: %w", gvk.Kind, key, err)
	}
}

// patch carries out c, if there is anything to do.
func (r *Router) patch(ctx context.Context, c Change) error {
	if len(c.Ops) == 0 {
		return nil
	}
	data, err := c.Encode()
	if err != nil {
		return err
	}
	gvk, err := r.Client.GroupVersionKindFor(c.Object)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(c.Object)
	answer, ok := reflect.New(reflect.TypeOf(c.Object).Elem()).Interface().(client.Object)
	if !ok {
		return fmt.Errorf("patch %s %s: %T is no object", gvk.Kind, key, c.Object)
	}
	answer.SetNamespace(key.Namespace)
	answer.SetName(key.Name)
	err = r.Client.Patch(ctx, answer, client.RawPatch(types.JSONPatchType, data), client.FieldOwner(FieldManager))
	if err != nil {
		return fmt.Errorf("patch %s %s: %w", gvk.Kind, key, asConflict(err, gvk, key.Name))
	}
	log.FromContext(ctx).V(1).Info("Patched a routing object", "kind", gvk.Kind, "object", key, "patch", string(data))
	return nil
}

// asConflict turns the API server's answer to a failed test of a JSON patch into
// what it means. The answer has the status of an invalid object but, unlike that,
// names no object.
func asConflict(err error, gvk schema.GroupVersionKind, name string) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity {
		return err
	}
	if details := status.Status().Details; details != nil && (details.Kind != "" || len(details.Causes) > 0) {
		return err
	}
	return apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, name,
		fmt.Errorf("it was changed since it was read: %w", err))
}

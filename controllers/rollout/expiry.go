package rollout

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// expiry deletes commands that ended, when twice their time to live has passed. It is
// apart from the Rollouts, which never look at these again.
type expiry struct {
	client client.Client
	clock  clock.PassiveClock
}

// Reconcile implements reconcile.Reconciler.
func (e *expiry) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.RolloutAction{}
	if err := e.client.Get(ctx, req.NamespacedName, a); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !ended(a) || a.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	if left := a.CreationTimestamp.Add(2 * timeToLive(a)).Sub(e.clock.Now()); left > 0 {
		return ctrl.Result{RequeueAfter: max(left, time.Second)}, nil
	}
	return ctrl.Result{}, deleteSeen(ctx, e.client, a)
}

func setupExpiry(mgr ctrl.Manager, c clock.PassiveClock) error {
	endedOnly := predicate.NewPredicateFuncs(func(obj client.Object) bool {
		a, ok := obj.(*v1alpha1.RolloutAction)
		return ok && ended(a)
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("rolloutaction").
		For(&v1alpha1.RolloutAction{}, builder.WithPredicates(endedOnly)).
		WithOptions(controller.Options{EnableWarmup: ptr.To(true), UsePriorityQueue: ptr.To(true)}).
		Complete(&expiry{client: mgr.GetClient(), clock: c})
	if err != nil {
		return fmt.Errorf("setting up the expiry of commands: %w", err)
	}
	return nil
}

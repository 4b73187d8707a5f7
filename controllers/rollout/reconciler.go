package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// errGone says that the Rollout was deleted since it was read. There is nothing
// left to do for it.
var errGone = errors.New("the Rollout is gone")

// Reconciler brings one Rollout at a time a step further.
type Reconciler struct {
	client client.Client
	router trafficrouting.Router
	// objects are what the routing of Rollouts is made of.
	objects Objects
	clock   clock.Clock
	events  events.EventRecorder
	// teller passes on what happened to people; nil for nobody.
	teller Teller
	memory *memory
	// runs has the newest of every AnalysisRun that is in progress.
	runs *handover.Newest[v1alpha1.AnalysisRun]
	// unwritten takes statuses that are a moment late in writing.
	unwritten *handover.Newest[handover.Unwritten]
	// unsettled returns until when proxies may be behind the routing, or zero.
	unsettled func() time.Time
	// alerts tells which alerts fire, and breaker how many releases they may abort;
	// either may be nil.
	alerts  AlertWatch
	breaker AlertBreaker
	// analysed has Rollouts measured that ask for nothing.
	analysed bool
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	started := r.clock.Now()
	rollout := &v1alpha1.Rollout{}
	if err := r.client.Get(ctx, req.NamespacedName, rollout); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("reading the Rollout: %w", err)
		}
		return r.gone(ctx, req.NamespacedName)
	}
	if !controllerutil.ContainsFinalizer(rollout, v1alpha1.TrafficFinalizer) {
		if rollout.DeletionTimestamp != nil {
			return ctrl.Result{}, nil // Everything was given back.
		}
		if err := r.addFinalizer(ctx, rollout); err != nil {
			return ctrl.Result{}, ignoreConflict(err)
		}
	}
	seen, err := r.observe(ctx, rollout)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.admitAlerts(ctx, seen); err != nil {
		return ctrl.Result{}, err
	}
	decided := plan.Decide(seen.Observed)
	r.settleAlerts(seen, &decided)
	if err := r.apply(ctx, seen, &decided); err != nil {
		if errors.Is(err, errGone) {
			return ctrl.Result{}, nil
		}
		if isConflict(err) {
			log.FromContext(ctx).V(1).Info("Somebody else wrote first, looking again", "cause", err.Error())
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		}
		return ctrl.Result{}, errors.Join(err, seen.unread)
	}
	r.measure(seen, &decided, started)
	return ctrl.Result{RequeueAfter: decided.RequeueAfter}, seen.unread
}

// gone cleans up after a Rollout that does not exist: commands to it are refused.
func (r *Reconciler) gone(ctx context.Context, name types.NamespacedName) (ctrl.Result, error) {
	r.memory.forget(name)
	r.unwritten.Forget(name)
	forgetMetrics(name)
	actions, err := r.listActions(ctx, name)
	if err != nil {
		return ctrl.Result{}, err
	}
	var errs []error
	for i := range actions {
		errs = append(errs, r.writeOutcome(ctx, &actions[i], plan.ActionOutcome{
			Reason:  v1alpha1.ReasonRolloutNotFound,
			Message: fmt.Sprintf("there is no Rollout %s in namespace %s", name.Name, name.Namespace),
		}))
	}
	return ctrl.Result{}, errors.Join(errs...)
}

package analysisrun

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

// activeIndex finds the runs of a Rollout that are not completed.
const activeIndex = "analysisrun.active.rollout"

func activeRollout(o client.Object) []string {
	run, ok := o.(*v1alpha1.AnalysisRun)
	if !ok || completed(run) {
		return nil
	}
	return []string{run.Spec.Subject.Rollout}
}

// activePredicate passes runs that begin or end to exist. Their spec never changes,
// and their status is nobody's but the reconciler's; completed runs are left alone.
func activePredicate() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			run, ok := e.Object.(*v1alpha1.AnalysisRun)
			return ok && !completed(run)
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
				e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return true },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// standing is the part of a Rollout that says where its runs stand.
type standing struct {
	uid            types.UID
	deleted        bool
	stable, canary string
	attempt        int32
	aborted        bool
	step           int32
	weight         int32
	since          int64 // in microseconds, 0 until in force
	watched        bool  // after the promotion
}

func standingOf(r *v1alpha1.Rollout) standing {
	s := standingIn(&r.Status)
	s.uid, s.deleted = r.UID, !r.DeletionTimestamp.IsZero()
	return s
}

// standingIn is what a status says of it.
func standingIn(status *v1alpha1.RolloutStatus) standing {
	s := standing{attempt: status.Attempt, aborted: status.Abort != nil, step: -1}
	s.watched = status.AfterPromotion != nil && status.AfterPromotion.BakedAt == nil
	if status.Stable != nil {
		s.stable = status.Stable.Revision
	}
	if status.Canary != nil {
		s.canary = status.Canary.Revision
	}
	if step := status.Step; step != nil {
		s.step, s.weight = step.Index, step.Weight
		if step.InForceSince != nil {
			s.since = step.InForceSince.UnixMicro()
		}
	}
	return s
}

type runQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// wakeRuns wakes the runs of a Rollout that are in progress. A run that the cache
// does not have yet wakes its reconciler itself: the writes in flight need not be
// waited for.
func wakeRuns(ctx context.Context, c client.Reader, rollout types.NamespacedName, q runQueue) {
	var runs v1alpha1.AnalysisRunList
	err := c.List(ctx, &runs, client.InNamespace(rollout.Namespace), client.MatchingFields{activeIndex: rollout.Name},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		log.FromContext(ctx).Error(err, "Cannot list AnalysisRuns of a Rollout", "rollout", rollout)
		return
	}
	for i := range runs.Items {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&runs.Items[i])})
	}
}

// onUnwritten wakes the runs of a Rollout that stands elsewhere by a status that was
// not written yet.
func onUnwritten(ctx context.Context, c client.Reader, q runQueue) func(key types.NamespacedName, before, after *handover.Unwritten) {
	return func(key types.NamespacedName, before, after *handover.Unwritten) {
		was := after.Written
		if before != nil {
			was = before.Newest
		}
		if standingIn(was) != standingIn(after.Newest) {
			wakeRuns(ctx, c, key, q)
		}
	}
}

// rolloutHandler wakes the runs of a Rollout when that stands elsewhere than before.
func rolloutHandler(c client.Reader) handler.EventHandler {
	wake := func(ctx context.Context, o client.Object, q runQueue) {
		wakeRuns(ctx, c, client.ObjectKeyFromObject(o), q)
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q runQueue) {
			if !e.IsInInitialList {
				wake(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q runQueue) {
			before, ok1 := e.ObjectOld.(*v1alpha1.Rollout)
			after, ok2 := e.ObjectNew.(*v1alpha1.Rollout)
			if ok1 && ok2 && standingOf(before) != standingOf(after) {
				wake(ctx, after, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q runQueue) { wake(ctx, e.Object, q) },
	}
}

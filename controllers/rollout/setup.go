package rollout

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// Indexes of the cache.
const (
	ownerIndex   = "sluice.ownerUID"
	labelIndex   = "sluice.rolloutLabel"
	pendingIndex = "sluice.pendingFor"
	claimIndex   = "sluice.claim"
	readIndex    = "sluice.read"
)

// Objects tells, by keys, which objects the routing of a Rollout is made of.
type Objects interface {
	// Claims returns keys of those that are written for a Rollout, and that no other
	// may have written.
	Claims(rollout *v1alpha1.Rollout) []string
	// Reads returns keys of all those whose changes concern a Rollout.
	Reads(rollout *v1alpha1.Rollout) []string
	// Permits reports whether a Rollout may make a claim: one that it may not keeps
	// nobody else from the object.
	Permits(ctx context.Context, rollout *v1alpha1.Rollout, claim string) (bool, error)
}

// Options are what the controller needs from outside.
type Options struct {
	// Router moves traffic.
	Router trafficrouting.Router
	// Objects are what Router works on.
	Objects Objects
	// Watched are the kinds of routing objects.
	Watched []mux.Kind
	// Clock tells the time.
	Clock clock.Clock
	// Events takes Kubernetes Events.
	Events events.EventRecorder
	// Teller passes on what happened to people. Without it nobody is told.
	Teller Teller
	// Runs has the newest of every AnalysisRun that is in progress.
	Runs *handover.Newest[v1alpha1.AnalysisRun]
	// Unwritten takes statuses that are a moment late in writing.
	Unwritten *handover.Newest[handover.Unwritten]
	// Unsettled returns until when proxies may be behind whatever the routing says, or
	// zero.
	Unsettled func() time.Time
	// Alerts tells which alerts fire, or is nil.
	Alerts AlertWatch
	// Breaker bounds how many releases alerts abort without a person, or is nil.
	Breaker AlertBreaker
	// DefaultAnalysis has canaries compared with stable of Rollouts that ask for no
	// analysis.
	DefaultAnalysis bool
	// Concurrency is the number of Rollouts that are reconciled at a time.
	Concurrency int
}

// Setup registers the controller with a manager. When that stops because ctx has
// ended, and not because it lost the lease, statuses that are late are written.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := registerMetrics(metrics.Registry); err != nil {
		return err
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer(), o.Objects); err != nil {
		return err
	}
	r := &Reconciler{
		client:  mgr.GetClient(),
		router:  o.Router,
		objects: o.Objects,
		clock:   o.Clock,
		events:  o.Events,
		teller:  o.Teller,
		memory:  newMemory(),

		runs:      o.Runs,
		unwritten: o.Unwritten,
		unsettled: o.Unsettled,
		alerts:    o.Alerts,
		breaker:   o.Breaker,
		analysed:  o.DefaultAnalysis,
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("rollout").
		For(&v1alpha1.Rollout{}).
		Owns(&appsv1.ReplicaSet{}, builder.WithPredicates(replicaSetChanged)).
		Owns(&v1alpha1.AnalysisRun{}, builder.WithPredicates(runEnded)).
		Watches(&v1alpha1.RolloutAction{}, handler.EnqueueRequestsFromMapFunc(subjectOfAction)).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			o.Runs.OnPublish(func(key types.NamespacedName, before, after *v1alpha1.AnalysisRun) {
				if verdictChanged(before, after) {
					q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: after.Spec.Subject.Rollout}})
				}
			})
			return nil
		})).
		WatchesRawSource(r.alertSource()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: o.Concurrency,
			EnableWarmup:            ptr.To(true),
			UsePriorityQueue:        ptr.To(true),
			// What wakes a Rollout is never held back by this; it only bounds how long
			// one sleeps after an outage in which every attempt failed.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](10*time.Millisecond, 5*time.Second),
		})
	for _, kind := range o.Watched {
		b = b.Watches(kind.Object, handler.EnqueueRequestsFromMapFunc(r.readers(kind)), builder.WithPredicates(changed(kind)))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("setting up the rollout controller: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(handover.AtStop(ctx, r.flush))); err != nil {
		return fmt.Errorf("setting up the rollout controller: %w", err)
	}
	return setupExpiry(mgr, o.Clock)
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer, objects Objects) error {
	for _, index := range []struct {
		obj   client.Object
		field string
		value client.IndexerFunc
	}{
		{&appsv1.ReplicaSet{}, labelIndex, func(obj client.Object) []string {
			return []string{obj.GetLabels()[v1alpha1.RolloutLabel]}
		}},
		{&v1alpha1.AnalysisRun{}, ownerIndex, ownerUID},
		{&v1alpha1.RolloutAction{}, pendingIndex, func(obj client.Object) []string {
			if a := obj.(*v1alpha1.RolloutAction); !ended(a) {
				return []string{a.Spec.Rollout}
			}
			return nil
		}},
		{&v1alpha1.Rollout{}, claimIndex, func(obj client.Object) []string {
			return objects.Claims(obj.(*v1alpha1.Rollout))
		}},
		{&v1alpha1.Rollout{}, readIndex, func(obj client.Object) []string {
			return objects.Reads(obj.(*v1alpha1.Rollout))
		}},
	} {
		if err := indexer.IndexField(ctx, index.obj, index.field, index.value); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", index.obj, index.field, err)
		}
	}
	return nil
}

func ownerUID(obj client.Object) []string {
	owner := metav1.GetControllerOf(obj)
	if owner == nil || owner.Kind != "Rollout" || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return nil
	}
	return []string{string(owner.UID)}
}

// subjectOfAction wakes the Rollout that a command is for, unless it ended: a standby
// that starts has thousands of these.
func subjectOfAction(_ context.Context, obj client.Object) []reconcile.Request {
	a, ok := obj.(*v1alpha1.RolloutAction)
	if !ok || ended(a) {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.Rollout}}}
}

// readers wakes the Rollouts, of any namespace, that a routing object concerns.
func (r *Reconciler) readers(kind mux.Kind) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		var list v1alpha1.RolloutList
		if err := r.client.List(ctx, &list,
			client.MatchingFields{readIndex: kind.RefOf(obj).String()}, client.UnsafeDisableDeepCopy,
			client.DisableReadYourWritesConsistency); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Listing the Rollouts that a routing object concerns")
			return nil
		}
		requests := make([]reconcile.Request, len(list.Items))
		for i := range list.Items {
			requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
		}
		return requests
	}
}

// replicaSetChanged lets only through what a decision reads.
var replicaSetChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok := e.ObjectOld.(*appsv1.ReplicaSet)
		is, also := e.ObjectNew.(*appsv1.ReplicaSet)
		return !ok || !also || was.Status.Replicas != is.Status.Replicas ||
			was.Status.AvailableReplicas != is.Status.AvailableReplicas ||
			!ptr.Equal(was.Spec.Replicas, is.Spec.Replicas) ||
			was.DeletionTimestamp.IsZero() != is.DeletionTimestamp.IsZero()
	},
}

// verdictChanged reports whether a run says something else than before that a
// decision reads.
func verdictChanged(was, is *v1alpha1.AnalysisRun) bool {
	return was == nil || was.Status.Verdict != is.Status.Verdict || was.Status.Message != is.Status.Message ||
		!equality.Semantic.DeepEqual(was.Status.Step, is.Status.Step)
}

// runEnded lets through that a run ended or went away. What it measures before is
// handed over.
var runEnded = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok := e.ObjectOld.(*v1alpha1.AnalysisRun)
		is, also := e.ObjectNew.(*v1alpha1.AnalysisRun)
		return !ok || !also || !completed(was) && completed(is)
	},
}

func completed(run *v1alpha1.AnalysisRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionCompleted)
}

// changed lets only through what a router reads.
func changed(kind mux.Kind) predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return kind.Changed(e.ObjectOld, e.ObjectNew) },
	}
}

package notifier

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/notify"
)

// Options of notifications.
type Options struct {
	// Poster sends. Required.
	Poster notify.Poster
	// Clock is for tests. Default the real one.
	Clock clock.PassiveClock
}

// Setup adds notifications to a manager: the reconciler of Notifiers, and the
// dispatcher that it returns, which is to be told what happened. The manager's scheme
// must have the kinds of api/v1alpha1. When the manager stops because ctx has ended,
// and not because it lost the lease, the dispatcher's Wait still sends for a moment what
// is queued. It is to be called when the manager has stopped.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) (*notify.Dispatcher, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if err := notify.Register(metrics.Registry); err != nil {
		return nil, fmt.Errorf("set up notifications: %w", err)
	}
	again := make(chan types.NamespacedName, 64)
	d := &directory{objects: mgr.GetClient(), secrets: mgr.GetAPIReader(), failed: func(name types.NamespacedName) {
		select {
		case again <- name:
		default: // It is looked at when something is sent to it the next time.
		}
	}}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("notifier").
		For(&v1alpha1.Notifier{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			go forward(ctx, again, q)
			return nil
		})).
		Complete(&readiness{client: mgr.GetClient(), directory: d, clock: o.Clock})
	if err != nil {
		return nil, fmt.Errorf("set up the reconciler of Notifiers: %w", err)
	}
	dispatcher := notify.NewDispatcher(ctx, d, o.Poster)
	dispatcher.Failed = recordFailures(mgr.GetEventRecorder("sluice.dev/notifier"))
	if err := mgr.Add(dispatcher); err != nil {
		return nil, fmt.Errorf("set up notifications: %w", err)
	}
	return dispatcher, nil
}

// recordFailures tells who reads the Events of a Notifier what was not told. It says a
// fixed reason and a status: neither an address nor an answer.
func recordFailures(recorder events.EventRecorder) func(types.NamespacedName, types.UID, *notify.Notice, *notify.Error) {
	return func(name types.NamespacedName, uid types.UID, n *notify.Notice, why *notify.Error) {
		regarding := &v1alpha1.Notifier{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: uid}}
		recorder.Eventf(regarding, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotificationFailed, "Notify",
			"could not tell of %s of Rollout %s, %s: %s", n.Type, n.Rollout, why.Reason, why.Error())
	}
}

// forward has Notifiers looked at that could not be used.
func forward(ctx context.Context, names <-chan types.NamespacedName, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	for {
		select {
		case name := <-names:
			q.Add(reconcile.Request{NamespacedName: name})
		case <-ctx.Done():
			return
		}
	}
}

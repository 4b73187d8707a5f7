package analysisrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

const (
	defaultWorkers     = 32
	defaultPerProvider = 8
	defaultConcurrency = 4
)

// Options of the analysis. The zero value of each but Open has a default.
type Options struct {
	// Open makes the client of a provider. Required.
	Open analysis.Opener
	// DefaultAddress is the Prometheus that metrics without a provider ask. Empty
	// means that there is none: such metrics are errors.
	DefaultAddress string
	// DefaultTimeout is how long a query to DefaultAddress may take. Default 10s.
	DefaultTimeout time.Duration
	// Workers is how many queries run at a time. Default 32.
	Workers int
	// PerProvider is how many of them may ask one provider. Default 8.
	PerProvider int
	// Concurrency is how many runs are reconciled at a time. Default 4.
	Concurrency int
	// Runs takes the newest of every run that is in progress. Required.
	Runs *handover.Newest[v1alpha1.AnalysisRun]
	// Rollouts has statuses of Rollouts that were not written yet. Required.
	Rollouts *handover.Newest[handover.Unwritten]
	// Clock is for tests. Default the real one.
	Clock clock.Clock
}

func (o Options) withDefaults() Options {
	if o.DefaultTimeout <= 0 {
		o.DefaultTimeout = defaultQueryTimeout
	}
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.PerProvider <= 0 {
		o.PerProvider = defaultPerProvider
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

// Setup adds the analysis to a manager: the reconcilers of AnalysisRuns and of
// MetricProviders, and the Measurer. The manager's scheme must have the kinds of
// api/v1alpha1. When the manager stops because ctx has ended, and not because it
// lost the lease, what was measured and not written yet is written.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if o.Open == nil || o.Runs == nil || o.Rollouts == nil {
		return errors.New("set up analysis: Open, Runs and Rollouts are required")
	}
	o = o.withDefaults()
	if err := register(metrics.Registry); err != nil {
		return fmt.Errorf("set up analysis: %w", err)
	}
	providers, err := newProviders(mgr.GetClient(), mgr.GetAPIReader(), o)
	if err != nil {
		return fmt.Errorf("set up analysis: %w", err)
	}
	measurer := newMeasurer(o.Clock, providers, limits{workers: o.Workers, perProvider: o.PerProvider})
	if err := mgr.Add(measurer); err != nil {
		return fmt.Errorf("set up analysis: %w", err)
	}
	r := newReconciler(mgr, measurer, o)
	if err := mgr.Add(manager.RunnableFunc(handover.AtStop(ctx, r.store.flush))); err != nil {
		return fmt.Errorf("set up analysis: %w", err)
	}
	if err := setupRuns(ctx, mgr, r, o); err != nil {
		return fmt.Errorf("set up the reconciler of AnalysisRuns: %w", err)
	}
	if err := setupProviders(mgr, providers, o); err != nil {
		return fmt.Errorf("set up the reconciler of MetricProviders: %w", err)
	}
	return nil
}

func newProviders(objects, secrets client.Reader, o Options) (*Providers, error) {
	p := &Providers{
		objects: objects, secrets: secrets, open: o.Open, clock: o.Clock, timeout: o.DefaultTimeout,
		clients: map[providerKey]*providerClient{},
	}
	if o.DefaultAddress == "" {
		return p, nil
	}
	var err error
	if p.fallback, err = o.Open(analysis.Endpoint{Address: o.DefaultAddress}); err != nil {
		return nil, fmt.Errorf("default Prometheus %s: %w", o.DefaultAddress, err)
	}
	return p, nil
}

func newReconciler(mgr ctrl.Manager, m *Measurer, o Options) *Reconciler {
	return &Reconciler{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), measurer: m, clock: o.Clock,
		store: newStore(mgr.GetClient()), runs: o.Runs, rollouts: o.Rollouts,
	}
}

func setupRuns(ctx context.Context, mgr ctrl.Manager, r *Reconciler, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.AnalysisRun{}, activeIndex, activeRollout); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("analysisrun").
		For(&v1alpha1.AnalysisRun{}, builder.WithPredicates(activePredicate())).
		Watches(&v1alpha1.Rollout{}, rolloutHandler(mgr.GetClient())).
		WatchesRawSource(source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.measurer.onAnswer(func(key types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: key}) })
			o.Rollouts.OnPublish(onUnwritten(ctx, mgr.GetClient(), q))
			return nil
		})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: o.Concurrency,
			EnableWarmup:            ptr.To(true),
			// It only bounds how long a run sleeps after an outage in which every
			// attempt failed.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](10*time.Millisecond, 5*time.Second),
		}).
		Complete(r)
}

func setupProviders(mgr ctrl.Manager, p *Providers, o Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("metricprovider").
		For(&v1alpha1.MetricProvider{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			p.onChange(func(key providerKey) {
				q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.namespace, Name: key.name}})
			})
			return nil
		})).
		Complete(&readiness{client: mgr.GetClient(), providers: p, clock: o.Clock})
}

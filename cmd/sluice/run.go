package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/analysisrun"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/controllers/notifier"
	"github.com/sluice-dev/sluice/controllers/rollout"
	"github.com/sluice-dev/sluice/internal/egress"
	"github.com/sluice-dev/sluice/internal/notify"
	"github.com/sluice-dev/sluice/trafficrouting/gatewayapi"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// leaseName is the lease that replicas of the operator compete for.
const leaseName = "sluice"

// How long to wait before starting over after the API server could not be reached.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Second
)

// retryPeriod is how often the lease is renewed, and how often others look at it,
// give or take. A standby sees the last renewal up to two periods late and takes
// over up to two periods after the lease ran out: short periods keep that short.
const retryPeriod = 750 * time.Millisecond

// run works until ctx ends. A replica that loses its lease, as when the API server
// is away, drops all that it knew, and with it every write in flight, and starts
// over: what it finds decides, as after a restart.
func run(ctx context.Context, o options) error {
	config, err := loadConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	return serve(ctx, config, o)
}

// serve is run in a cluster.
func serve(ctx context.Context, config *rest.Config, o options) error {
	api := &contact{clock: clock.RealClock{}, recovery: o.recoveryTime}
	config.Wrap(api.wrap)
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	pause := firstPause
	for started := false; ; {
		worked, err := runOnce(ctx, config, scheme, api, o)
		started = started || worked
		if errors.Is(err, mux.ErrKindsAdded) && ctx.Err() == nil {
			ctrl.Log.Info("Starting over, to serve by kinds that were installed", "cause", err.Error())
			continue
		}
		if err == nil || ctx.Err() != nil || !started {
			return err
		}
		if worked {
			pause = firstPause
		}
		ctrl.Log.Error(err, "Stopped working, starting over", "after", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, lastPause)
	}
}

// runOnce wires everything and works until ctx ends or the lease is lost. It
// reports whether it came as far as working or standing by.
func runOnce(ctx context.Context, config *rest.Config, scheme *runtime.Scheme, api *contact, o options) (worked bool, err error) {
	managerOptions, err := o.manager(scheme)
	if err != nil {
		return false, err
	}
	mgr, err := ctrl.NewManager(config, managerOptions)
	if err != nil {
		return false, fmt.Errorf("setting up the manager: %w", err)
	}
	teller, err := o.addControllers(ctx, mgr, config, api)
	if err != nil {
		return false, err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return false, fmt.Errorf("adding probes: %w", err)
	}
	var mark marker
	if err := mgr.Add(&mark); err != nil {
		return false, fmt.Errorf("adding the start's marker: %w", err)
	}
	ctrl.Log.Info("Starting", "version", version())
	err = mgr.Start(ctx)
	teller.Wait() // The lease is given up: nobody waits for this.
	if err != nil {
		return mark.reached.Load(), fmt.Errorf("running: %w", err)
	}
	return true, nil
}

// marker notes that the caches were filled and work, or standing by, began.
type marker struct{ reached atomic.Bool }

// Start implements manager.Runnable.
func (m *marker) Start(context.Context) error {
	m.reached.Store(true)
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (m *marker) NeedLeaderElection() bool { return false }

func loadConfig(path string) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if path != "" {
		config, err = clientcmd.BuildConfigFromFlags("", path)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	// The API server knows best how much it can take (priority and fairness); an
	// abort must never wait behind our own routine work.
	config.QPS = -1
	config.UserAgent = "sluice/" + version()
	return config, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(
		clientgoscheme.AddToScheme(scheme),
		v1alpha1.AddToScheme(scheme),
		istio.AddToScheme(scheme),
		gatewayapi.AddToScheme(scheme),
	); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

func (o *options) manager(scheme *runtime.Scheme) (manager.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.RolloutLabel, selection.Exists, nil)
	if err != nil {
		return manager.Options{}, fmt.Errorf("selecting ReplicaSets: %w", err)
	}
	if o.leaseDuration < 3*time.Second {
		return manager.Options{}, fmt.Errorf("--lease-duration is %s, but must be at least 3s", o.leaseDuration)
	}
	namespaces := map[string]cache.Config{}
	for _, n := range o.namespaces {
		namespaces[n] = cache.Config{}
	}
	if len(namespaces) == 0 {
		namespaces = nil
	}
	return manager.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultNamespaces: namespaces,
			DefaultTransform:  cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&appsv1.ReplicaSet{}: {Label: labels.NewSelector().Add(*ours), Transform: withoutTemplate},
			},
		},
		Client: client.Options{Cache: &client.CacheOptions{
			// Over several namespaces the library cannot give this; conflicts and
			// fixed names keep us safe there, at the cost of a retry.
			EnableReadYourWritesConsistency: ptr.To(len(o.namespaces) < 2),
		}},
		Metrics:                       server.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.probeAddress,
		PprofBindAddress:              o.profileAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 ptr.To(o.leaseDuration),
		RenewDeadline:                 ptr.To(o.leaseDuration * 2 / 3),
		RetryPeriod:                   ptr.To(min(retryPeriod, o.leaseDuration/7)),
		GracefulShutdownTimeout:       ptr.To(15 * time.Second),
		// A replica that starts over names its controllers again.
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)},
	}, nil
}

// withoutTemplate drops what nobody reads of a ReplicaSet: the template that it was
// made from is in an annotation, in the user's own words. ReplicaSets are patched,
// never updated, so nothing is lost by it.
func withoutTemplate(obj any) (any, error) {
	if rs, ok := obj.(*appsv1.ReplicaSet); ok {
		rs.ManagedFields = nil
		rs.Spec.Template = corev1.PodTemplateSpec{}
	}
	return obj, nil
}

// addControllers adds all that works, and returns who tells people of it.
func (o *options) addControllers(ctx context.Context, mgr ctrl.Manager, config *rest.Config, api *contact) (*notify.Dispatcher, error) {
	if o.defaultAnalysis && o.prometheusAddress == "" {
		return nil, errors.New("--default-analysis needs --prometheus-address: there is nothing to ask")
	}
	apiServer, err := apiServerAddresses(ctx, config)
	if err != nil {
		return nil, err
	}
	teller, err := notifier.Setup(ctx, mgr, notifier.Options{Poster: notify.HTTP{
		Egress: egress.Options{AllowLoopback: o.allowLoopbackNotify, Deny: apiServer},
	}})
	if err != nil {
		return nil, fmt.Errorf("adding notifications: %w", err)
	}
	metricOptions := prometheus.Options{Options: egress.Options{AllowLoopback: o.allowLoopbackMetrics, Deny: apiServer}}
	watch, breaker, err := o.alerts.add(mgr, metricOptions, o.leaderElectionNamespace)
	if err != nil {
		return nil, err
	}
	runs, unwritten := handover.New[v1alpha1.AnalysisRun](), handover.New[handover.Unwritten]()
	router, kinds, err := o.routers(mgr, config)
	if err != nil {
		return nil, err
	}
	if err := rollout.Setup(ctx, mgr, rollout.Options{
		Router:      router,
		Objects:     router,
		Watched:     kinds,
		Clock:       clock.RealClock{},
		Events:      mgr.GetEventRecorder("sluice.dev/rollout"),
		Teller:      teller,
		Runs:        runs,
		Unwritten:   unwritten,
		Unsettled:   api.unsettledUntil,
		Alerts:      watch,
		Breaker:     breaker,
		Concurrency: o.concurrency,

		DefaultAnalysis: o.defaultAnalysis,
	}); err != nil {
		return nil, fmt.Errorf("adding the rollout controller: %w", err)
	}
	if err := analysisrun.Setup(ctx, mgr, analysisrun.Options{
		Open:           prometheus.Opener(metricOptions),
		DefaultAddress: o.prometheusAddress,
		Runs:           runs,
		Rollouts:       unwritten,
		Concurrency:    o.concurrency,
	}); err != nil {
		return nil, fmt.Errorf("adding the analysis: %w", err)
	}
	return teller, nil
}

// apiServerAddresses are where no metric provider and no notifier may be: what they
// are asked or sent must never reach the API server. Loopback is a matter of its own flag.
func apiServerAddresses(ctx context.Context, config *rest.Config) ([]netip.Addr, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	addrs, err := egress.Resolve(ctx, server.Hostname())
	if err != nil {
		return nil, fmt.Errorf("resolving the API server's address: %w", err)
	}
	return slices.DeleteFunc(addrs, netip.Addr.IsLoopback), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// What is deployed.
const (
	namespace   = "demo"
	serviceName = "shop"
	replicas    = 4
	mostErrors  = "0.05"
	mostLatency = "500.0" // milliseconds
)

// steps of a release: the weights, and how long each is held at least.
func steps() []v1alpha1.Step {
	bake := &metav1.Duration{Duration: 3 * time.Second}
	return []v1alpha1.Step{
		{Name: "smoke", Weight: 10, Bake: bake},
		{Name: "third", Weight: 30, Bake: bake},
		{Name: "most", Weight: 60, Bake: bake},
	}
}

// promotedWeights are the weights of a release that passes every step.
func promotedWeights() []int32 {
	var weights []int32
	for _, s := range steps() {
		weights = append(weights, s.Weight)
	}
	return append(weights, 100)
}

// stage is a running cluster with Sluice, a demo service and its traffic.
type stage struct {
	options  options
	dir      string // of the cluster
	cluster  *localcluster.Cluster
	client   client.Client
	operator *demo.Operator
	service  demo.Service
	traffic  *localcluster.Traffic
	seen     <-chan sighting
	alerting *demo.Alerting
	started  int // operators, so that each has a log of its own
}

// newStage boots all of it, in a folder of its own below the build folder, and
// tells log what is up. The caller closes it, also after an error.
func newStage(ctx context.Context, o options, log io.Writer) (*stage, error) {
	latency := demo.Latency(mostLatency, time.Second, 2)
	latency.FailureLimit = 2 // a busy machine has slow moments of its own
	s := &stage{options: o, service: demo.Service{
		Namespace: namespace, Name: serviceName, Replicas: replicas, Version: "v1", Steps: steps(),
		Annotations: map[string]string{localcluster.AnnotationStartupDelay: "500ms"},
		Metrics:     []v1alpha1.Metric{demo.ErrorRatio(mostErrors, time.Second, 2), latency},
	}}
	var err error
	if s.dir, err = os.MkdirTemp(o.buildDir, "cluster-"); err != nil {
		return s, fmt.Errorf("making the cluster's folder: %w", err)
	}
	s.cluster, err = localcluster.Start(ctx, localcluster.Options{Dir: s.dir, Log: log, Istiod: true, Prometheus: true, Alertmanager: true})
	if err != nil {
		return s, err
	}
	if err := demo.Install(ctx, s.cluster, o.root); err != nil {
		return s, err
	}
	fmt.Fprintln(log, "Sluice's resource definitions and permissions installed")
	if s.alerting, err = demo.StartAlerting(ctx, s.cluster, o.root); err != nil {
		return s, err
	}
	if err := s.startOperator(ctx); err != nil {
		return s, err
	}
	fmt.Fprintln(log, "operator up")
	if err := s.deploy(ctx); err != nil {
		return s, err
	}
	fmt.Fprintf(log, "service %s up: %d pods of %s, %.0f requests a second\n", serviceName, replicas, s.service.Version, o.rps)
	return s, nil
}

// startOperator starts the operator and waits until it is ready.
func (s *stage) startOperator(ctx context.Context) error {
	s.started++
	name := "sluice"
	if s.started > 1 {
		name = fmt.Sprintf("sluice-%d", s.started)
	}
	operator, err := demo.StartOperator(ctx, s.cluster, demo.OperatorOptions{
		Name: name, Binary: s.options.operator, Args: s.alerting.OperatorArgs(),
	})
	if err != nil {
		return err
	}
	old := s.operator
	s.operator = operator
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := operator.WaitReady(ctx); err != nil {
		return err
	}
	if old != nil {
		if err := s.cluster.RemoveScrapeTarget(ctx, "sluice", old.MetricsAddr); err != nil {
			return err
		}
	}
	return s.cluster.AddScrapeTarget(ctx, "sluice", operator.MetricsAddr)
}

// deploy brings the first version up and sends it traffic.
func (s *stage) deploy(ctx context.Context) error {
	if err := s.cluster.ApplyYAML(ctx, s.service.RoutingYAML()); err != nil {
		return fmt.Errorf("applying the service's routing: %w", err)
	}
	if err := s.alerting.AllowSender(ctx, namespace); err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	if s.client, err = client.New(s.cluster.AdminConfig(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	rollout, err := s.service.Rollout()
	if err != nil {
		return err
	}
	if err := s.client.Create(ctx, rollout, client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("creating the Rollout: %w", err)
	}
	if s.seen, err = watchWorld(ctx, s.cluster.AdminConfig(), scheme, namespace); err != nil {
		return err
	}
	s.traffic, err = s.cluster.NewTraffic(localcluster.TrafficOptions{Target: s.service.Target(), RPS: s.options.rps})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return s.traffic.Start(ctx)
}

// fieldOwner is who writes for the person at the keyboard.
const fieldOwner = "playground"

// push sets the service's image to a version's.
func (s *stage) push(ctx context.Context, version string) error {
	service := s.service
	service.Version = version
	want, err := service.Rollout()
	if err != nil {
		return err
	}
	err = s.edit(ctx, func(spec *v1alpha1.RolloutSpec) { spec.Workload = want.Spec.Workload })
	if err != nil {
		return fmt.Errorf("pushing version %s: %w", version, err)
	}
	s.service.Version = version
	return nil
}

// edit changes the Rollout's spec.
func (s *stage) edit(ctx context.Context, change func(*v1alpha1.RolloutSpec)) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		rollout := &v1alpha1.Rollout{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: serviceName}, rollout); err != nil {
			return err
		}
		change(&rollout.Spec)
		return s.client.Update(ctx, rollout, client.FieldOwner(fieldOwner))
	})
}

// finish ends everything, and adds to an error where to look. The folder with the
// logs stays after an error, and goes otherwise.
func (s *stage) finish(ctx context.Context, err error) error {
	var stopped error
	if s.cluster != nil {
		stopped = s.cluster.Stop()
	}
	switch {
	case s.dir == "":
		return errors.Join(err, stopped)
	case err == nil || errors.Is(context.Cause(ctx), errInterrupted):
		return errors.Join(err, stopped, os.RemoveAll(s.dir))
	default:
		return errors.Join(fmt.Errorf("%w\nlogs: %s", err, s.logs()), stopped)
	}
}

// logs is where to look when something went wrong.
func (s *stage) logs() string { return filepath.Join(s.dir, "logs") }

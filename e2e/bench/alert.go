package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

// benchAlert fires for every Rollout that was turned bad.
const benchAlert = `
groups:
- name: bench
  interval: 1s
  rules:
  - alert: BenchBad
    expr: bench_bad == 1
    labels: {severity: page, sluice: release}
`

// measureAlerts measures from an alert that fires in Prometheus, by way of
// Alertmanager, to weight 0: one at a time, and many at once.
func measureAlerts(ctx context.Context, b *bench) error {
	singles, atOnce := b.size(20, 3), b.size(20, 5)
	alerting, err := demo.StartAlerting(ctx, b.cluster, b.root)
	if err != nil {
		return err
	}
	if err := b.cluster.SetRules(ctx, []byte(benchAlert)); err != nil {
		return err
	}
	if err := b.cluster.AddScrapeTarget(ctx, "bench", b.metrics.listener.Addr().String()); err != nil {
		return err
	}
	if _, err := b.startOperator(ctx, append(alerting.OperatorArgs(), "--alerts-abort-limit=0")...); err != nil {
		return err
	}
	f, err := b.newFleet(ctx, singles+atOnce, demo.Service{Steps: held(), Alerts: []v1alpha1.AlertRule{{
		Name: "bad", Matchers: []string{`alertname="BenchBad"`}, RevisionLabel: "revision",
	}}})
	if err != nil {
		return err
	}
	if err := alerting.AllowSender(ctx, namespace); err != nil {
		return err
	}
	if _, err := f.release(ctx, "v2"); err != nil {
		return err
	}
	if err := f.awaitHeld(ctx, "held"); err != nil {
		return err
	}
	var alone, together alertTimes
	for i := range singles {
		if err := f.timeAlerts(ctx, f.names[i:i+1], &alone); err != nil {
			return err
		}
	}
	if err := f.timeAlerts(ctx, f.names[singles:], &together); err != nil {
		return err
	}
	crowd := fmt.Sprintf("%d at once", atOnce)
	b.report.add(b.part, "alert fires to weight 0, one", alone.fired, seconds(0))
	b.report.add(b.part, "alert taken in to weight 0, one", alone.received, seconds(0))
	b.report.add(b.part, "bad metric to weight 0, scraped and evaluated every 1s, one", alone.turned, seconds(0))
	b.report.add(b.part, "alert fires to weight 0, "+crowd, together.fired, seconds(0))
	b.report.add(b.part, "alert taken in to weight 0, "+crowd, together.received, seconds(0))
	return nil
}

// alertTimes are how long it took to weight 0: from the alert's start in Prometheus,
// from when the operator learned of it, and from when the metric turned bad.
type alertTimes struct{ fired, received, turned series }

// timeAlerts turns Rollouts bad at once and adds how long each took.
func (f *fleet) timeAlerts(ctx context.Context, names []string, times *alertTimes) error {
	ctx, cancel := context.WithTimeout(ctx, reactionTimeout)
	defer cancel()
	zero, turned := make([]time.Time, len(names)), time.Now()
	for _, name := range names {
		f.b.metrics.alert(name, f.b.states.get(name).canary)
	}
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() (err error) {
			zero[i], err = f.b.weights.awaitWeight(ctx, name, 0, turned)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	origins, err := f.origins(ctx)
	if err != nil {
		return err
	}
	for i, name := range names {
		origin := origins[name]
		if origin == nil {
			return fmt.Errorf("the weight of %s went to 0, and no alert gave a command", name)
		}
		times.fired.addDuration(max(0, zero[i].Sub(origin.StartsAt.Time)))
		times.received.addDuration(max(0, zero[i].Sub(origin.ReceivedAt.Time)))
		times.turned.addDuration(zero[i].Sub(turned))
	}
	return nil
}

// origins are the alerts that commanded Rollouts, by Rollout.
func (f *fleet) origins(ctx context.Context) (map[string]*v1alpha1.AlertOrigin, error) {
	list, err := f.b.client.Resource(actions).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing RolloutActions: %w", err)
	}
	out := map[string]*v1alpha1.AlertOrigin{}
	return out, list.EachListItem(func(o runtime.Object) error {
		a := &v1alpha1.RolloutAction{}
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("a %T in a list of RolloutActions", o)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, a); err != nil {
			return fmt.Errorf("reading RolloutAction %s: %w", u.GetName(), err)
		}
		out[a.Spec.Rollout] = a.Spec.Alert
		return nil
	})
}

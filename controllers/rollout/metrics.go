package rollout

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

var (
	weightGauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_rollout_weight_percent",
		Help: "Percentage of requests that the routes give the canary.",
	}, []string{"namespace", "rollout"})
	stepGauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_rollout_step_index",
		Help: "Index of the current step, from 0; -1 without a release in progress.",
	}, []string{"namespace", "rollout"})
	outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_rollout_transitions_total",
		Help: "Transitions of releases, by type and reason.",
	}, []string{"type", "reason"})
	decisionSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "sluice_rollout_decision_duration_seconds",
		Help:    "Time from the start of a reconcile to the end of its writes.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
	abortSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "sluice_rollout_abort_duration_seconds",
		Help:    "Time from reading the cause of an abort to the end of the reconcile that wrote the weight.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
)

// registerMetrics registers the collectors; doing so again changes nothing.
func registerMetrics(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{weightGauge, stepGauge, outcomes, decisionSeconds, abortSeconds, alertSeconds} {
		if err := registry.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// measure exports what a reconcile saw and took.
func (r *Reconciler) measure(o *observation, p *plan.Plan, started time.Time) {
	took := r.clock.Since(started).Seconds()
	decisionSeconds.Observe(took)
	for i := range p.Transitions {
		if takesBack(&p.Transitions[i]) {
			abortSeconds.Observe(took)
		}
	}
	name, step := client.ObjectKeyFromObject(o.rollout), -1.0
	if p.Position.Step != nil {
		step = float64(p.Position.Step.Index)
	}
	canary, weight := o.Routing.State.Canary, o.Routing.State.MaxWeight
	if p.Split != nil {
		canary, weight = p.Split.Canary, p.Split.Weight
	}
	if p.Position.Canary == "" || p.Position.Canary != canary {
		weight = 0 // What the canary's destination gets is another revision's.
	}
	r.measureAlert(o, p, weight)
	if o.Routing.Known {
		weightGauge.WithLabelValues(name.Namespace, name.Name).Set(float64(weight))
	}
	stepGauge.WithLabelValues(name.Namespace, name.Name).Set(step)
}

func countOutcome(t *v1alpha1.Transition) { outcomes.WithLabelValues(string(t.Type), t.Reason).Inc() }

// forgetMetrics drops the series of a Rollout that is gone.
func forgetMetrics(name types.NamespacedName) {
	weightGauge.DeleteLabelValues(name.Namespace, name.Name)
	stepGauge.DeleteLabelValues(name.Namespace, name.Name)
}

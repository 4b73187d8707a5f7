package rollout

import (
	"cmp"
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

// canaryShare is the percentage of requests that the canary gets, the aborted one too:
// one that was taken back after its promotion has the stable destination at first.
func canaryShare(o *observation, p *plan.Plan) int32 {
	state := o.Routing.State
	stable, canary, weight := state.Stable, state.Canary, state.MaxWeight
	if p.Split != nil {
		stable, canary, weight = cmp.Or(p.Split.Stable, stable), cmp.Or(p.Split.Canary, canary), p.Split.Weight
	}
	share := int32(0)
	if p.Position.Canary != "" && p.Position.Canary == canary {
		share = weight
	}
	if p.Position.Canary != "" && p.Position.Canary == stable {
		share += 100 - weight
	}
	return share
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
	weight := canaryShare(o, p)
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

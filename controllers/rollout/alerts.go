package rollout

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/internal/alerts"
)

// AlertWatch tells which alerts fire.
type AlertWatch interface {
	// See returns what is known of the alerts that concern a Rollout with these rules.
	See(rollout *v1alpha1.Rollout, rules []alerts.Rule) plan.Alerts
	// OnChange sets who is told of a Rollout for which that changed.
	OnChange(changed func(types.NamespacedName))
}

// AlertBreaker bounds how many releases alerts abort without a person.
type AlertBreaker interface {
	// Admit says why an alert's action must not abort a release, or nothing.
	Admit(ctx context.Context, a *v1alpha1.RolloutAction) (string, error)
	// Settle tells whether an action that was admitted aborted a release.
	Settle(uid types.UID, aborted bool)
}

// alertSeconds is exported with the other metrics of alerts by name.
var alertSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name:    "sluice_alerts_reaction_seconds",
	Help:    "Time from learning of an alert that ends a release, or from when it had lasted for long enough, to its weight being written as 0.",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
})

// alertSource wakes the Rollouts for which something else is known of alerts.
func (r *Reconciler) alertSource() source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		if r.alerts != nil {
			r.alerts.OnChange(func(key types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: key}) })
		}
		return nil
	})
}

// takeAlertRules adds the alert rules.
func (o *observation) takeAlertRules(rules []alerts.Rule) {
	o.alertRules = rules
	for i := range rules {
		o.Spec.Alerts = append(o.Spec.Alerts, rules[i].AlertRule)
	}
}

// observeAlerts adds what is known of alerts.
func (r *Reconciler) observeAlerts(o *observation) {
	switch {
	case len(o.alertRules) == 0:
	case r.alerts == nil:
		o.Alerts.Unknown = "nobody watches alerts"
	default:
		// The release as it is known here, which may be a moment ahead of what is stored.
		rollout := *o.rollout
		rollout.Status = *o.status
		o.Alerts = r.alerts.See(&rollout, o.alertRules)
	}
}

// observeOrigin adds the alert that a command stands for.
func observeOrigin(a *v1alpha1.RolloutAction, into *plan.Action) {
	origin := a.Spec.Alert
	if origin == nil {
		return
	}
	into.Alert = &plan.AlertAction{
		Rule: origin.Rule, StartsAt: origin.StartsAt.Time, ReceivedAt: origin.ReceivedAt.Time, Fingerprint: origin.Fingerprint, DryRun: origin.DryRun,
	}
	if origin.NotBefore != nil {
		into.Alert.NotBefore = origin.NotBefore.Time
	}
}

// admitAlerts asks the breaker about the command of an alert that would end the
// release now. It ends no other.
func (r *Reconciler) admitAlerts(ctx context.Context, o *observation) error {
	if r.breaker == nil {
		return nil
	}
	for i := range o.Actions {
		a := &o.Actions[i]
		if !plan.AlertIsDue(o.Observed, *a) {
			continue
		}
		var err error
		a.Alert.Barred, err = r.breaker.Admit(ctx, o.actions[a.UID])
		return err
	}
	return nil
}

// settleAlerts tells the breaker what became of the commands that it admitted.
func (r *Reconciler) settleAlerts(o *observation, p *plan.Plan) {
	if r.breaker == nil {
		return
	}
	for i := range o.Actions {
		a := &o.Actions[i]
		if a.Alert == nil || a.Type != v1alpha1.ActionAbort {
			continue
		}
		r.breaker.Settle(types.UID(a.UID), slices.ContainsFunc(p.Actions, func(x plan.ActionOutcome) bool {
			return x.UID == a.UID && x.Applied && x.Reason == v1alpha1.ReasonActionApplied
		}))
	}
}

// writeAlertPosition puts what is remembered of alerts into a status.
func writeAlertPosition(s *v1alpha1.RolloutStatus, p *plan.Position) {
	s.Pause, s.Alerts = nil, nil
	if p.Pause != nil {
		s.Pause = &v1alpha1.PauseStatus{Reason: p.Pause.Reason, Message: p.Pause.Message, At: micro(p.Pause.At)}
	}
	if b := p.AlertBaseline; b != nil {
		s.Alerts = &v1alpha1.AlertsStatus{Attempt: b.Attempt, Since: micro(b.Since), FiringBefore: b.Firing, Handled: b.Handled}
	}
}

// measureAlert exports how long it took to take the traffic back for an alert.
func (r *Reconciler) measureAlert(o *observation, p *plan.Plan, weight int32) {
	for i := range p.Transitions {
		t := &p.Transitions[i]
		ended := t.Type == v1alpha1.TransitionAborted || t.Type == v1alpha1.TransitionRolledBack
		if ended && t.Reason == v1alpha1.ReasonAlertFiring {
			o.memory.alerted = dueAt(o, p)
		}
	}
	if o.memory.alerted.IsZero() || !o.Routing.Known || weight > 0 {
		return
	}
	alertSeconds.Observe(r.clock.Since(o.memory.alerted).Seconds())
	o.memory.alerted = time.Time{}
}

// dueAt is when the alert that aborted a release was to do so.
func dueAt(o *observation, p *plan.Plan) time.Time {
	for _, outcome := range p.Actions {
		a := o.actions[outcome.UID]
		if !outcome.Applied || a == nil || a.Spec.Alert == nil || a.Spec.Action != v1alpha1.ActionAbort {
			continue
		}
		if due := a.Spec.Alert.NotBefore; due != nil && due.After(a.Spec.Alert.ReceivedAt.Time) {
			return due.Time
		}
		return a.Spec.Alert.ReceivedAt.Time
	}
	return o.Now
}

package story

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Gate is something that the current step needs before it is passed.
type Gate struct {
	Name string `json:"name"`
	// Open is true when it no longer holds the step.
	Open   bool   `json:"open"`
	Detail string `json:"detail,omitempty"`
}

// approvalGate is the name of the gate that a promotion itself opens.
const approvalGate = "approval"

// Gates lists what the current step of a release needs, in the order in which the
// operator looks at them.
func Gates(s *Snapshot) []Gate {
	at, step := s.Rollout.Status.Step, CurrentStep(s.Rollout)
	gates := []Gate{podsGate(s), weightGate(s)}
	if s.Rollout.Spec.Paused {
		gates = append(gates, Gate{Name: "pause", Detail: "spec.paused holds the release"})
	}
	if p := s.Rollout.Status.Pause; p != nil {
		gates = append(gates, Gate{Name: "pause", Detail: p.Message})
	}
	if len(s.Rollout.Spec.Alerts) > 0 {
		gates = append(gates, alertsGate(s.Rollout))
	}
	if step == nil { // the final move, or a step that the spec lost
		return gates
	}
	if step.Approval == v1alpha1.ApprovalRequired {
		gates = append(gates, Gate{Name: approvalGate, Detail: "somebody has to promote the step"})
	}
	if s.Rollout.Spec.Analysis != nil && at.Weight > 0 {
		gates = append(gates, analysisGate(s.Rollout))
	}
	if step.Bake != nil && step.Bake.Duration > 0 {
		gates = append(gates, bakeGate(s, step.Bake.Duration))
	}
	return gates
}

// alertsGate tells of an alert, or of the lack of an answer, that holds the release.
func alertsGate(r *v1alpha1.Rollout) Gate {
	c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReconciling)
	if c != nil && c.Status == metav1.ConditionTrue && (c.Reason == v1alpha1.ReasonAlertFiring || c.Reason == v1alpha1.ReasonAlertsUnknown) {
		return Gate{Name: "alerts", Detail: c.Message}
	}
	return Gate{Name: "alerts", Open: true, Detail: "none holds the release"}
}

func podsGate(s *Snapshot) Gate {
	canary := s.canary()
	wanted, available := canary.Wanted(), canary.Available()
	return Gate{
		Name:   "pods",
		Open:   s.Rollout.Status.Step.InForceSince != nil || wanted > 0 && available >= wanted,
		Detail: fmt.Sprintf("%d of %d available", available, wanted),
	}
}

func weightGate(s *Snapshot) Gate {
	at := s.Rollout.Status.Step
	g := Gate{Name: "weight", Open: at.InForceSince != nil}
	if g.Open {
		g.Detail = fmt.Sprintf("%d%% in force since %s", at.Weight, clockTime(at.InForceSince.Time))
		return g
	}
	g.Detail = fmt.Sprintf("%d%% asked, %d%% routed", at.Weight, s.Rollout.Status.Canary.Weight)
	c := meta.FindStatusCondition(s.Rollout.Status.Conditions, v1alpha1.ConditionRouting)
	if c != nil && c.Reason != v1alpha1.ReasonShifting && c.Status != metav1.ConditionTrue {
		g.Detail += "; " + c.Message
	}
	return g
}

func analysisGate(r *v1alpha1.Rollout) Gate {
	g := Gate{Name: "analysis", Detail: "measuring starts when the step's weight is in force"}
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAnalysis); c != nil {
		g.Open, g.Detail = c.Status == metav1.ConditionTrue, c.Message
	}
	return g
}

func bakeGate(s *Snapshot, bake time.Duration) Gate {
	g := Gate{Name: "bake", Detail: fmt.Sprintf("%s, from when the weight is in force", shortDuration(bake))}
	if end, ok := bakeEnd(s.Rollout); ok {
		g.Open = !s.Now.Before(end)
		g.Detail = fmt.Sprintf("%s, until %s", shortDuration(bake), clockTime(end))
	}
	return g
}

// bakeEnd is when the current step has baked, once its weight is in force.
func bakeEnd(r *v1alpha1.Rollout) (time.Time, bool) {
	step := CurrentStep(r)
	if step == nil || step.Bake == nil || r.Status.Step.InForceSince == nil {
		return time.Time{}, false
	}
	return r.Status.Step.InForceSince.Add(step.Bake.Duration), true
}

// clockTime writes a moment of the day, in UTC as everything in a cluster is.
func clockTime(t time.Time) string { return t.UTC().Format("15:04:05Z") }

// shortDuration writes 10m for what Go writes as 10m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func orDefault(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

package plan

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Verdict is what the conditions say. Ready and Routing are always present, the
// others only when they are not nil; Reconciling and Stalled are never both.
type Verdict struct {
	Ready, Routing                 Condition
	Reconciling, Stalled, Analysis *Condition
}

// Condition is the part of a condition that is decided here.
type Condition struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

func (d *decision) verdict() Verdict {
	v := Verdict{Routing: d.routingCondition(), Analysis: d.analysisCondition()}
	stalled, reconciling := d.stalled(), d.reconciling()
	switch {
	case d.o.Spec.DeletedAt == nil && stalled != nil:
		v.Stalled = &Condition{metav1.ConditionTrue, stalled.Reason, stalled.Message}
		v.Ready = Condition{metav1.ConditionFalse, stalled.Reason, stalled.Message}
	case reconciling != nil:
		v.Reconciling = &Condition{metav1.ConditionTrue, reconciling.Reason, reconciling.Message}
		v.Ready = Condition{metav1.ConditionFalse, reconciling.Reason, reconciling.Message}
	default:
		v.Ready = Condition{metav1.ConditionTrue, v1alpha1.ReasonPromoted,
			fmt.Sprintf("revision %s is stable and has all traffic", d.p.Stable)}
	}
	return v
}

// stalled returns what only a person can mend, or nil.
func (d *decision) stalled() *Problem {
	switch {
	case d.o.Spec.Problem != nil:
		return d.o.Spec.Problem
	case d.o.Routing.Problem != nil:
		return d.o.Routing.Problem
	case d.p.Abort != nil:
		return &Problem{d.p.Abort.Reason, fmt.Sprintf("revision %s was aborted in step %s: %s",
			d.p.Canary, d.p.Abort.Step, d.p.Abort.Message)}
	}
	return nil
}

// reconciling returns what is going on, or nil at rest.
func (d *decision) reconciling() *Problem {
	stable := d.o.replicaSet(d.p.Stable)
	switch {
	case d.o.Spec.DeletedAt != nil:
		return &Problem{v1alpha1.ReasonTerminating, "the routing is being given back"}
	case !d.o.Routing.Known:
		return &Problem{v1alpha1.ReasonRoutingUnreadable, "the routing objects cannot be read: nothing is moved"}
	case d.promotingNow():
		return &Problem{v1alpha1.ReasonPromoting, fmt.Sprintf("revision %s is becoming stable", d.p.Canary)}
	case d.p.releasing():
		if gate := d.closedGate(); gate != nil {
			return gate
		}
		return &Problem{v1alpha1.ReasonShifting, fmt.Sprintf("step %s is being entered", d.p.Step.Name)}
	case d.p.Proven == 0 && (d.o.Spec.Replicas > 0 || d.o.Routing.State.Stable != d.p.Stable):
		return &Problem{v1alpha1.ReasonDeploying, fmt.Sprintf("first revision %s: %d of %d pods are available",
			d.p.Stable, stable.Available, d.o.Spec.Replicas)}
	case !d.allOnStable():
		return &Problem{v1alpha1.ReasonReturning, fmt.Sprintf("traffic is going to stable revision %s", d.p.Stable)}
	case d.watched():
		return &Problem{v1alpha1.ReasonWatching, fmt.Sprintf("revision %s is watched until %s after its promotion; %s is kept ready to return",
			d.p.Stable, d.p.After.PromotedAt.Add(d.o.Spec.AfterBake).UTC().Format(time.RFC3339), d.p.After.Previous)}
	case stable.Available < d.o.Spec.Replicas:
		return &Problem{v1alpha1.ReasonScaling, fmt.Sprintf("%d of %d pods of stable revision %s are available",
			stable.Available, d.o.Spec.Replicas, d.p.Stable)}
	}
	return nil
}

func (d *decision) promotingNow() bool {
	return d.o.promoting(&d.p) && d.p.Step.InForceSince != nil && d.held() == nil
}

// allOnStable reports whether every request goes to stable's pods.
func (d *decision) allOnStable() bool {
	state := d.o.Routing.State
	stable := state.Stable == d.p.Stable
	return stable && state.MaxWeight == 0 || stable && state.Canary == d.p.Stable ||
		state.Canary == d.p.Stable && state.MinWeight == 100
}

func (d *decision) routingCondition() Condition {
	switch {
	case d.o.Routing.Problem != nil:
		return Condition{metav1.ConditionFalse, d.o.Routing.Problem.Reason, d.o.Routing.Problem.Message}
	case !d.o.Routing.Known:
		return Condition{metav1.ConditionUnknown, v1alpha1.ReasonRoutingUnreadable, "the routing objects cannot be read"}
	case d.p.releasing() && d.p.Step.InForceSince == nil:
		return Condition{metav1.ConditionUnknown, v1alpha1.ReasonShifting,
			fmt.Sprintf("%d%% of %d%% for the canary", d.weightInForce(), d.p.Step.Weight)}
	case d.p.releasing():
		return Condition{metav1.ConditionTrue, v1alpha1.ReasonInForce,
			fmt.Sprintf("%d%% for canary %s", d.p.Step.Weight, d.p.Canary)}
	case d.p.Stable == "":
		return Condition{metav1.ConditionUnknown, v1alpha1.ReasonShifting, "no revision was deployed yet"}
	case d.allOnStable():
		return Condition{metav1.ConditionTrue, v1alpha1.ReasonInForce,
			fmt.Sprintf("all traffic for stable %s", d.p.Stable)}
	default:
		return Condition{metav1.ConditionUnknown, v1alpha1.ReasonShifting, "traffic is going to stable"}
	}
}

// analysisCondition speaks of the current step, or of the failure that ended the
// release.
func (d *decision) analysisCondition() *Condition {
	if d.p.Abort != nil && d.p.Abort.Reason == v1alpha1.ReasonAnalysisFailed {
		return &Condition{metav1.ConditionFalse, d.p.Abort.Reason, d.p.Abort.Message}
	}
	if d.watched() && d.o.Spec.Analysed {
		return verdictCondition(d.o.Analysis)
	}
	if !d.p.releasing() || !d.analysed() || d.p.Step.Name == PromotionStep {
		return nil
	}
	return verdictCondition(d.judgement())
}

func verdictCondition(judgement Analysis) *Condition {
	if judgement.Verdict == v1alpha1.VerdictSuccess {
		return &Condition{metav1.ConditionTrue, v1alpha1.ReasonPassing, judgement.Message}
	}
	return &Condition{metav1.ConditionUnknown, judgement.Reason, judgement.Message}
}

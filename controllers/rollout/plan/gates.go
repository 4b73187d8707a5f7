package plan

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// closedGate returns what keeps the current step from being passed, or nil.
func (d *decision) closedGate() *Problem {
	step, position := d.current(), d.p.Step
	switch {
	case d.o.Spec.Problem != nil:
		return d.o.Spec.Problem
	case d.o.Routing.Problem != nil:
		return d.o.Routing.Problem
	case !d.o.Routing.Known:
		return &Problem{v1alpha1.ReasonRoutingUnreadable, "the routing cannot be read"}
	case position.InForceSince == nil:
		return d.notInForce()
	case d.held() != nil:
		return d.held()
	case step.Approval:
		return &Problem{v1alpha1.ReasonPaused, fmt.Sprintf("step %s waits for somebody to promote it", position.Name)}
	case d.gatedByAnalysis() && d.judgement().Verdict != v1alpha1.VerdictSuccess:
		return &Problem{v1alpha1.ReasonAnalysing, fmt.Sprintf("step %s is analysed: %s", position.Name, d.judgement().Message)}
	}
	if end := position.InForceSince.Add(step.Bake); d.o.Now.Before(end) {
		d.wakeAt(end)
		return &Problem{v1alpha1.ReasonBaking, fmt.Sprintf("step %s bakes until %s", position.Name, end.UTC().Format(time.RFC3339))}
	}
	return nil
}

// gatedByAnalysis reports whether the current step needs a verdict.
func (d *decision) gatedByAnalysis() bool { return d.analysed() && !d.o.Spec.Advisory }

// analysed reports whether the current step is measured. Without weight there is
// nothing to measure.
func (d *decision) analysed() bool { return d.o.Spec.Analysed && d.p.Step.Weight > 0 }

// judgement is what analysis says of the current step. What was observed is of the
// step that the decision began with; a step that was entered since has none.
func (d *decision) judgement() Analysis {
	if !d.stepStands() || d.o.Position.Step.InForceSince == nil {
		return Analysis{Verdict: v1alpha1.VerdictPending, Reason: v1alpha1.ReasonAnalysing,
			Message: "measuring starts when the step's weight is in force"}
	}
	return d.o.Analysis
}

// stepStands reports whether the current step is the one that the decision began
// with.
func (d *decision) stepStands() bool {
	was, is := d.o.Position.Step, d.p.Step
	return was != nil && d.o.Position.Attempt == d.p.Attempt &&
		was.Name == is.Name && was.Weight == is.Weight && was.EnteredAt.Equal(is.EnteredAt)
}

func (d *decision) notInForce() *Problem {
	need, available := d.canaryPods(), d.o.replicaSet(d.p.Canary).Available
	if available < need {
		return &Problem{v1alpha1.ReasonWaitingForPods, fmt.Sprintf(
			"step %s waits for pods: %d of %d of revision %s are available", d.p.Step.Name, available, need, d.p.Canary)}
	}
	message := fmt.Sprintf("step %s: weight %d%% is not in force yet", d.p.Step.Name, d.p.Step.Weight)
	if d.o.recovering() {
		message += fmt.Sprintf(": the API server was away, and proxies may be behind until %s",
			d.o.Routing.UnsettledUntil.UTC().Format(time.RFC3339))
	}
	return &Problem{v1alpha1.ReasonShifting, message}
}

package plan

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// PromotionStep names the final move of all traffic to the canary, which follows
// the user's steps. Its index is their number.
const PromotionStep = v1alpha1.PromotionStep

// Plan is what to do now. It is carried out in this order: when Raises is true, the
// position is written before the split; otherwise after it. What rests on the
// position comes last: the analysis run, what became of actions, and what is
// forgotten or released. Only the scale is free. A write that fails ends the plan,
// but a position that comes after the split may be written all the same. A crash in
// between leaves a state from which the next plan goes on safely.
//
// Every write that changes something, the position's included, must lead to another
// decision; RequeueAfter speaks of time alone.
type Plan struct {
	// Position to remember.
	Position Position
	// Scale lists the ReplicaSets whose number of pods must change, and the one
	// that must be created.
	Scale []ScaleIntent
	// Split to apply, or nil when the routing may stay as it is.
	Split *trafficrouting.Split
	// Raises is true when Position must be written before Split: Split gives a
	// revision more than it has, or takes traffic from one whose drain time the old
	// position remembers.
	Raises bool
	// Run that must exist, or nil.
	Run *RunIntent
	// Actions that came to an end.
	Actions []ActionOutcome
	// Forget names ReplicaSets that are no longer needed.
	Forget []string
	// Release is true when the routing must be given back and the Rollout let go.
	Release bool
	// Transitions are what a person would want to read about.
	Transitions []v1alpha1.Transition
	// Verdict is what the conditions say.
	Verdict Verdict
	// RequeueAfter is when to look again without a change; 0 for never.
	RequeueAfter time.Duration
	// Why tells, in words, what was decided and what is waited for.
	Why []Note
}

// ScaleIntent asks for a number of pods of a revision.
type ScaleIntent struct {
	Revision string
	Replicas int32
}

// RunIntent asks for the AnalysisRun of an attempt.
type RunIntent struct {
	Stable, Canary string
	Attempt        int32
}

// ActionOutcome is what became of an action.
type ActionOutcome struct {
	UID             string
	Applied         bool
	Reason, Message string
}

// Note is one reason in words.
type Note struct{ Topic, Text string }

// Decide is total: every observation has a plan, and equal observations have
// equal plans.
func Decide(o Observed) Plan {
	d := &decision{o: &o}
	d.p = o.Position.clone()
	d.expireActions()
	for _, rule := range rules {
		rule.apply(d)
	}
	d.refuseRemaining()
	d.planSplit()
	d.planScale()
	d.planRun()
	d.planRelease()
	d.plan.Position = d.p
	d.plan.Verdict = d.verdict()
	d.plan.RequeueAfter = d.requeueAfter()
	return d.plan
}

// decision is a plan in the making.
type decision struct {
	o    *Observed
	p    Position
	plan Plan
	// wake is the earliest time at which something would be decided anew.
	wake time.Time
}

func (d *decision) note(topic, text string) {
	d.plan.Why = append(d.plan.Why, Note{Topic: topic, Text: text})
}

// wakeAt asks to look again at t, if that is in the future.
func (d *decision) wakeAt(t time.Time) {
	if !t.After(d.o.Now) {
		return
	}
	if d.wake.IsZero() || t.Before(d.wake) {
		d.wake = t
	}
}

func (d *decision) requeueAfter() time.Duration {
	if d.wake.IsZero() {
		return 0
	}
	return d.wake.Sub(d.o.Now)
}

func (d *decision) transition(kind v1alpha1.TransitionType, revision, step, reason, message string) {
	d.plan.Transitions = append(d.plan.Transitions, v1alpha1.Transition{
		At:       microTime(d.o.Now),
		Type:     kind,
		Revision: revision,
		Step:     step,
		Reason:   reason,
		Message:  shorten(message),
	})
}

// planRun asks for the attempt's analysis as soon as the canary gets weight.
func (d *decision) planRun() {
	if !d.o.Spec.Analysed || !d.p.releasing() || d.p.Step.Weight == 0 || d.o.Spec.DeletedAt != nil {
		return
	}
	d.plan.Run = &RunIntent{Stable: d.p.Stable, Canary: d.p.Canary, Attempt: d.p.Attempt}
}

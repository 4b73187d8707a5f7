package plan

import (
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// expireActions ends what came too late, and what was applied already.
func (d *decision) expireActions() {
	d.p.Applied = slices.DeleteFunc(d.p.Applied, func(uid string) bool {
		return !slices.ContainsFunc(d.o.Actions, func(a Action) bool { return a.UID == uid })
	})
	for _, a := range d.o.Actions {
		switch {
		case slices.Contains(d.p.Applied, a.UID):
			d.outcome(a, true, v1alpha1.ReasonActionApplied, "the action was applied")
		case !d.o.Now.Before(a.CreatedAt.Add(a.TimeToLive)):
			d.outcome(a, false, v1alpha1.ReasonExpired,
				fmt.Sprintf("the action was not applied within %s", a.TimeToLive))
		}
	}
}

// pending returns people's actions of some types that nothing was said of yet.
func (d *decision) pending(types ...v1alpha1.ActionType) []Action {
	var out []Action
	for _, a := range d.o.Actions {
		if a.Alert == nil && d.open(a) && slices.Contains(types, a.Type) {
			out = append(out, a)
		}
	}
	return out
}

// open reports whether nothing was said of an action yet.
func (d *decision) open(a Action) bool {
	return !slices.ContainsFunc(d.plan.Actions, func(x ActionOutcome) bool { return x.UID == a.UID })
}

func (d *decision) outcome(a Action, applied bool, reason, message string) {
	d.plan.Actions = append(d.plan.Actions, ActionOutcome{UID: a.UID, Applied: applied, Reason: reason, Message: message})
}

func (d *decision) applied(a Action, message string) {
	d.p.Applied = append(d.p.Applied, a.UID)
	d.outcome(a, true, v1alpha1.ReasonActionApplied, message)
}

// refusal returns why an action for a release in progress cannot be applied, or
// nil.
func (d *decision) refusal(a Action) *Problem {
	switch {
	case a.Revision != d.p.Canary:
		at := d.p.Canary
		if at == "" {
			return &Problem{v1alpha1.ReasonNothingInProgress, fmt.Sprintf("no release of revision %s is in progress", a.Revision)}
		}
		return &Problem{v1alpha1.ReasonRevisionMismatch, fmt.Sprintf("the action is for revision %s, the Rollout is at %s", a.Revision, at)}
	case d.p.Step == nil:
		return &Problem{v1alpha1.ReasonNothingInProgress, fmt.Sprintf("the release of revision %s was aborted", a.Revision)}
	case a.Step != "" && a.Step != d.p.Step.Name:
		return &Problem{v1alpha1.ReasonStepMismatch, fmt.Sprintf("the action is for step %s, the Rollout is at %s", a.Step, d.p.Step.Name)}
	}
	return nil
}

func (d *decision) abortOnCommand() {
	for _, a := range d.pending(v1alpha1.ActionAbort) {
		if d.afterPromotion() && a.Revision == d.p.Stable {
			message := fmt.Sprintf("aborted after its promotion by %s", attribution(a))
			d.rollBack(d.p.After.Previous, v1alpha1.ReasonAborted, message)
			d.applied(a, message)
			continue
		}
		if refused := d.refusal(a); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		message := fmt.Sprintf("aborted in step %s by %s", d.p.Step.Name, attribution(a))
		d.abort(v1alpha1.ReasonAborted, message)
		d.applied(a, message)
	}
}

func (d *decision) retryOnCommand() {
	for _, a := range d.pending(v1alpha1.ActionRetry) {
		switch {
		case a.Revision != d.p.Canary:
			d.outcome(a, false, v1alpha1.ReasonRevisionMismatch,
				fmt.Sprintf("the action is for revision %s, which is not the aborted one", a.Revision))
			continue
		case d.p.Abort == nil:
			d.outcome(a, false, v1alpha1.ReasonNotAborted,
				fmt.Sprintf("revision %s was not aborted", a.Revision))
			continue
		case d.o.Spec.Problem != nil || d.o.Spec.DeletedAt != nil:
			continue
		}
		d.p.Abort, d.p.Attempt = nil, d.nextAttempt()
		d.enter(0)
		message := fmt.Sprintf("attempt %d of revision %s was started by %s", d.p.Attempt, d.p.Canary, attribution(a))
		d.transition(v1alpha1.TransitionRetried, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonWaitingForPods, message)
		d.applied(a, message)
	}
}

func (d *decision) promoteOnCommand() {
	if d.o.Spec.Problem != nil || d.p.releasing() && !d.stepKnown() {
		return
	}
	for _, a := range d.pending(v1alpha1.ActionPromote, v1alpha1.ActionPromoteFull) {
		if refused := d.refusal(a); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		if d.p.Step.Name == PromotionStep {
			d.outcome(a, false, v1alpha1.ReasonNothingInProgress, "every step was passed already")
			continue
		}
		d.p.Pause = nil
		from, next := d.p.Step.Name, d.p.Step.Index+1
		if a.Type == v1alpha1.ActionPromoteFull {
			next = len(d.o.Spec.Steps)
		}
		d.enter(next)
		message := fmt.Sprintf("step %s was promoted by %s", from, attribution(a))
		d.transition(v1alpha1.TransitionStepEntered, d.p.Canary, d.p.Step.Name, d.enteredReason(), message)
		d.applied(a, message)
	}
}

func (d *decision) pauseOnCommand() {
	for _, a := range d.pending(v1alpha1.ActionPause) {
		if refused := d.refusal(a); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		message := fmt.Sprintf("paused in step %s by %s", d.p.Step.Name, attribution(a))
		d.pause(v1alpha1.ReasonPaused, message)
		d.applied(a, message)
	}
}

// resumeOnCommand lets the final move go on after a pause: there is no further step
// that a promotion would lead to.
func (d *decision) resumeOnCommand() {
	if d.p.Pause == nil || !d.o.promoting(&d.p) || d.o.Spec.Problem != nil {
		return
	}
	for _, a := range d.pending(v1alpha1.ActionPromote, v1alpha1.ActionPromoteFull) {
		if d.p.Pause == nil || d.refusal(a) != nil {
			continue
		}
		message := fmt.Sprintf("step %s goes on, as %s wants", d.p.Step.Name, attribution(a))
		d.p.Pause = nil
		d.transition(v1alpha1.TransitionStepEntered, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonPromoting, message)
		d.applied(a, message)
	}
}

// refuseRemaining ends actions that the rules said nothing of and never will. The
// others wait for a usable spec until they expire.
func (d *decision) refuseRemaining() {
	for _, a := range d.o.Actions {
		if !d.open(a) {
			continue
		}
		if d.o.Spec.DeletedAt == nil {
			d.wakeAt(a.CreatedAt.Add(a.TimeToLive))
			continue
		}
		d.outcome(a, false, v1alpha1.ReasonNothingInProgress, "the Rollout is being deleted")
	}
}

// attribution names who asked and why, as far as the action says.
func attribution(a Action) string {
	who := "action " + a.Name
	if a.By != "" {
		who = fmt.Sprintf("%s (action %s)", a.By, a.Name)
	}
	if a.Why != "" {
		who += ": " + a.Why
	}
	return who
}

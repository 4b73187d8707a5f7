package rollout

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Teller takes what a written status has to tell, and passes it on to people. It
// returns at once, whatever becomes of that.
type Teller interface {
	// Tell is told what happened, in its order: transitions, and what waits for a
	// person without one, as transitions of type Stalled or Paused.
	Tell(rollout *v1alpha1.Rollout, happened []v1alpha1.Transition)
}

// takesBack reports whether a transition takes all traffic from a revision that was
// not to have it.
func takesBack(t *v1alpha1.Transition) bool {
	return t.Type == v1alpha1.TransitionAborted ||
		t.Type == v1alpha1.TransitionRolledBack && t.Step == v1alpha1.AfterPromotionStep
}

// announceUnsure tells of what a write changed that had no answer, once it is seen that
// it went through.
func (r *Reconciler) announceUnsure(o *observation) {
	before := o.memory.unsure
	if before == nil || before.ResourceVersion == o.rollout.ResourceVersion {
		return
	}
	o.memory.unsure = nil
	r.announce(before, o.rollout)
}

// announce tells of what a written status changed: once per transition, and once
// per new reason to wait for a person.
func (r *Reconciler) announce(before, after *v1alpha1.Rollout) {
	happened := newTransitions(before.Status.History, after.Status.History)
	for i := range happened {
		t := &happened[i]
		kind := corev1.EventTypeNormal
		if takesBack(t) {
			kind = corev1.EventTypeWarning
		}
		r.events.Eventf(after, nil, kind, string(t.Type), "Rollout", "%s", t.Message)
		countOutcome(t)
	}
	if is := newlyStalled(before, after); is != nil && after.Status.Abort == nil {
		r.events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Rollout", "%s", is.Message)
		happened = append(happened, waits(after, v1alpha1.NotificationStalled, is, r.clock.Now()))
	}
	if is := newlyPaused(before, after); is != nil {
		r.events.Eventf(after, nil, corev1.EventTypeNormal, is.Reason, "Rollout", "%s", is.Message)
		happened = append(happened, waits(after, v1alpha1.NotificationPaused, is, pausedSince(after, r.clock.Now())))
	}
	if r.teller != nil && len(happened) > 0 {
		r.teller.Tell(after, happened)
	}
}

// newTransitions returns those that a history has more than before.
func newTransitions(before, after []v1alpha1.Transition) []v1alpha1.Transition {
	if len(before) == 0 {
		return slices.Clone(after)
	}
	last := &before[len(before)-1]
	known := slices.IndexFunc(after, func(t v1alpha1.Transition) bool {
		return t.At.Equal(&last.At) && t.Type == last.Type && t.Revision == last.Revision && t.Step == last.Step
	})
	return slices.Clone(after[known+1:])
}

// newlyStalled returns the condition Stalled if it has a new reason.
func newlyStalled(before, after *v1alpha1.Rollout) *metav1.Condition {
	was, is := conditionOf(before, v1alpha1.ConditionStalled), conditionOf(after, v1alpha1.ConditionStalled)
	if is == nil || was != nil && was.Reason == is.Reason {
		return nil
	}
	return is
}

// newlyPaused returns the condition Reconciling if it says that a step wants approval,
// or is paused by the spec, and did not say so before. What a command or an alert
// paused has a transition.
func newlyPaused(before, after *v1alpha1.Rollout) *metav1.Condition {
	was, is := conditionOf(before, v1alpha1.ConditionReconciling), conditionOf(after, v1alpha1.ConditionReconciling)
	if is == nil || is.Reason != v1alpha1.ReasonPaused || after.Status.Pause != nil {
		return nil
	}
	if was != nil && was.Reason == is.Reason && was.Message == is.Message { // which names the step
		return nil
	}
	return is
}

func conditionOf(rollout *v1alpha1.Rollout, kind string) *metav1.Condition {
	return meta.FindStatusCondition(rollout.Status.Conditions, kind)
}

// pausedSince is when a release came to wait. A step that wants approval does so since
// it is in force: it is not told twice when its routing could not be read in between.
func pausedSince(rollout *v1alpha1.Rollout, now time.Time) time.Time {
	if step := rollout.Status.Step; !rollout.Spec.Paused && step != nil && step.InForceSince != nil {
		return step.InForceSince.Time
	}
	return now
}

// waits makes a transition of a condition that waits for a person.
func waits(rollout *v1alpha1.Rollout, kind v1alpha1.NotificationType, c *metav1.Condition, at time.Time) v1alpha1.Transition {
	t := v1alpha1.Transition{At: metav1.NewMicroTime(at), Type: v1alpha1.TransitionType(kind), Reason: c.Reason, Message: c.Message}
	for _, s := range []*v1alpha1.RevisionStatus{rollout.Status.Stable, rollout.Status.Canary} {
		if s != nil {
			t.Revision = s.Revision
		}
	}
	if rollout.Status.Step != nil {
		t.Step = rollout.Status.Step.Name
	}
	return t
}

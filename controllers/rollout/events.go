package rollout

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

// Teller takes what a written status has to tell, and passes it on to people. It
// returns at once, whatever becomes of that.
type Teller interface {
	// Tell is told of transitions in their order, and of the condition Stalled where it
	// has a new reason and no release was aborted, or nil.
	Tell(rollout *v1alpha1.Rollout, transitions []v1alpha1.Transition, stalled *metav1.Condition)
}

// takesBack reports whether a transition takes all traffic from a revision that was
// not to have it.
func takesBack(t *v1alpha1.Transition) bool {
	return t.Type == v1alpha1.TransitionAborted ||
		t.Type == v1alpha1.TransitionRolledBack && t.Step == v1alpha1.AfterPromotionStep
}

// announce tells of what a written status changed: once per transition, and once
// per new reason to be stalled.
func (r *Reconciler) announce(before, after *v1alpha1.Rollout, p *plan.Plan) {
	for i := range p.Transitions {
		t := &p.Transitions[i]
		kind := corev1.EventTypeNormal
		if takesBack(t) {
			kind = corev1.EventTypeWarning
		}
		r.events.Eventf(after, nil, kind, string(t.Type), "Rollout", "%s", t.Message)
		countOutcome(t)
	}
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionStalled)
	is := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionStalled)
	aborted := p.Position.Abort != nil
	if is == nil || aborted || was != nil && was.Reason == is.Reason {
		is = nil
	} else {
		r.events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Rollout", "%s", is.Message)
	}
	if r.teller != nil && (len(p.Transitions) > 0 || is != nil) {
		r.teller.Tell(after, p.Transitions, is)
	}
}

package rollout

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

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
	if is != nil && !aborted && (was == nil || was.Reason != is.Reason) {
		r.events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Rollout", "%s", is.Message)
	}
}

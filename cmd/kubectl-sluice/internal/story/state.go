package story

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// State is where a Rollout stands, in one word.
type State string

// The states.
const (
	// Healthy: the revision in the spec has all traffic.
	Healthy State = "Healthy"
	// Progressing: it moves by itself.
	Progressing State = "Progressing"
	// Paused: it waits for a person.
	Paused State = "Paused"
	// Degraded: a release was aborted, or only a person can get it further.
	Degraded State = "Degraded"
	// Unobserved: the operator has not looked at the spec yet.
	Unobserved State = "Unobserved"
)

// Standing is the state with the condition behind it.
type Standing struct {
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// StandingOf derives the state from the conditions.
func StandingOf(r *v1alpha1.Rollout) Standing {
	ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || r.Status.ObservedGeneration < r.Generation {
		return Standing{State: Unobserved, Message: unobserved(r, ready)}
	}
	s := Standing{State: Progressing, Reason: ready.Reason, Message: ready.Message}
	switch {
	case ready.Reason == v1alpha1.ReasonPodTemplateUnchecked:
		// It is tried again without anybody's help, and mostly at once.
	case meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionStalled):
		s.State = Degraded
	case ready.Status == metav1.ConditionTrue:
		s.State = Healthy
	case ready.Reason == v1alpha1.ReasonPaused, ready.Reason == v1alpha1.ReasonAlertBreakerOpen:
		s.State = Paused
	case heldByPause(r, ready):
		s.State, s.Message = Paused, "spec.paused holds the weight; "+ready.Message
	}
	return s
}

// heldByPause reports whether nothing but spec.paused keeps the weight from rising: the
// operator says then that it is not in force yet.
func heldByPause(r *v1alpha1.Rollout, ready *metav1.Condition) bool {
	return r.Spec.Paused && Releasing(r) && ready.Reason == v1alpha1.ReasonShifting && r.Status.Canary.Weight < r.Status.Step.Weight
}

func unobserved(r *v1alpha1.Rollout, ready *metav1.Condition) string {
	message := fmt.Sprintf("the operator has not looked at generation %d of the spec yet", r.Generation)
	if ready != nil {
		message += fmt.Sprintf("; of generation %d it said %s: %s", r.Status.ObservedGeneration, ready.Reason, ready.Message)
	}
	return message
}

// Releasing reports whether a canary is on its way.
func Releasing(r *v1alpha1.Rollout) bool {
	return r.Status.Canary != nil && r.Status.Step != nil && r.Status.Abort == nil
}

// Watched reports whether stable replaced another revision that is kept ready to
// return.
func Watched(r *v1alpha1.Rollout) bool {
	return r.Status.AfterPromotion != nil && r.Status.Stable != nil && r.Status.Canary == nil
}

// Aborted reports whether the canary was aborted.
func Aborted(r *v1alpha1.Rollout) bool { return r.Status.Canary != nil && r.Status.Abort != nil }

// Steps lists the release's steps with the names that status and commands use.
func Steps(r *v1alpha1.Rollout) []v1alpha1.Step {
	if r.Spec.Strategy.Canary == nil {
		return nil
	}
	steps := make([]v1alpha1.Step, len(r.Spec.Strategy.Canary.Steps))
	for i, s := range r.Spec.Strategy.Canary.Steps {
		if steps[i] = s; s.Name == "" {
			steps[i].Name = fmt.Sprintf("step-%d", i+1)
		}
	}
	return steps
}

// CurrentStep returns the entry of the spec that the release is in: nil without a
// release, for the final move, and while the spec does not have it any more.
func CurrentStep(r *v1alpha1.Rollout) *v1alpha1.Step {
	at := r.Status.Step
	if at == nil {
		return nil
	}
	for _, s := range Steps(r) {
		if s.Name == at.Name && s.Weight == at.Weight {
			return &s
		}
	}
	return nil
}

// Position says in words where in its steps a release is.
func Position(r *v1alpha1.Rollout) string {
	at := r.Status.Step
	switch {
	case at == nil:
		return "-"
	case at.Name == v1alpha1.PromotionStep:
		return "the final move, after every step"
	}
	return fmt.Sprintf("%s, %d of %d", at.Name, at.Index+1, len(Steps(r)))
}

// Short is the position for a narrow column.
func Short(r *v1alpha1.Rollout) string {
	at := r.Status.Step
	switch {
	case at == nil:
		return "-"
	case at.Name == v1alpha1.PromotionStep:
		return at.Name
	}
	return fmt.Sprintf("%s %d/%d", at.Name, at.Index+1, len(Steps(r)))
}

package analysisrun

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// place is where a run stands. With neither a step nor an end it waits.
type place struct {
	// step whose weight is in force, in which there is something to measure.
	step *v1alpha1.AnalysisStep
	// end tells that what the run judges is gone, and how.
	end *end
}

// end is how a run came to an end that is not its own.
type end struct {
	// promoted tells that the canary became stable.
	promoted bool
	// message says what happened.
	message string
}

// placeOf says where a run stands, by its Rollout; nil is one that does not exist.
func placeOf(run *v1alpha1.AnalysisRun, rollout *v1alpha1.Rollout) place {
	over := func(message string) place { return place{end: &end{message: message}} }
	subject := run.Spec.Subject
	switch {
	case rollout == nil, !rollout.DeletionTimestamp.IsZero(), !owns(rollout, run):
		return over("the Rollout was deleted")
	}
	s := &rollout.Status
	canary := s.Canary != nil && s.Canary.Revision == subject.CanaryRevision
	switch {
	case !canary && s.Stable != nil && s.Stable.Revision == subject.CanaryRevision:
		return placeOfPromoted(run, rollout)
	case !canary:
		return over("another revision replaced the canary")
	case s.Attempt > subject.Attempt:
		return over("another attempt was started")
	case s.Attempt < subject.Attempt:
		return place{}
	case s.Abort != nil:
		return over("the release was aborted")
	}
	return placeInStep(run, s)
}

// placeOfPromoted is where a run stands whose canary became stable: it may still be
// watched.
func placeOfPromoted(run *v1alpha1.AnalysisRun, rollout *v1alpha1.Rollout) place {
	a := rollout.Status.AfterPromotion
	if a == nil || a.BakedAt != nil || rollout.Status.Attempt != run.Spec.Subject.Attempt {
		return place{end: &end{promoted: true, message: "the canary was promoted"}}
	}
	step := analysis.AfterPromotion(rollout, a.PromotedAt)
	return place{step: &step}
}

// placeInStep is where a run stands whose canary is being released.
func placeInStep(run *v1alpha1.AnalysisRun, s *v1alpha1.RolloutStatus) place {
	step := s.Step
	switch {
	case step == nil:
		return place{}
	case step.Name == v1alpha1.PromotionStep || step.InForceSince == nil:
		return place{step: lastStay(run, s)}
	case step.Weight <= 0:
		return place{}
	}
	return place{step: &v1alpha1.AnalysisStep{Index: step.Index, Name: step.Name, Since: *step.InForceSince}}
}

// lastStay is the stay in a step that a run goes on to judge while the next step, or
// the promotion, waits for its pods: the canary has traffic, and is not to have it
// unwatched. Nothing that succeeds in it passes the next step. Without routing, or
// when somebody else moved the split away, nobody knows what would be measured.
func lastStay(run *v1alpha1.AnalysisRun, s *v1alpha1.RolloutStatus) *v1alpha1.AnalysisStep {
	stay := run.Status.Step
	if stay == nil || stay.Index >= s.Step.Index || s.Canary.Weight <= 0 ||
		meta.IsStatusConditionFalse(s.Conditions, v1alpha1.ConditionRouting) {
		return nil
	}
	return stay.DeepCopy()
}

// owns tells whether a run is a Rollout's, and not that of an earlier Rollout with
// the same name.
func owns(rollout *v1alpha1.Rollout, run *v1alpha1.AnalysisRun) bool {
	owner := metav1.GetControllerOf(run)
	return owner == nil || owner.UID == rollout.UID
}

// completed tells whether a run measures no more.
func completed(run *v1alpha1.AnalysisRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionCompleted)
}

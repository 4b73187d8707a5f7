package analysis

import "github.com/sluice-dev/sluice/api/v1alpha1"

// SpecOf says what is to be judged in an attempt to release a revision of a Rollout,
// which must have spec.analysis.
func SpecOf(rollout *v1alpha1.Rollout, subject v1alpha1.AnalysisSubject) v1alpha1.AnalysisRunSpec {
	asked := rollout.Spec.Analysis.DeepCopy()
	return v1alpha1.AnalysisRunSpec{
		Subject:          subject,
		Metrics:          asked.Metrics,
		ComparisonPolicy: asked.ComparisonPolicy,
		Steps:            weightedSteps(rollout),
	}
}

// weightedSteps counts the steps in which the canary has traffic; at least one.
func weightedSteps(rollout *v1alpha1.Rollout) int32 {
	n := int32(0)
	if canary := rollout.Spec.Strategy.Canary; canary != nil {
		for i := range canary.Steps {
			if canary.Steps[i].Weight > 0 {
				n++
			}
		}
	}
	return max(n, 1)
}

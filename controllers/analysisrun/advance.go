package analysisrun

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// advance returns the status of a run after the answers, at a place.
func advance(run *v1alpha1.AnalysisRun, p place, answers []analysis.Answer, now time.Time) *v1alpha1.AnalysisRunStatus {
	status := analysis.Advance(run, p.step, answers, now)
	conclude(run, status, p, now)
	return status
}

// conclude sets the condition Completed. A run is successful only when the canary
// was promoted on a verdict of success.
func conclude(run *v1alpha1.AnalysisRun, status *v1alpha1.AnalysisRunStatus, p place, now time.Time) {
	c := metav1.Condition{
		Type:               v1alpha1.ConditionCompleted,
		Status:             metav1.ConditionTrue,
		Reason:             v1alpha1.ReasonTerminated,
		ObservedGeneration: run.Generation,
		LastTransitionTime: metav1.NewTime(now),
	}
	judged := run.DeepCopy()
	judged.Status = *status
	verdict, isFinal := analysis.Final(judged)
	switch {
	case isFinal:
		c.Reason, c.Message = string(verdict), status.Message
	case p.end == nil && status.Step == nil:
		return
	case p.end == nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonMeasuring, "measuring while the release is in progress"
	case p.end.promoted && status.Verdict == v1alpha1.VerdictSuccess:
		c.Reason, c.Message = string(v1alpha1.VerdictSuccess), p.end.message
	case p.end.promoted:
		c.Message = p.end.message + " before its metrics passed"
	default:
		c.Message = p.end.message
	}
	if status.Verdict == "" {
		status.Verdict = v1alpha1.VerdictPending
	}
	status.ObservedGeneration = run.Generation
	meta.SetStatusCondition(&status.Conditions, c)
}

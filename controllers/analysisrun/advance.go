package analysisrun

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// announceAfter is how far away a step's first measurement must be for the step to
// be written to the status ahead of it.
const announceAfter = 2 * time.Second

// answer is the result of measuring one metric in one stay in a step.
type answer struct {
	metric string
	since  time.Time
	result analysis.Result
}

// advance returns the status of a run after the answers, at a place. A step is
// entered in the status with its first answer, so that both take one write; sooner
// only where the first answer is far away.
func advance(run *v1alpha1.AnalysisRun, p place, answers []answer, now time.Time) *v1alpha1.AnalysisRunStatus {
	status := run.Status.DeepCopy()
	metrics := run.Spec.Metrics
	fold(status, &run.Spec, answers)
	if p.step != nil && !analysis.SameStep(status.Step, p.step) {
		next := status.DeepCopy()
		analysis.Enter(next, metrics, *p.step)
		if fold(next, &run.Spec, answers) || farAway(next, &run.Spec, now) {
			status = next
		}
	}
	if status.Step != nil {
		analysis.Summarize(status, metrics)
	}
	conclude(run, status, p, now)
	return status
}

// fold folds the answers that belong to the status' step, and tells whether any
// did.
func fold(status *v1alpha1.AnalysisRunStatus, spec *v1alpha1.AnalysisRunSpec, answers []answer) bool {
	metrics := spec.Metrics
	folded, compared := false, false
	for _, a := range answers {
		if status.Step == nil || !status.Step.Since.Time.Equal(a.since) {
			continue
		}
		for i := range metrics {
			s := analysis.Evidence(status, a.metric)
			switch {
			case metrics[i].Name != a.metric || s == nil:
				continue
			case analysis.IsComparison(&metrics[i]):
				*s = analysis.FoldComparison(spec, &metrics[i], *s, a.since, a.result)
				compared = true
			default:
				*s = analysis.Fold(&metrics[i], *s, a.since, a.result)
			}
			folded = true
		}
	}
	if compared {
		analysis.Weigh(spec, status)
	}
	return folded
}

// farAway tells whether it takes long until a metric is measured in a step that
// was just entered.
func farAway(status *v1alpha1.AnalysisRunStatus, spec *v1alpha1.AnalysisRunSpec, now time.Time) bool {
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		s := analysis.Evidence(status, m.Name)
		if s == nil {
			continue
		}
		if _, due := nextOf(spec, m, s, status.Step.Since.Time, now); due.Sub(now) <= announceAfter {
			return false
		}
	}
	return true
}

// nextOf returns when a metric is to be measured next, and from when a comparison
// counts then.
func nextOf(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, s *v1alpha1.MetricStatus, since, now time.Time) (from, due time.Time) {
	if analysis.IsComparison(m) {
		return analysis.NextComparison(m, &spec.ComparisonPolicy, s, since)
	}
	return time.Time{}, analysis.NextDue(m, s, since, now)
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

package analysis

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// announceAfter is how far away a step's first measurement must be for the step to
// be written to the status ahead of it.
const announceAfter = 2 * time.Second

// Answer is the result of measuring one metric in one stay in a step.
type Answer struct {
	// Metric is its name.
	Metric string
	// Since when the step's weight was in force in the stay that was measured.
	Since time.Time
	// Result that came.
	Result Result
}

// Advance returns the status of a run after answers, in a step, or in none. A step is
// entered in the status with its first answer, so that both take one write; sooner
// only where the first answer is far away.
func Advance(run *v1alpha1.AnalysisRun, step *v1alpha1.AnalysisStep, answers []Answer, now time.Time) *v1alpha1.AnalysisRunStatus {
	spec, status := &run.Spec, run.Status.DeepCopy()
	foldAll(status, spec, answers)
	if step != nil && !SameStep(status.Step, step) {
		next := status.DeepCopy()
		Enter(next, spec.Metrics, *step)
		if foldAll(next, spec, answers) || farAway(next, spec, now) {
			status = next
		}
	}
	if status.Step != nil {
		Summarize(status, spec.Metrics)
	}
	return status
}

// foldAll folds the answers that belong to the status' step, and tells whether any
// did.
func foldAll(status *v1alpha1.AnalysisRunStatus, spec *v1alpha1.AnalysisRunSpec, answers []Answer) bool {
	metrics := spec.Metrics
	folded, compared := false, false
	for _, a := range answers {
		if status.Step == nil || !status.Step.Since.Time.Equal(a.Since) {
			continue
		}
		for i := range metrics {
			s := Evidence(status, a.Metric)
			switch {
			case metrics[i].Name != a.Metric || s == nil:
				continue
			case IsComparison(&metrics[i]):
				*s = FoldComparison(spec, &metrics[i], *s, a.Since, a.Result)
				compared = true
			default:
				*s = Fold(&metrics[i], *s, a.Since, a.Result)
			}
			folded = true
		}
	}
	if compared {
		Weigh(spec, status)
	}
	return folded
}

// farAway tells whether it takes long until a metric is measured in a step that
// was just entered.
func farAway(status *v1alpha1.AnalysisRunStatus, spec *v1alpha1.AnalysisRunSpec, now time.Time) bool {
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		s := Evidence(status, m.Name)
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
	if IsComparison(m) {
		return NextComparison(m, &spec.ComparisonPolicy, s, since)
	}
	return time.Time{}, NextDue(m, s, since, now)
}

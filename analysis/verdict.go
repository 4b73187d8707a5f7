package analysis

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// precedence of verdicts, the one that wins first.
var precedence = []v1alpha1.Verdict{
	v1alpha1.VerdictFailure,
	v1alpha1.VerdictError,
	v1alpha1.VerdictInconclusive,
	v1alpha1.VerdictPending,
	v1alpha1.VerdictSuccess,
}

// Worst returns the verdict that wins: Failure, then Error, Inconclusive, Pending,
// Success. Of none, and for an unknown word, it is Pending.
func Worst(verdicts ...v1alpha1.Verdict) v1alpha1.Verdict {
	best := len(precedence)
	for _, v := range verdicts {
		rank := slices.Index(precedence, v)
		if rank < 0 {
			rank = slices.Index(precedence, v1alpha1.VerdictPending)
		}
		best = min(best, rank)
	}
	if best == len(precedence) {
		return v1alpha1.VerdictPending
	}
	return precedence[best]
}

// Summarize sets the verdict and the message of a run from the evidence of its
// metrics. A verdict that is final wins over one that is not; a metric without
// evidence is pending.
func Summarize(status *v1alpha1.AnalysisRunStatus, metrics []v1alpha1.Metric) {
	rank := func(m *v1alpha1.Metric, s *v1alpha1.MetricStatus) int {
		r := 2 * slices.Index(precedence, Worst(s.Verdict))
		if !final(m, s) {
			r++
		}
		return r
	}
	best, message := 2*len(precedence), messageNoMetricsYet
	for i := range metrics {
		m := &metrics[i]
		s := Evidence(status, m.Name)
		if s == nil {
			s = &v1alpha1.MetricStatus{Name: m.Name, Verdict: v1alpha1.VerdictPending, Message: messageNotMeasured}
		}
		if r := rank(m, s); r < best {
			best, message = r, m.Name+": "+s.Message
		}
	}
	status.Verdict = v1alpha1.VerdictPending
	if best/2 < len(precedence) {
		status.Verdict = precedence[best/2]
	}
	if status.Verdict == v1alpha1.VerdictSuccess && len(metrics) > 1 {
		message = fmt.Sprintf("all %d metrics passed; %s", len(metrics), message)
	}
	status.Message = shorten(message, maxRunMessage)
}

// Final tells whether a run has come to an end of its own: a metric failed, or
// could not be measured and its policy is to abort. It returns the verdict, and
// whether there is one.
func Final(run *v1alpha1.AnalysisRun) (v1alpha1.Verdict, bool) {
	verdict, found := v1alpha1.VerdictPending, false
	if run.Status.Verdict == v1alpha1.VerdictFailure {
		verdict, found = v1alpha1.VerdictFailure, true
	}
	for i := range run.Spec.Metrics {
		m := &run.Spec.Metrics[i]
		s := Evidence(&run.Status, m.Name)
		if s == nil || !final(m, s) {
			continue
		}
		if !found {
			verdict, found = s.Verdict, true
		}
		verdict = Worst(verdict, s.Verdict)
	}
	return verdict, found
}

// Decision says what a release that stands in a step makes of its run, which may be
// nil: the verdict, whether to abort, a reason for conditions, and a sentence.
//
// A verdict that aborts counts whatever the step. Any other counts only for the
// stay in the step that the run speaks of; until it does, the verdict is Pending.
// Only VerdictSuccess lets a release advance.
func Decision(run *v1alpha1.AnalysisRun, step v1alpha1.AnalysisStep) (verdict v1alpha1.Verdict, abort bool, reason, message string) {
	if run == nil {
		return v1alpha1.VerdictPending, false, v1alpha1.ReasonAnalysing, messageNoMetricsYet
	}
	if v, ok := Final(run); ok {
		return v, true, reasonFor(v), run.Status.Message
	}
	if !SameStep(run.Status.Step, &step) {
		return v1alpha1.VerdictPending, false, v1alpha1.ReasonAnalysing, messageNotMeasured
	}
	v := Worst(run.Status.Verdict)
	return v, false, reasonFor(v), run.Status.Message
}

// AfterPromotion is the step that stands for the time after a promotion.
func AfterPromotion(rollout *v1alpha1.Rollout, promotedAt metav1.MicroTime) v1alpha1.AnalysisStep {
	step := v1alpha1.AnalysisStep{Name: v1alpha1.AfterPromotionStep, Since: promotedAt}
	if canary := rollout.Spec.Strategy.Canary; canary != nil {
		step.Index = int32(len(canary.Steps))
	}
	return step
}

func reasonFor(v v1alpha1.Verdict) string {
	switch v {
	case v1alpha1.VerdictFailure:
		return v1alpha1.ReasonAnalysisFailed
	case v1alpha1.VerdictError:
		return v1alpha1.ReasonAnalysisError
	case v1alpha1.VerdictSuccess:
		return v1alpha1.ReasonPassing
	case v1alpha1.VerdictInconclusive, v1alpha1.VerdictPending:
	}
	return v1alpha1.ReasonAnalysing
}

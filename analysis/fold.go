package analysis

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	maxMeasurements     = 10
	maxMetricMessage    = 512
	maxRunMessage       = 1024
	maxQueryInStatus    = 16384
	messageNotMeasured  = "not measured in this step yet"
	messageNoMetricsYet = "no metric was measured yet"
)

// Result is one answer, or the lack of one, that is to be judged.
type Result struct {
	// Due is when the measurement was due; it tells measurements apart.
	Due time.Time
	// At is the time for which the query was evaluated.
	At time.Time
	// Query with placeholders filled in.
	Query string
	// Sample that was read, when Err is nil.
	Sample Sample
	// Reading is what was counted, of a comparison.
	Reading *Reading
	// Err tells why there is neither.
	Err error
}

// SameStep tells whether two steps are the same stay in the same step. Times are
// compared as precisely as the API keeps them.
func SameStep(a, b *v1alpha1.AnalysisStep) bool {
	return a != nil && b != nil && a.Index == b.Index &&
		a.Since.Truncate(time.Microsecond).Equal(b.Since.Truncate(time.Microsecond))
}

// Enter makes a status speak of a step. When that is another stay in a step than
// the one it speaks of, counters of the step start anew, and those of the attempt
// stay. Evidence of metrics that the run lacks is dropped. It reports whether the
// step changed.
func Enter(status *v1alpha1.AnalysisRunStatus, metrics []v1alpha1.Metric, step v1alpha1.AnalysisStep) bool {
	if SameStep(status.Step, &step) {
		return false
	}
	evidence := make([]v1alpha1.MetricStatus, 0, len(metrics))
	for i := range metrics {
		s := v1alpha1.MetricStatus{Name: metrics[i].Name}
		if old := Evidence(status, metrics[i].Name); old != nil {
			s = *old
		}
		evidence = append(evidence, enterMetric(&metrics[i], s, step.Name))
	}
	status.Step = &step
	status.Metrics = evidence
	return true
}

// enterMetric also leaves alone a comparison whose canary was promoted: there is no
// revision beside it any more.
func enterMetric(m *v1alpha1.Metric, s v1alpha1.MetricStatus, step string) v1alpha1.MetricStatus {
	if final(m, &s) || IsComparison(m) && step == v1alpha1.AfterPromotionStep && s.Verdict != "" {
		return s
	}
	s.Successful, s.Inconclusive, s.WithoutData = 0, 0, 0
	s.LastMeasuredAt = nil
	s.Verdict = verdictOf(m, &s, outcomeNoData)
	s.Message = shorten(sentence(m, &s, messageNotMeasured), maxMetricMessage)
	if IsComparison(m) {
		s = enterComparison(s)
	}
	return s
}

// Evidence returns the evidence of a metric, or nil.
func Evidence(status *v1alpha1.AnalysisRunStatus, metric string) *v1alpha1.MetricStatus {
	i := slices.IndexFunc(status.Metrics, func(s v1alpha1.MetricStatus) bool { return s.Name == metric })
	if i < 0 {
		return nil
	}
	return &status.Metrics[i]
}

// Fold adds a result to the evidence of its metric, in a step whose weight is in
// force since a time. A result that is not due after the latest one that was
// folded changes nothing, nor does any once the verdict is final: a result counts
// once, however often it is folded.
func Fold(m *v1alpha1.Metric, s v1alpha1.MetricStatus, since time.Time, r Result) v1alpha1.MetricStatus {
	due := r.Due.Truncate(time.Microsecond)
	if final(m, &s) || due.Before(since) || s.LastMeasuredAt != nil && !due.After(s.LastMeasuredAt.Time) {
		return s
	}
	j := judge(m, r.Sample, r.Err)
	verdict := count(m, &s, &j, r.At.Sub(since))
	record(&s, r, &j, verdict)
	s.Verdict = verdictOf(m, &s, j.outcome)
	s.Message = shorten(sentence(m, &s, j.message), maxMetricMessage)
	return s
}

// record adds a measurement to the latest ones.
func record(s *v1alpha1.MetricStatus, r Result, j *judgement, verdict v1alpha1.Verdict) {
	s.LastMeasuredAt = &metav1.MicroTime{Time: r.Due.Truncate(time.Microsecond)}
	s.Query = shorten(r.Query, maxQueryInStatus)
	s.Measurements = append(slices.Clone(s.Measurements), v1alpha1.Measurement{
		At:      metav1.MicroTime{Time: r.At.Truncate(time.Microsecond)},
		Verdict: verdict,
		Value:   j.value,
		Reason:  string(j.reason),
	})
	if n := len(s.Measurements) - maxMeasurements; n > 0 {
		s.Measurements = slices.Clone(s.Measurements[n:])
	}
}

// count counts a judgement, settles what no data counts as, and returns the
// measurement's own verdict.
func count(m *v1alpha1.Metric, s *v1alpha1.MetricStatus, j *judgement, age time.Duration) v1alpha1.Verdict {
	if j.outcome == outcomeNoData {
		s.WithoutData++
		switch noDataPolicyOf(m, age) {
		case v1alpha1.NoDataSuccess:
			j.outcome, j.message = outcomeSuccess, j.message+", which counts as a success"
		case v1alpha1.NoDataFailure:
			j.outcome, j.message = outcomeFailure, j.message+", which counts as a failure"
		case v1alpha1.NoDataHold:
		}
	}
	if j.outcome == outcomeError {
		s.Errors++
		s.ConsecutiveErrors++
		return v1alpha1.VerdictError
	}
	s.ConsecutiveErrors = 0
	switch j.outcome {
	case outcomeSuccess:
		s.Successful++
		return v1alpha1.VerdictSuccess
	case outcomeFailure:
		s.Failed++
		return v1alpha1.VerdictFailure
	case outcomeInconclusive:
		s.Inconclusive++
		return v1alpha1.VerdictInconclusive
	case outcomeNoData, outcomeError, outcomeNothing:
	}
	return v1alpha1.VerdictPending
}

// verdictOf reads the verdict off the counters. The outcome of the latest
// measurement settles what no counter tells: an inconclusive one holds the step
// until a later one succeeds or fails, however many succeeded before.
func verdictOf(m *v1alpha1.Metric, s *v1alpha1.MetricStatus, latest outcome) v1alpha1.Verdict {
	undecided := latest == outcomeInconclusive ||
		(latest == outcomeNoData || latest == outcomeError) && s.Inconclusive > 0 && s.Verdict == v1alpha1.VerdictInconclusive
	switch {
	case s.Failed > m.FailureLimit:
		return v1alpha1.VerdictFailure
	case s.ConsecutiveErrors > errorLimitOf(m):
		return v1alpha1.VerdictError
	case undecided:
		return v1alpha1.VerdictInconclusive
	case s.Successful >= countOf(m):
		return v1alpha1.VerdictSuccess
	default:
		return v1alpha1.VerdictPending
	}
}

// final tells whether a metric's verdict stands whatever is measured: a failure,
// or an error that aborts.
func final(m *v1alpha1.Metric, s *v1alpha1.MetricStatus) bool {
	return s.Verdict == v1alpha1.VerdictFailure ||
		s.Verdict == v1alpha1.VerdictError && m.OnError == v1alpha1.ErrorAbort
}

// sentence says what was seen last and how the counters stand against the limits.
func sentence(m *v1alpha1.Metric, s *v1alpha1.MetricStatus, seen string) string {
	text := seen
	switch s.Verdict {
	case v1alpha1.VerdictFailure:
		return fmt.Sprintf("%s; %d failed, limit %d", text, s.Failed, m.FailureLimit)
	case v1alpha1.VerdictError:
		then := "the step is held"
		if m.OnError == v1alpha1.ErrorAbort {
			then = "the release is aborted"
		}
		return fmt.Sprintf("%s; %d errors in a row, limit %d: %s", text, s.ConsecutiveErrors, errorLimitOf(m), then)
	case v1alpha1.VerdictSuccess, v1alpha1.VerdictInconclusive, v1alpha1.VerdictPending:
	}
	text += fmt.Sprintf("; %d of %d successful", s.Successful, countOf(m))
	if s.Failed > 0 {
		text += fmt.Sprintf(", %d failed of %d allowed", s.Failed, m.FailureLimit)
	}
	if s.Inconclusive > 0 {
		text += fmt.Sprintf(", %d inconclusive", s.Inconclusive)
	}
	if s.WithoutData > 0 {
		text += fmt.Sprintf(", %d without data", s.WithoutData)
	}
	if s.ConsecutiveErrors > 0 {
		text += fmt.Sprintf(", %d errors in a row of %d allowed", s.ConsecutiveErrors, errorLimitOf(m))
	}
	return text
}

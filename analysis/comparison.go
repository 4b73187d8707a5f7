package analysis

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// seedOf makes random halves a function of what is compared.
func seedOf(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%s/%d/%s", spec.Subject.Rollout, spec.Subject.CanaryRevision, spec.Subject.Attempt, m.Name)
	return h.Sum64()
}

// enterComparison makes the evidence speak of a step in which nothing was counted.
func enterComparison(s v1alpha1.MetricStatus) v1alpha1.MetricStatus {
	if s.Verdict == v1alpha1.VerdictPending {
		s.Message = messageNotMeasured
	}
	if s.Comparison != nil {
		c := *s.Comparison
		c.InStep, c.CanaryShare = 0, ""
		s.Comparison = &c
	}
	return s
}

// countFrom is from when a comparison counts next, in a step whose weight is in force
// since a time.
func countFrom(m *v1alpha1.Metric, p *v1alpha1.ComparisonPolicy, s *v1alpha1.MetricStatus, since time.Time) time.Time {
	from := ceilMilli(since.Add(max(settleOf(p), initialDelayOf(m))))
	if s != nil && s.Comparison != nil && s.Comparison.Through != nil && s.Comparison.Through.After(from) {
		return s.Comparison.Through.Time
	}
	return from
}

// NextComparison returns from when a comparison counts next, and when that can be
// measured: as soon as a window is complete, and an interval after the latest attempt.
func NextComparison(m *v1alpha1.Metric, p *v1alpha1.ComparisonPolicy, s *v1alpha1.MetricStatus, since time.Time) (from, due time.Time) {
	from = countFrom(m, p, s, since)
	due = nextTick(from, gridOf(m)).Add(lagOf(p))
	if choosesBounds(m) && !boundsChosen(s) {
		due = ceilMilli(since) // They are of the time before.
		if from.After(countFrom(m, p, nil, since)) {
			due = from.Add(lagOf(p)) // Until here there was nothing to choose from.
		}
	}
	if last := s.LastMeasuredAt; last != nil {
		if again := last.Add(gridOf(m)); again.After(due) {
			due = again
		}
	}
	return from, due
}

// FoldComparison adds a result to the evidence of a comparison, as Fold does for
// other metrics. What could not be counted is counted with the next result: the
// evidence goes on only with whole windows.
func FoldComparison(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, s v1alpha1.MetricStatus, since time.Time, r Result) v1alpha1.MetricStatus {
	due := r.Due.Truncate(time.Microsecond)
	if final(m, &s) || due.Before(since) || s.LastMeasuredAt != nil && !due.After(s.LastMeasuredAt.Time) {
		return s
	}
	p := &spec.ComparisonPolicy
	from := countFrom(m, p, &s, since)
	if r.Err == nil && (r.Reading == nil || !r.Reading.From.Equal(from)) {
		return s // It was counted from elsewhere.
	}
	state, j := observeResult(spec, m, &s, since, r)
	if state != nil {
		s.Comparison = evidenceOf(spec, m, state)
		if through := skipped(m, r, from); state.Through == 0 || through.After(time.UnixMilli(state.Through)) {
			s.Comparison.Through = microTime(through)
		}
	}
	count(m, &s, &j, due.Sub(since))
	s.Verdict, s.Message = comparisonVerdict(p, m, &s, state, &j, due.Sub(since))
	verdict := s.Verdict
	if j.outcome == outcomeError {
		verdict = v1alpha1.VerdictError
	}
	record(&s, r, &j, verdict)
	return s
}

// skipped is from when to count after a result that counted nothing: from where it
// should have, or, when that was more than can be read, the last window alone. What
// bounds were chosen from is not judged by them.
func skipped(m *v1alpha1.Metric, r Result, from time.Time) time.Time {
	switch last := r.At.Add(-gridOf(m)); {
	case IsTooLarge(r.Err) && last.After(from):
		return last.Truncate(time.Millisecond)
	case r.Err == nil && r.Reading.Before != nil && r.At.After(from):
		return r.At
	}
	return from
}

// observeResult takes a result into the state, and says what the measurement is. The
// state is nil when there is none that can be gone on with.
func observeResult(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, s *v1alpha1.MetricStatus, since time.Time, r Result) (*comparisonState, judgement) {
	state, err := stateOf(spec, m, s)
	if err != nil {
		return nil, failedToMeasure(ReasonState, "", ReasonState.Sentence())
	}
	state.enter(since)
	switch {
	case r.Err != nil:
		return state, failedToMeasure(ReasonOf(r.Err), "", errorText(r.Err))
	case r.Reading.Before != nil:
		p, ok := state.proof.(*latencyProof)
		if !ok {
			return state, failedToMeasure(ReasonMalformed, "", ReasonMalformed.Sentence())
		}
		return state, p.choose(spec, m, *r.Reading.Before)
	case len(r.Reading.Tallies) == 0:
		return state, judgement{outcome: outcomeNoData, reason: ReasonNoData, message: "no data: there is no series of either revision"}
	}
	if err := state.count(r.Reading, seedOf(spec, m)); err != nil {
		// Half of it may have been taken.
		if state, err = stateOf(spec, m, s); err != nil {
			return nil, failedToMeasure(ReasonState, "", ReasonState.Sentence())
		}
		state.enter(since)
		return state, failedToMeasure(ReasonImpossibleCounts, "", ReasonImpossibleCounts.Sentence())
	}
	value := state.value(r.Reading.Tallies)
	if requestsIn(r.Reading.Tallies) == 0 {
		return state, judgement{outcome: outcomeNoData, reason: ReasonNoData, value: value, message: "no data: the canary had no requests"}
	}
	return state, judgement{outcome: outcomeSuccess, value: value}
}

// requestsIn counts the canary's requests.
func requestsIn(tallies []Tally) int64 {
	sum := int64(0)
	for i := range tallies {
		sum += tallies[i].Canary.Total
	}
	return sum
}

// comparisonVerdict says what the evidence of a comparison comes to by itself, and
// why. Whether the canary is condemned all comparisons say together: see Weigh.
func comparisonVerdict(p *v1alpha1.ComparisonPolicy, m *v1alpha1.Metric, s *v1alpha1.MetricStatus, state *comparisonState, j *judgement, age time.Duration) (verdict v1alpha1.Verdict, message string) {
	say := func(verdict v1alpha1.Verdict, format string, args ...any) (v1alpha1.Verdict, string) {
		return verdict, shorten(fmt.Sprintf(format, args...), maxMetricMessage)
	}
	switch {
	case s.Failed > m.FailureLimit:
		return say(v1alpha1.VerdictFailure, "%s", j.message)
	case s.ConsecutiveErrors > errorLimitOf(m):
		s.Verdict = v1alpha1.VerdictError
		return say(v1alpha1.VerdictError, "%s", sentence(m, s, j.message))
	case state == nil:
		return say(v1alpha1.VerdictPending, "%s", j.message)
	}
	seen := state.seen(m, alphaOf(p))
	if j.message != "" {
		seen = j.message + "; " + seen
	}
	switch {
	case enoughRequests(m, state) && state.passes(betaOf(p)):
		return say(v1alpha1.VerdictSuccess, "%s; passes: better than unacceptable, which is wrong with a probability of at most %s", seen, decimal(betaOf(p)))
	case j.outcome == outcomeSuccess && j.reason == ReasonNoData && state.InStep == 0:
		return say(v1alpha1.VerdictSuccess, "%s", seen)
	case j.outcome != outcomeError && age >= maxDurationOf(p):
		verdict, why := timeoutVerdict(p, enoughRequests(m, state) && j.reason != ReasonNoData)
		if verdict != v1alpha1.VerdictPending {
			return say(verdict, "no verdict within %s%s; %s", maxDurationOf(p), why, seen)
		}
	}
	return say(v1alpha1.VerdictPending, "%s; %s", seen, s.Comparison.Missing)
}

func enoughRequests(m *v1alpha1.Metric, state *comparisonState) bool {
	return state.InStep >= minRequestsOf(m)
}

// timeoutVerdict is what becomes of a comparison that came to no verdict in its time:
// Pending when it goes on.
func timeoutVerdict(p *v1alpha1.ComparisonPolicy, measured bool) (verdict v1alpha1.Verdict, why string) {
	switch p.OnTimeout {
	case v1alpha1.TimeoutAbort:
		return v1alpha1.VerdictFailure, ""
	case v1alpha1.TimeoutPause:
		return v1alpha1.VerdictInconclusive, ": waiting for one, or for somebody to promote the step"
	case v1alpha1.TimeoutPromote:
	}
	if !measured {
		return v1alpha1.VerdictPending, ""
	}
	return v1alpha1.VerdictSuccess, ", and nothing that says that the canary is worse"
}

package analysis

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// stateVersion is the layout of comparisonState.
const stateVersion = 1

// comparisonState is what a comparison goes on with after a restart. Numbers survive
// being written as JSON to the last bit.
type comparisonState struct {
	Version    int                     `json:"v"`
	Comparison sequential.Comparison   `json:"c"`
	Interval   sequential.OddsInterval `json:"i"`
	// Dispersion is nil until stable's pods were told apart.
	Dispersion *sequential.Dispersion `json:"d,omitempty"`
	// Step is since when the weight of the step was in force to which InStep belongs,
	// in microseconds.
	Step   int64 `json:"s"`
	InStep int64 `json:"n"`
	// Through is up to when requests were counted, in milliseconds.
	Through int64 `json:"t"`
	// Canary and Stable are requests a second in the latest windows.
	Canary float64 `json:"rc"`
	Stable float64 `json:"rs"`
}

// stateOf reads the state of a comparison, or begins one.
func stateOf(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, s *v1alpha1.MetricStatus) (*comparisonState, error) {
	if s.Comparison == nil || s.Comparison.State == "" {
		t, err := tolerancesOf(m)
		if err != nil {
			return nil, err
		}
		c, err := sequential.NewComparison(t, int(spec.Steps))
		return &comparisonState{Version: stateVersion, Comparison: c, Interval: sequential.NewOddsInterval()}, err
	}
	state := &comparisonState{}
	if err := json.Unmarshal([]byte(s.Comparison.State), state); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if state.Version != stateVersion {
		return nil, fmt.Errorf("state of version %d, want %d", state.Version, stateVersion)
	}
	if err := state.Comparison.Check(); err != nil {
		return nil, err
	}
	if err := state.Interval.Check(); err != nil {
		return nil, err
	}
	if state.Dispersion != nil {
		if err := state.Dispersion.Check(); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// enter begins to count for a step. Evidence against the canary is collected anew
// beside what there is.
func (c *comparisonState) enter(since time.Time) {
	if step := since.UnixMicro(); c.Step != step {
		c.Comparison.Restart()
		c.Step, c.InStep = step, 0
	}
}

// observe takes the windows of a reading. With an error, the state is not to be used
// any more.
func (c *comparisonState) observe(r *Reading, seed uint64) error {
	var sum sequential.Window
	for _, t := range r.Tallies {
		// The dispersion must not know the window that it judges.
		dispersion := c.dispersion(t.Pods != nil)
		if err := c.Comparison.Observe(t.Window, dispersion); err != nil {
			return err
		}
		if err := c.Interval.Observe(t.Window, dispersion); err != nil {
			return err
		}
		if err := c.learn(t.Pods, seed); err != nil {
			return err
		}
		sum.Canary, sum.Stable = sum.Canary.Plus(t.Canary), sum.Stable.Plus(t.Stable)
	}
	c.InStep += sum.Canary.Total
	c.Through = r.To.UnixMilli()
	if seconds := r.To.Sub(r.From).Seconds(); seconds > 0 {
		c.Canary, c.Stable = float64(sum.Canary.Total)/seconds, float64(sum.Stable.Total)/seconds
	}
	return nil
}

// dispersion is what is known of bursts before a window. Where pods cannot be told
// apart nothing can be learned of them.
func (c *comparisonState) dispersion(pods bool) float64 {
	if !pods {
		return 1
	}
	if c.Dispersion == nil {
		d := sequential.NewDispersion()
		c.Dispersion = &d
	}
	return c.Dispersion.Bound()
}

// learn compares two random halves of stable's pods.
func (c *comparisonState) learn(pods map[string]sequential.Counts, seed uint64) error {
	if len(pods) < 2 {
		return nil
	}
	names := slices.Sorted(maps.Keys(pods))
	var halves [2]sequential.Counts
	for i, first := range sequential.Halves(names, seed, uint64(c.Comparison.Windows)) {
		half := 0
		if first {
			half = 1
		}
		halves[half] = halves[half].Plus(pods[names[i]])
	}
	return c.Dispersion.Observe(halves[0], halves[1])
}

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
		c.InStep = 0
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
// should have, or, when that was more than can be read, the last window alone.
func skipped(m *v1alpha1.Metric, r Result, from time.Time) time.Time {
	if last := r.At.Add(-gridOf(m)); IsTooLarge(r.Err) && last.After(from) {
		return last.Truncate(time.Millisecond)
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
	case len(r.Reading.Tallies) == 0:
		return state, judgement{outcome: outcomeNoData, reason: ReasonNoData, message: "no data: there is no series of either revision"}
	}
	before := state.Comparison
	if err := state.observe(r.Reading, seedOf(spec, m)); err != nil {
		// Half of it may have been taken.
		if state, err = stateOf(spec, m, s); err != nil {
			return nil, failedToMeasure(ReasonState, "", ReasonState.Sentence())
		}
		state.enter(since)
		return state, failedToMeasure(ReasonImpossibleCounts, "", ReasonImpossibleCounts.Sentence())
	}
	canary, stable := minus(state.Comparison.Canary, before.Canary), minus(state.Comparison.Stable, before.Stable)
	value := fmt.Sprintf("canary %d/%d, stable %d/%d", canary.Bad, canary.Total, stable.Bad, stable.Total)
	if canary.Total == 0 {
		return state, judgement{outcome: outcomeNoData, reason: ReasonNoData, value: value, message: "no data: the canary had no requests"}
	}
	return state, judgement{outcome: outcomeSuccess, value: value}
}

func minus(a, b sequential.Counts) sequential.Counts {
	return sequential.Counts{Total: a.Total - b.Total, Bad: a.Bad - b.Bad}
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
	seen := seenBy(m, p, state)
	if j.message != "" {
		seen = j.message + "; " + seen
	}
	switch {
	case enoughRequests(m, state) && state.Comparison.Passes(betaOf(p)):
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

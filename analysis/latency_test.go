package analysis

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func latencySpec(metrics ...*v1alpha1.Metric) *v1alpha1.AnalysisRunSpec {
	spec := &v1alpha1.AnalysisRunSpec{Steps: 2}
	for _, m := range metrics {
		spec.Metrics = append(spec.Metrics, *m)
	}
	return spec
}

// slowed is a histogram with the bounds 100 and 250 of requests that are slower by a
// factor than log-normal ones around 60 ms.
func slowed(r *rand.Rand, requests int, factor float64) sequential.Histogram {
	h := sequential.Histogram{Bounds: []float64{100, 250}, Below: make([]int64, 2), Total: int64(requests)}
	for range requests {
		took := 60 * factor * math.Exp(0.6*r.NormFloat64())
		for i, bound := range h.Bounds {
			if took <= bound {
				h.Below[i]++
			}
		}
	}
	return h
}

// latencyRun folds windows into the evidence of a run with one metric of latency.
type latencyRun struct {
	spec   *v1alpha1.AnalysisRunSpec
	status *v1alpha1.AnalysisRunStatus
}

func newLatencyRun(spec *v1alpha1.AnalysisRunSpec) *latencyRun {
	l := &latencyRun{spec, &v1alpha1.AnalysisRunStatus{}}
	Enter(l.status, spec.Metrics, v1alpha1.AnalysisStep{Name: "first", Since: *microTime(comparedFrom)})
	return l
}

func (l *latencyRun) metric() *v1alpha1.MetricStatus { return &l.status.Metrics[0] }

// fold folds a reading, of the next window or of the time before.
func (l *latencyRun) fold(reading Reading, err error) *v1alpha1.MetricStatus {
	m, s := &l.spec.Metrics[0], l.metric()
	from, due := NextComparison(m, &l.spec.ComparisonPolicy, s, comparedFrom)
	reading.From, reading.To = from, nextTick(from, gridOf(m))
	r := Result{Due: due, At: due.Add(-lagOf(&l.spec.ComparisonPolicy)), Reading: &reading}
	if err != nil {
		r.Err, r.Reading = err, nil
	}
	*s = FoldComparison(l.spec, m, *s, comparedFrom, r)
	Weigh(l.spec, l.status)
	return l.metric()
}

func window(canary, stable sequential.Histogram) Reading {
	t := Tally{Histograms: &Histograms{Canary: canary, Stable: stable}}
	t.Canary.Total, t.Stable.Total = canary.Total, stable.Total
	return Reading{Tallies: []Tally{t}}
}

func before(h sequential.Histogram) Reading { return Reading{Before: &h} }

func TestBoundsAreChosenFromBefore(t *testing.T) {
	l := newLatencyRun(latencySpec(latencyMetric(nil)))
	m := &l.spec.Metrics[0]
	if from, due := NextComparison(m, &l.spec.ComparisonPolicy, l.metric(), comparedFrom); !due.Equal(comparedFrom) || !from.Equal(comparedFrom.Add(30*time.Second)) {
		t.Fatalf("from %v, due %v", from, due)
	}
	s := l.fold(before(sequential.Histogram{Bounds: []float64{10, 25}, Below: []int64{3, 20}, Total: 49}), nil)
	if s.Verdict != v1alpha1.VerdictPending || !strings.Contains(s.Message, "it had 49") || boundsChosen(s) || s.WithoutData != 1 {
		t.Fatalf("too few: %+v", s)
	}
	s = l.fold(before(sequential.Histogram{Bounds: []float64{10, 25, 50, 100}, Below: []int64{400, 600, 950, 985}, Total: 1000}), nil)
	if s.Verdict != v1alpha1.VerdictPending || !strings.HasPrefix(s.Message, "compares at 25, 50, 100, by 1000 requests of stable's; ") || !boundsChosen(s) {
		t.Fatalf("%+v", s)
	}
	if s.Errors != 0 || s.Successful != 0 || s.WithoutData != 1 || s.Comparison.E != "1" {
		t.Errorf("choosing bounds counted: %+v", s)
	}
	got := WithBounds(m, s)
	if b := got.Builtin; len(b.Le) != 3 || b.Le[2] != "100" || b.Quantiles != nil || len(m.Builtin.Le) != 0 {
		t.Errorf("%+v", b)
	}
	// What bounds were chosen from after the time to settle is not judged by them.
	from, due := NextComparison(m, &l.spec.ComparisonPolicy, s, comparedFrom)
	if s.Comparison.Through.Before(microTime(comparedFrom)) || !from.Equal(s.Comparison.Through.Time) || !due.After(s.LastMeasuredAt.Time) {
		t.Errorf("from %v, due %v: %+v", from, due, s.Comparison)
	}
}

// TestBoundsAreLookedForWithoutHaste holds after the operator was away for long.
func TestBoundsAreLookedForWithoutHaste(t *testing.T) {
	l := newLatencyRun(latencySpec(latencyMetric(nil)))
	m, p, s := &l.spec.Metrics[0], &l.spec.ComparisonPolicy, l.metric()
	now := comparedFrom.Add(2 * time.Hour)
	for range 3 {
		from, due := NextComparison(m, p, s, comparedFrom)
		if due.After(now) {
			break
		}
		at := now.Add(-lagOf(p))
		*s = FoldComparison(l.spec, m, *s, comparedFrom, Result{Due: due, At: at, Reading: &Reading{From: from, To: at, Before: &sequential.Histogram{}}})
	}
	if _, due := NextComparison(m, p, s, comparedFrom); !due.After(now) || s.WithoutData > 2 {
		t.Errorf("looked %d times, and is due at %v", s.WithoutData, due)
	}
}

func TestBoundsThatCannotBeChosen(t *testing.T) {
	for name, tc := range map[string]struct {
		edit   func(*v1alpha1.BucketBounds)
		before sequential.Histogram
	}{
		"an objective that is no bound": {func(b *v1alpha1.BucketBounds) {
			b.Le, b.Quantiles = []v1alpha1.BucketBound{"200"}, []v1alpha1.Quantile{"0.5"}
		}, sequential.Histogram{Bounds: []float64{100}, Below: []int64{90}, Total: 100}},
		"all above the highest": {nil, sequential.Histogram{Bounds: []float64{100}, Below: []int64{0}, Total: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLatencyRun(latencySpec(latencyMetric(tc.edit)))
			for range 6 {
				l.fold(before(tc.before), nil)
			}
			if s := l.metric(); s.Verdict != v1alpha1.VerdictError || s.Measurements[0].Reason != string(ReasonBucketBounds) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func at(bounds ...v1alpha1.BucketBound) func(*v1alpha1.BucketBounds) {
	return func(b *v1alpha1.BucketBounds) { b.Le = bounds }
}

func TestLatencyVerdicts(t *testing.T) {
	const canary, stable = 200, 1000
	none := func(r *rand.Rand) sequential.Histogram { return slowed(r, 0, 1) }
	as := func(n int, factor float64) func(*rand.Rand) sequential.Histogram {
		return func(r *rand.Rand) sequential.Histogram { return slowed(r, n, factor) }
	}
	for name, tc := range map[string]struct {
		canary, stable func(*rand.Rand) sequential.Histogram
		verdict        v1alpha1.Verdict
		says           string
	}{
		"a slower canary is condemned":      {as(canary, 1.6), as(stable, 1), v1alpha1.VerdictFailure, "x stable's odds of a request over "},
		"one that is as fast passes":        {as(canary, 1), as(stable, 1), v1alpha1.VerdictSuccess, "better than unacceptable"},
		"so does a shared slow-down":        {as(canary, 4), as(stable, 4), v1alpha1.VerdictSuccess, "better than unacceptable"},
		"a faster one passes":               {as(canary, 0.8), as(stable, 1), v1alpha1.VerdictSuccess, "better than unacceptable"},
		"without traffic there is nothing":  {none, as(stable, 1), v1alpha1.VerdictPending, "no data: the canary had no requests"},
		"without stable's time promotes it": {as(canary, 1), none, v1alpha1.VerdictSuccess, "stable had no requests to compare with"},
		"little says what is missing":       {as(2, 1), as(stable, 1), v1alpha1.VerdictSuccess, "no verdict within 15m"},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			l := newLatencyRun(latencySpec(latencyMetric(at("100", "250"))))
			for range 40 {
				if l.fold(window(tc.canary(random), tc.stable(random)), nil).Verdict != v1alpha1.VerdictPending {
					break
				}
			}
			s := l.metric()
			if s.Verdict != tc.verdict || !strings.Contains(s.Message, tc.says) {
				t.Errorf("got %s: %s\nwant %s with %q", s.Verdict, s.Message, tc.verdict, tc.says)
			}
		})
	}
}

func TestLatencyThatCannotBeRead(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := newLatencyRun(latencySpec(latencyMetric(at("100", "250"))))
	known := *l.fold(window(slowed(random, 100, 1), slowed(random, 900, 1)), nil).DeepCopy()
	other := sequential.Histogram{Bounds: []float64{50}, Below: []int64{1}, Total: 2}
	for _, reading := range []struct {
		Reading
		err error
	}{
		{err: &Error{Reason: ReasonBucketBounds}}, {err: &Error{Reason: ReasonNativeHistogram}},
		{Reading: window(other, other)}, {Reading: Reading{Tallies: []Tally{{}}}},
	} {
		s := l.fold(reading.Reading, reading.err)
		if s.Comparison.State != known.Comparison.State || !s.Comparison.Through.Equal(known.Comparison.Through) || s.Measurements[len(s.Measurements)-1].Verdict != v1alpha1.VerdictError {
			t.Errorf("%+v advanced: %+v", reading, s)
		}
	}
}

// TestLatencyStateIsBounded holds with the most bounds, steps and digits.
func TestLatencyStateIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	spec := latencySpec(latencyMetric(at("1.5", "50.25", "100", "250")))
	spec.Steps = sequential.MaxSteps
	l := newLatencyRun(spec)
	for i := range 40 {
		h := func(n int) sequential.Histogram {
			s := slowed(random, n, 1.1)
			return sequential.Histogram{Bounds: []float64{1.5, 50.25, 100, 250}, Below: []int64{s.Below[0] / 9, s.Below[0] / 2, s.Below[0], s.Below[1]}, Total: s.Total}
		}
		reading := window(h(71), h(97))
		reading.Tallies[0].Histograms.Pods = map[string]sequential.Histogram{"a": h(31), "b": h(37)}
		m := l.metric()
		m.LastMeasuredAt = nil
		since := comparedFrom.Add(time.Duration(i) * time.Hour)
		from, due := NextComparison(&spec.Metrics[0], &spec.ComparisonPolicy, m, since)
		reading.From, reading.To = from, nextTick(from, time.Minute)
		*m = FoldComparison(spec, &spec.Metrics[0], *m, since, Result{Due: due, At: due, Reading: &reading})
	}
	s := l.metric()
	if s.Comparison.DispersionMessage != messagePods || len(s.Comparison.Bounds) != 4 {
		t.Errorf("%+v", s.Comparison)
	}
	if n := len(s.Comparison.State); n < 10_000 || n > 32_768 {
		t.Errorf("the state has %d bytes", n)
	}
}

// TestLatencyOfCanariesThatAreWell simulates releases under the null hypothesis, with a
// slow-down of both in the middle, and a generous alpha so that few releases suffice.
func TestLatencyOfCanariesThatAreWell(t *testing.T) {
	const releases, windows, alpha = 100, 24, "0.2"
	random := rand.New(rand.NewPCG(7, 7))
	condemned := 0
	for range releases {
		spec := latencySpec(latencyMetric(at("100", "250")))
		spec.Alpha = alpha
		l := newLatencyRun(spec)
		for w := range windows {
			factor := 1.0
			if w >= 8 && w < 14 {
				factor = 3
			}
			l.fold(window(slowed(random, 60, factor), slowed(random, 300, factor)), nil)
		}
		if l.metric().Verdict == v1alpha1.VerdictFailure {
			condemned++
		}
	}
	if most := releases * 2 / 10; condemned > most {
		t.Errorf("%d of %d were condemned, at most %d expected", condemned, releases, most)
	}
}

// TestAlphaIsSharedWithLatency holds that two comparisons have half of it each.
func TestAlphaIsSharedWithLatency(t *testing.T) {
	spec := latencySpec(latencyMetric(at("100", "250")), &v1alpha1.Metric{
		Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio},
	})
	random := rand.New(rand.NewPCG(3, 4))
	l := newLatencyRun(spec)
	for range 40 {
		if l.fold(window(slowed(random, 100, 1.6), slowed(random, 500, 1)), nil).Verdict == v1alpha1.VerdictFailure {
			break
		}
	}
	state, err := stateOf(spec, &spec.Metrics[0], l.metric())
	if err != nil || l.status.Comparison.Leading != "latency" {
		t.Fatalf("%+v, %v", l.status.Comparison, err)
	}
	var family sequential.Family
	if err := family.Observe([]sequential.Term{{Metric: "latency", Weight: 0.5, LogE: state.logE()}, {Metric: "errors", Weight: 0.5}}); err != nil {
		t.Fatal(err)
	}
	if got, want := l.status.Comparison.E, decimal(family.E()); got != want || l.metric().Verdict != v1alpha1.VerdictFailure {
		t.Errorf("E %s, want %s: %s", got, want, l.metric().Message)
	}
}

func TestValidateHistograms(t *testing.T) {
	for name, tc := range map[string]struct {
		metric v1alpha1.Metric
		says   string
	}{
		"fine":           {v1alpha1.Metric{Name: "a", Histogram: &v1alpha1.HistogramMetric{Buckets: `a_bucket{r="{{revision}}"}`}}, ""},
		"no revision":    {v1alpha1.Metric{Name: "a", Histogram: &v1alpha1.HistogramMetric{Buckets: `a_bucket`}}, "histogram.buckets: {{revision}} is missing"},
		"a range":        {v1alpha1.Metric{Name: "a", Histogram: &v1alpha1.HistogramMetric{Buckets: `a_bucket{r="{{revision}}"}[1m]`}}, "cannot go on with"},
		"two kinds":      {v1alpha1.Metric{Name: "a", Histogram: &v1alpha1.HistogramMetric{Buckets: "a"}, Ratio: &v1alpha1.RatioMetric{}}, "exactly one of"},
		"quantile":       {*latencyMetric(func(b *v1alpha1.BucketBounds) { b.Quantiles = []v1alpha1.Quantile{"1"} }), `quantiles: "1" is not`},
		"bound":          {*latencyMetric(at("1s")), `le: "1s" is not a bound`},
		"infinite bound": {*latencyMetric(at("+Inf")), `le: "+Inf" is not a bound`},
	} {
		t.Run(name, func(t *testing.T) {
			err := ValidateMetrics([]v1alpha1.Metric{tc.metric})
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// TestLatencyLearnsOfBurstsWithoutPods holds that caution wears off, and that a shared
// slow-down does not blind for what comes after it.
func TestLatencyLearnsOfBurstsWithoutPods(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	l := newLatencyRun(latencySpec(latencyMetric(at("100", "250"))))
	dispersion := func(windows int, factor, canary float64) float64 {
		for range windows {
			l.fold(window(slowed(random, int(canary*100), factor), slowed(random, 1000, factor)), nil)
		}
		v, err := strconv.ParseFloat(l.metric().Comparison.Dispersion, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if d := dispersion(1, 1, 0); d != 4 {
		t.Errorf("at first %v", d)
	}
	if d := dispersion(40, 1, 0); d < 1 || d > 3 {
		t.Errorf("after some windows %v", d)
	}
	if d := dispersion(1, 4, 0); d != 4 {
		t.Errorf("after a slow-down %v", d)
	}
	for range 30 {
		if l.fold(window(slowed(random, 200, 1.8), slowed(random, 1000, 1)), nil).Verdict == v1alpha1.VerdictFailure {
			return
		}
	}
	t.Errorf("a slower canary was not found after a slow-down: %s", l.metric().Message)
}

func TestLatencyLearnsOfBurstsFromPods(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	l := newLatencyRun(latencySpec(latencyMetric(at("100", "250"))))
	for range 24 {
		// Each pod has slow windows of its own.
		reading := window(slowed(random, 0, 1), slowed(random, 0, 1))
		h := reading.Tallies[0].Histograms
		h.Pods = map[string]sequential.Histogram{}
		for _, pod := range []string{"a", "b", "c", "d"} {
			factor := 1.0
			if random.IntN(3) == 0 {
				factor = 3
			}
			h.Pods[pod] = slowed(random, 250, factor)
			h.Stable, _ = h.Stable.Plus(h.Pods[pod])
		}
		reading.Tallies[0].Stable.Total = h.Stable.Total
		l.fold(reading, nil)
	}
	c := l.metric().Comparison
	if d, err := strconv.ParseFloat(c.Dispersion, 64); err != nil || d < 5 || c.DispersionMessage != messagePods {
		t.Errorf("%s: %s", c.Dispersion, c.DispersionMessage)
	}
}

func TestStateOfAnotherKindIsRefused(t *testing.T) {
	spec := comparedSpec()
	status := judged(t, spec, 1, sequential.Counts{Total: 3}, sequential.Counts{Total: 30})
	if _, err := stateOf(spec, &spec.Metrics[0], &status.Metrics[0]); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*v1alpha1.Metric{latencyMetric(nil), latencyMetric(at("100"))} {
		if _, err := stateOf(spec, m, &status.Metrics[0]); err == nil {
			t.Errorf("%+v goes on with the state of a ratio", m.Builtin)
		}
	}
	damaged := status.Metrics[0].DeepCopy()
	damaged.Comparison.State = strings.Replace(damaged.Comparison.State, `"v":1`, `"v":2`, 1)
	if _, err := stateOf(spec, &spec.Metrics[0], damaged); err == nil {
		t.Error("goes on with a state of another version")
	}
}

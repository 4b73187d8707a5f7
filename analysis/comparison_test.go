package analysis

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var comparedFrom = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func comparedSpec() *v1alpha1.AnalysisRunSpec {
	return &v1alpha1.AnalysisRunSpec{Steps: 2, Metrics: []v1alpha1.Metric{{
		Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio},
	}}}
}

// counts makes a result of one window of a run's only metric.
func counted(s *v1alpha1.MetricStatus, spec *v1alpha1.AnalysisRunSpec, canary, stable sequential.Counts) Result {
	from, due := NextComparison(&spec.Metrics[0], &spec.ComparisonPolicy, s, comparedFrom)
	to := nextTick(from, gridOf(&spec.Metrics[0]))
	return Result{Due: due, At: to, Reading: &Reading{
		From: from, To: to, Tallies: []Tally{{Window: sequential.Window{Canary: canary, Stable: stable}}},
	}}
}

// judged folds windows that are all alike until there is a verdict that ends a step.
func judged(t *testing.T, spec *v1alpha1.AnalysisRunSpec, windows int, canary, stable sequential.Counts) *v1alpha1.AnalysisRunStatus {
	t.Helper()
	status := &v1alpha1.AnalysisRunStatus{}
	Enter(status, spec.Metrics, v1alpha1.AnalysisStep{Name: "first", Since: *microTime(comparedFrom)})
	for range windows {
		s := &status.Metrics[0]
		*s = FoldComparison(spec, &spec.Metrics[0], *s, comparedFrom, counted(s, spec, canary, stable))
		Weigh(spec, status)
		if s.Verdict != v1alpha1.VerdictPending {
			break
		}
	}
	return status
}

func TestComparisonVerdicts(t *testing.T) {
	few, many := sequential.Counts{Total: 2}, sequential.Counts{Total: 1000, Bad: 20}
	for name, tc := range map[string]struct {
		windows        int
		canary, stable sequential.Counts
		onTimeout      v1alpha1.TimeoutPolicy
		verdict        v1alpha1.Verdict
		says           string
	}{
		"a bad canary is condemned": {20, sequential.Counts{Total: 200, Bad: 20}, many, "", v1alpha1.VerdictFailure, "stable's error odds"},
		"a good one passes":         {29, sequential.Counts{Total: 500, Bad: 10}, many, "", v1alpha1.VerdictSuccess, "better than unacceptable"},
		"a shared outage condemns nobody": {28, sequential.Counts{Total: 5, Bad: 3}, sequential.Counts{Total: 50, Bad: 30}, "",
			v1alpha1.VerdictSuccess, "1.0x stable's error odds"},
		"little traffic says what is missing":     {5, few, many, "", v1alpha1.VerdictPending, "more canary requests"},
		"without traffic nothing is promoted":     {60, sequential.Counts{}, many, "", v1alpha1.VerdictPending, "no data"},
		"without bad requests time promotes":      {60, sequential.Counts{Total: 100}, sequential.Counts{Total: 100}, "", v1alpha1.VerdictSuccess, "no verdict within 15m"},
		"or pauses":                               {60, sequential.Counts{Total: 100}, sequential.Counts{Total: 100}, v1alpha1.TimeoutPause, v1alpha1.VerdictInconclusive, "somebody to promote"},
		"or aborts":                               {60, sequential.Counts{Total: 100}, sequential.Counts{Total: 100}, v1alpha1.TimeoutAbort, v1alpha1.VerdictFailure, "no verdict within 15m"},
		"time promotes no step without requests":  {60, sequential.Counts{Total: 1}, sequential.Counts{Total: 100}, "", v1alpha1.VerdictPending, ""},
		"more bad requests than requests is none": {3, sequential.Counts{Total: 1, Bad: 2}, many, "", v1alpha1.VerdictPending, "contradict"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := comparedSpec()
			spec.OnTimeout = tc.onTimeout
			if name == "time promotes no step without requests" {
				spec.Metrics[0].Compare = &v1alpha1.Compare{MinRequests: 1000}
			}
			s := judged(t, spec, tc.windows, tc.canary, tc.stable).Metrics[0]
			if s.Verdict != tc.verdict || !strings.Contains(s.Message, tc.says) {
				t.Errorf("got %s: %s\nwant %s with %q", s.Verdict, s.Message, tc.verdict, tc.says)
			}
		})
	}
}

func TestWhatCannotBeCountedDoesNotAdvance(t *testing.T) {
	spec := comparedSpec()
	status := judged(t, spec, 2, sequential.Counts{Total: 3}, sequential.Counts{Total: 30})
	before := status.Metrics[0]
	for _, result := range []Result{
		{Err: &Error{Reason: ReasonWarnings}}, {Err: &Error{Reason: ReasonNonFinite}}, {Reading: &Reading{}},
	} {
		from, due := NextComparison(&spec.Metrics[0], &spec.ComparisonPolicy, &before, comparedFrom)
		result.Due, result.At = due, due
		if result.Reading != nil {
			result.Reading.From = from
		}
		after := FoldComparison(spec, &spec.Metrics[0], before, comparedFrom, result)
		if !after.Comparison.Through.Equal(before.Comparison.Through) || after.Comparison.E != before.Comparison.E || after.Verdict != v1alpha1.VerdictPending {
			t.Errorf("%+v advanced: %+v", result, after.Comparison)
		}
	}
}

// TestCutsCountTheSame cuts a stretch of time in two anywhere, each read with what
// was scraped within its own reach, and wants the same counts.
func TestCutsCountTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var counters []counter
		for i := range rapid.IntRange(1, 5).Draw(t, "series") {
			c := counter{target: "t", canary: i%2 == 0, total: true}
			at, value := int64(0), 0.0
			for range rapid.IntRange(0, 30).Draw(t, "scrapes") {
				at += rapid.Int64Range(1, 100_000).Draw(t, "gap")
				value = max(0, value+float64(rapid.IntRange(-3, 20).Draw(t, "growth")))
				c.points = append(c.points, Point{At: at, Value: value})
			}
			counters = append(counters, c)
		}
		const from, to = 500_000, 2_000_000
		cut := rapid.Int64Range(from+1, to-1).Draw(t, "cut")
		whole := read(t, counters, from, to)
		one, other := read(t, counters, from, cut), read(t, counters, cut, to)
		sum := sequential.Window{Canary: one.Canary.Plus(other.Canary), Stable: one.Stable.Plus(other.Stable)}
		if sum != whole {
			t.Fatalf("cut at %d: %+v and %+v, whole %+v", cut, one, other, whole)
		}
	})
}

func read(t *rapid.T, counters []counter, from, to int64) sequential.Window {
	var seen []counter
	for _, c := range counters {
		var points []Point
		for _, p := range c.points {
			if p.At >= from-rawLookback.Milliseconds() && p.At <= to {
				points = append(points, p)
			}
		}
		c.points = points
		seen = append(seen, c)
	}
	tallies, err := tally(seen, []int64{from, to})
	if err != nil {
		t.Fatal(err)
	}
	return tallies[0].Window
}

func TestGrowth(t *testing.T) {
	p := func(at int64, v float64) Point { return Point{At: at, Value: v} }
	for name, tc := range map[string]struct {
		points []Point
		others []Point
		want   int64
	}{
		"plain":                             {[]Point{p(0, 5), p(15_000, 9)}, nil, 4},
		"a reset counts from zero":          {[]Point{p(0, 5), p(15_000, 2)}, nil, 2},
		"new with its target: unknown":      {[]Point{p(15_000, 9)}, []Point{p(15_000, 1)}, 0},
		"new beside a sibling: from zero":   {[]Point{p(15_000, 9)}, []Point{p(0, 1)}, 9},
		"nothing scraped for long: unknown": {[]Point{p(-200_000, 1), p(15_000, 9)}, nil, 0},
		"what was before is not counted":    {[]Point{p(-30_000, 1), p(-15_000, 9)}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tallies, err := tally([]counter{
				{target: "t", canary: true, total: true, points: tc.points}, {target: "t", points: tc.others},
			}, []int64{0, 30_000})
			if err != nil || tallies[0].Canary.Total != tc.want {
				t.Errorf("got %v, %v, want %d", tallies, err, tc.want)
			}
		})
	}
}

func FuzzTally(f *testing.F) {
	f.Add(1.0, 2.0, int64(5), int64(10))
	f.Add(math.NaN(), -1.0, int64(5), int64(5))
	f.Fuzz(func(t *testing.T, a, b float64, at, then int64) {
		tallies, err := tally([]counter{{target: "t", canary: true, bad: true, points: []Point{{at, a}, {then, b}}}}, []int64{0, 1000, 2000})
		if err != nil {
			return
		}
		for _, w := range tallies {
			if w.Canary.Bad < 0 || w.Canary.Bad > 2*maxCounter {
				t.Errorf("counted %d", w.Canary.Bad)
			}
		}
	})
}

func TestSelectors(t *testing.T) {
	for text, ok := range map[string]bool{
		`a{r="{{revision}}"}`: true, ` a {r=~"{{revision}}", b="}"} `: true, `{__name__="a",r="{{revision}}"}`: true,
		`a`: false, `a{r="{{revision}}"}[5m]`: false, `sum(a{r="{{revision}}"})`: false, `a{r="{{revision}}"} # x`: false,
		`a{r="{{revision}}"} offset 5m`: false, `a{r="{{window}}{{revision}}"}`: false, `{{revision}}`: true,
	} {
		if _, err := parseSelector(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFailedRequests(t *testing.T) {
	for text, want := range map[string]bool{
		"500//-": true, "503//UF": true, "404//-": false, "200/13/-": true, "200/5/-": false, "0//-": true, "0//DC": false, "0//UF,DC": false, "//": false,
	} {
		p := strings.Split(text, "/")
		if got := failed(map[string]string{"response_code": p[0], "grpc_response_status": p[1], "response_flags": p[2]}); got != want {
			t.Errorf("%s: %s", text, fmt.Sprint(got))
		}
	}
}

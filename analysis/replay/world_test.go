package replay

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	canaryRev = "7c9b"
	stableRev = "6d4f"
	scrape    = 15 * time.Second
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a service that was scraped for a while: requests of two revisions, and
// what a threshold metric would have been answered.
type world struct {
	seed uint64
	// rps of the canary and of stable.
	canary, stable float64
	// bad is the share of failed requests of a revision some time after t0.
	bad func(canary bool, after time.Duration) float64
	// value of the threshold metric.
	value func(after time.Duration) float64

	series []analysis.RawSeries
}

// scraped makes the counters: they begin ten minutes before the step.
func (w *world) scraped() *world {
	random := rand.New(rand.NewPCG(w.seed, 0))
	for _, canary := range []bool{false, true} {
		rps, revision := w.stable, stableRev
		if canary {
			rps, revision = w.canary, canaryRev
		}
		var good, bad []analysis.Point
		goods, bads := 0.0, 0.0
		for after := -10 * time.Minute; after <= 40*time.Minute; after += scrape {
			for range int(rps * scrape.Seconds()) {
				if random.Float64() < w.bad(canary, after) {
					bads++
				} else {
					goods++
				}
			}
			at := t0.Add(after).UnixMilli() + 300
			good = append(good, analysis.Point{At: at, Value: goods})
			if bads > 0 { // A counter that never counted is not there.
				bad = append(bad, analysis.Point{At: at, Value: bads})
			}
		}
		for _, counted := range []struct {
			code   string
			points []analysis.Point
		}{{"200", good}, {"503", bad}} {
			w.series = append(w.series, analysis.RawSeries{Points: counted.points, Labels: map[string]string{
				"instance": "10.0.0.1:15020", "destination_canonical_revision": revision, "response_code": counted.code,
			}})
		}
	}
	return w
}

var ranged = regexp.MustCompile(`\[(\d+)ms\]$`)

// ReadRaw gives what was scraped in the range of a query.
func (w *world) ReadRaw(_ context.Context, q analysis.Query) (analysis.Matrix, error) {
	found := ranged.FindStringSubmatch(q.Expr)
	if found == nil {
		return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonMalformed}
	}
	length, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return analysis.Matrix{}, err
	}
	m := analysis.Matrix{}
	for _, s := range w.series {
		cut := analysis.RawSeries{Labels: s.Labels}
		for _, p := range s.Points {
			if p.At <= q.At.UnixMilli() && p.At > q.At.UnixMilli()-length {
				cut.Points = append(cut.Points, p)
			}
		}
		if len(cut.Points) > 0 {
			m.Series = append(m.Series, cut)
		}
	}
	return m, nil
}

// Query gives the value of the threshold metric.
func (w *world) Query(_ context.Context, q analysis.Query) (analysis.Sample, error) {
	return analysis.Values(w.value(q.At.Sub(t0))), nil
}

// worlds are releases of which it is known what the live judge decides.
func worlds() map[string]*world {
	calm := func(time.Duration) float64 { return 0.2 }
	return map[string]*world{
		"good": {seed: 1, canary: 10, stable: 40, value: calm, bad: func(bool, time.Duration) float64 { return 0.003 }},
		"bad-five-times": {seed: 2, canary: 10, stable: 40, value: calm, bad: func(canary bool, _ time.Duration) float64 {
			if canary {
				return 0.015
			}
			return 0.003
		}},
		"shared-outage": {seed: 3, canary: 10, stable: 40, value: calm, bad: func(_ bool, after time.Duration) float64 {
			if after > 5*time.Minute && after <= 9*time.Minute {
				return 0.3
			}
			return 0.003
		}},
		"slow": {seed: 4, canary: 10, stable: 40, bad: func(bool, time.Duration) float64 { return 0.003 }, value: func(after time.Duration) float64 {
			if after > 4*time.Minute {
				return 0.7
			}
			return 0.2
		}},
	}
}

func micro(t time.Time) metav1.MicroTime { return metav1.NewMicroTime(t) }

func dur(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// input is a release of two steps that compares failed requests, and has a threshold
// for the latency.
func input() *Input {
	return &Input{
		Namespace: "shop",
		Spec: v1alpha1.AnalysisRunSpec{
			Subject: v1alpha1.AnalysisSubject{Rollout: "checkout", StableRevision: stableRev, CanaryRevision: canaryRev, Attempt: 1},
			Steps:   2,
			Metrics: []v1alpha1.Metric{
				{Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio}},
				{
					Name: "p99", Query: `p99{revision="{{canary}}"}[{{window}}]`, SuccessWhen: "value < 0.5",
					Interval: dur(time.Minute), InitialDelay: dur(time.Minute), Count: 3, FailureLimit: 1,
				},
			},
		},
		Steps: []v1alpha1.AnalysisStep{
			{Index: 0, Name: "first", Since: micro(t0)},
			{Index: 1, Name: "half", Since: micro(t0.Add(10 * time.Minute))},
		},
		To: t0.Add(20 * time.Minute),
	}
}

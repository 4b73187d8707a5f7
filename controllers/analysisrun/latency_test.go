package analysisrun

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// mesh answers as a Prometheus does that scrapes Istio's histogram of durations.
type mesh struct {
	le []string
	// stable and canary are the parts of requests that are at most each bound.
	stable, canary []float64
	// missing is a bound that the canary lacks.
	missing string
	// began is since when stable has requests.
	began time.Time
}

// latencies are of a mesh that was always there. Of stable's requests a tenth is over
// 100 ms and a hundredth over 250 ms.
func latencies(canary ...float64) *mesh {
	return &mesh{
		le: []string{"50", "100", "250", "+Inf"}, stable: []float64{0.6, 0.9, 0.99, 1}, canary: canary,
		began: t0.Add(-24 * time.Hour),
	}
}

func (m *mesh) provider() analysis.Provider {
	return fake.Raw{Provider: &fake.Provider{}, Samples: func(_ context.Context, q analysis.Query) (analysis.Matrix, error) {
		if strings.Contains(q.Expr, "increase(") {
			return m.increase(q), nil
		}
		return m.scraped(q), nil
	}}
}

// increase is what stable had in the hour before.
func (m *mesh) increase(q analysis.Query) analysis.Matrix {
	var all analysis.Matrix
	seconds := min(time.Hour, q.At.Sub(m.began)).Seconds()
	if seconds <= 0 || strings.Contains(q.Expr, canaryRev) {
		return all
	}
	for i, le := range m.le {
		all.Series = append(all.Series, analysis.RawSeries{
			Labels: map[string]string{"le": le}, Points: []analysis.Point{{At: q.At.UnixMilli(), Value: 400 * m.stable[i] * seconds}},
		})
	}
	return all
}

// scraped is what was scraped of the buckets that a query names.
func (m *mesh) scraped(q analysis.Query) analysis.Matrix {
	var all analysis.Matrix
	for _, arm := range []struct {
		revision string
		rate     float64
		below    []float64
	}{{stableRev, 400, m.stable}, {canaryRev, 100, m.canary}} {
		for i, le := range m.le {
			if arm.below == nil || le == m.missing && arm.revision == canaryRev || !strings.Contains(q.Expr, `|`+strings.ReplaceAll(le, "+", `\\+`)) && !strings.Contains(q.Expr, `"`+le+`|`) {
				continue
			}
			s := analysis.RawSeries{Labels: map[string]string{"instance": "10.0.0.1:15020", "destination_canonical_revision": arm.revision, "le": le}}
			for at := q.At.Add(-5 * time.Minute).Truncate(time.Second); !at.After(q.At); at = at.Add(time.Second) {
				s.Points = append(s.Points, analysis.Point{At: at.UnixMilli(), Value: math.Floor(arm.rate * arm.below[i] * at.Sub(t0.Add(-time.Hour)).Seconds())})
			}
			all.Series = append(all.Series, s)
		}
	}
	return all
}

func latencyMetric(le ...v1alpha1.BucketBound) v1alpha1.Metric {
	return v1alpha1.Metric{Name: "latency", Builtin: &v1alpha1.BuiltinMetric{
		Kind: v1alpha1.BuiltinLatencyDistribution, BucketBounds: v1alpha1.BucketBounds{Le: le},
	}}
}

func TestComparedLatency(t *testing.T) {
	slower := compared(t, latencyMetric(), latencies(0.5, 0.8, 0.9, 1).provider(), 40, -1)
	s := slower.Status.Metrics[0]
	if slower.Status.Verdict != v1alpha1.VerdictFailure || !completed(slower) || s.Comparison.Le != "250" ||
		!strings.HasPrefix(s.Message, "canary 11x stable's odds of a request over 250 ms, 95% CI ") {
		t.Errorf("a slower canary: %s: %s", slower.Status.Verdict, slower.Status.Message)
	}
	if first := s.Measurements[0]; first.Value != "le 50, 100, 250" || len(s.Measurements) > 4 {
		t.Errorf("measured %+v", s.Measurements)
	}
	alike := compared(t, latencyMetric(), latencies(0.6, 0.9, 0.99, 1).provider(), 40, -1)
	if alike.Status.Verdict != v1alpha1.VerdictSuccess || !strings.Contains(alike.Status.Message, "better than unacceptable") {
		t.Errorf("one that is as fast: %s", alike.Status.Message)
	}
	if b := alike.Status.Metrics[0].Comparison.Bounds; len(b) != 3 || b[0].Le != "50" || b[2].Canary == 0 || b[2].Stable <= b[2].Canary {
		t.Errorf("evidence %+v", b)
	}
}

func TestLatencyWithFaults(t *testing.T) {
	reasons := func(m *mesh, metric v1alpha1.Metric) *v1alpha1.MetricStatus {
		return &compared(t, metric, m.provider(), 4, -1).Status.Metrics[0]
	}
	last := func(s *v1alpha1.MetricStatus) string { return s.Measurements[len(s.Measurements)-1].Reason }

	other := latencies(0.6, 0.9, 0.99, 1)
	other.missing = "100"
	if s := reasons(other, latencyMetric()); last(s) != string(analysis.ReasonBucketBounds) || s.Comparison.Canary.Requests != 0 {
		t.Errorf("other bounds: %+v", s)
	}
	if s := reasons(latencies(0.6, 0.9, 0.99, 1), latencyMetric("75")); last(s) != string(analysis.ReasonBucketBounds) {
		t.Errorf("a bound that nobody has: %+v", s)
	}
	broken := latencies(math.NaN(), math.NaN(), math.NaN(), math.NaN())
	if s := reasons(broken, latencyMetric()); last(s) != string(analysis.ReasonNonFinite) || s.Comparison.Canary.Requests != 0 {
		t.Errorf("NaN: %+v", s)
	}
	if s := reasons(latencies(), latencyMetric()); last(s) != string(analysis.ReasonNoData) || s.Verdict != v1alpha1.VerdictPending {
		t.Errorf("no canary: %+v", s)
	}
	silent := latencies(0.6, 0.9, 0.99, 1)
	silent.stable = []float64{0, 0, 0, 0}
	if s := reasons(silent, latencyMetric()); s.Verdict != v1alpha1.VerdictPending || last(s) != string(analysis.ReasonNoData) {
		t.Errorf("stable without traffic: %+v", s)
	}
	if s := reasons(silent, latencyMetric("250")); s.Verdict != v1alpha1.VerdictPending || !strings.Contains(s.Message, "stable had no requests to compare with") {
		t.Errorf("stable without traffic, with a bound: %+v", s)
	}
}

// TestBoundsAreChosenOnce holds over a restart, and that stable's first requests are
// waited for.
func TestBoundsAreChosenOnce(t *testing.T) {
	late := latencies(0.6, 0.9, 0.99, 1)
	late.began = t0.Add(30 * time.Second)
	one, other := compared(t, latencyMetric(), late.provider(), 7, -1), compared(t, latencyMetric(), late.provider(), 7, 3)
	a, b := one.Status.Metrics[0], other.Status.Metrics[0]
	if a.Comparison.State != b.Comparison.State || a.Comparison.Canary.Requests == 0 {
		t.Errorf("after a restart\n%+v\nwithout\n%+v", b.Comparison, a.Comparison)
	}
	if a.WithoutData == 0 || a.Measurements[a.WithoutData].Value != "le 50, 100, 250" || a.Errors != 0 {
		t.Errorf("measured %s", strconv.Quote(toJSON(a.Measurements)))
	}
}

// TestLatencyOfARelease goes through the controller and a real API server.
func TestLatencyOfARelease(t *testing.T) {
	w := newWorld(t)
	m := latencies(0.5, 0.8, 0.9, 1)
	w.operate(asking(m.provider()))
	metric := latencyMetric()
	metric.Interval = dur(time.Second)
	_, r := w.release("checkout", metric)
	got := w.await(r, "failure", isCompleted)
	if reason(got) != "Failure" || got.Status.Comparison.Leading != "latency" || len(got.Status.Metrics[0].Comparison.Bounds) != 3 {
		t.Errorf("got %s", toJSON(got.Status))
	}
}

package analysisrun

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// istioCounters are Istio's counters, scraped every fifteen seconds, of which a revision
// gets so many more at each.
func istioCounters(q analysis.Query, canaryBad float64, warnings ...string) analysis.Matrix {
	m := analysis.Matrix{Warnings: warnings}
	for _, s := range []struct {
		revision, code string
		each           float64
	}{{stableRev, "200", 990}, {stableRev, "500", 10}, {canaryRev, "200", 100 - canaryBad}, {canaryRev, "500", canaryBad}} {
		series := analysis.RawSeries{Labels: map[string]string{
			"instance": "10.0.0.1:15020", "destination_canonical_revision": s.revision, "response_code": s.code,
		}}
		for at := t0.Add(-5 * time.Minute); !at.After(q.At); at = at.Add(15 * time.Second) {
			series.Points = append(series.Points, analysis.Point{At: at.UnixMilli(), Value: s.each * at.Sub(t0.Add(-time.Hour)).Seconds() / 15})
		}
		m.Series = append(m.Series, series)
	}
	return m
}

// compared measures a run's comparison until it completes, at most so often; it
// starts over with what was written after some of them.
func compared(t *testing.T, m v1alpha1.Metric, p analysis.Provider, measurements, restartAfter int) *v1alpha1.AnalysisRun {
	t.Helper()
	ar := run("checkout", m)
	r := newRig(t, rollout("checkout", t0), ar)
	start := func() {
		r.measurer = newMeasurer(r.clock, &Providers{fallback: p, timeout: time.Second, clock: r.clock}, limits{1, 1})
	}
	start()
	r.reconcile(ar)
	for i := range measurements {
		e := r.planned(ar)
		r.clock.SetTime(e.Due)
		r.dispatch()
		result, err := r.measurer.measure(t.Context(), e.task)
		if err != nil {
			t.Fatal(err)
		}
		e.state, e.result = stateAnswered, result
		r.reconcile(ar)
		r.settle(ar)
		if completed(r.get(ar)) {
			break
		}
		if i == restartAfter {
			r.store = newStore(r.client)
			start()
			r.reconcile(ar)
		}
	}
	return r.get(ar)
}

func errorRatio() v1alpha1.Metric {
	return v1alpha1.Metric{Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio}}
}

func answering(canaryBad float64, warnings ...string) fake.Raw {
	return fake.Raw{Provider: &fake.Provider{}, Samples: func(_ context.Context, q analysis.Query) (analysis.Matrix, error) {
		return istioCounters(q, canaryBad, warnings...), nil
	}}
}

func TestComparedCanary(t *testing.T) {
	bad := compared(t, errorRatio(), answering(8), 40, -1)
	if bad.Status.Verdict != v1alpha1.VerdictFailure || !completed(bad) || bad.Status.Comparison.Leading != "errors" {
		t.Errorf("a bad canary: %s", bad.Status.Message)
	}
	good := compared(t, errorRatio(), answering(1), 40, -1)
	if good.Status.Verdict != v1alpha1.VerdictSuccess {
		t.Errorf("a good canary: %s", good.Status.Message)
	}
	partial := compared(t, errorRatio(), answering(8, "partial response"), 3, -1)
	if s := partial.Status.Metrics[0]; s.Errors != 3 || s.Comparison.Canary.Requests != 0 {
		t.Errorf("warnings were taken for data: %+v", s)
	}
	plain := compared(t, errorRatio(), fake.Always(1), 2, -1)
	if got := plain.Status.Metrics[0].Measurements[0].Reason; got != string(analysis.ReasonRawUnsupported) {
		t.Errorf("without the ability: %s", got)
	}
}

func TestRestartGivesTheSameEvidence(t *testing.T) {
	one, other := compared(t, errorRatio(), answering(2), 6, -1), compared(t, errorRatio(), answering(2), 6, 2)
	a, b := one.Status.Metrics[0].Comparison, other.Status.Metrics[0].Comparison
	if a.State != b.State || a.E != b.E || a.Canary.Requests == 0 {
		t.Errorf("after a restart\n%+v\nwithout\n%+v", b, a)
	}
}

package sequential

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tester is what *testing.T, *testing.F and *rapid.T have in common here.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newComparison(t tester, steps int) Comparison {
	t.Helper()
	c, err := NewComparison(DefaultTolerances(), steps)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectation is the expected value of exp(log ratio) to some power, over all
// outcomes of a window, when the odds ratio is what truth says.
func expectation(w Window, truth, null, alternative, power float64) float64 {
	h := newHypergeometric(w)
	if h.certain() {
		return 1
	}
	norm, ratio, sum := h.logNorm(truth), []float64{0}, 0.0
	for x := h.lo; x <= h.hi; x++ {
		h.logRatios(x, null, []float64{alternative}, ratio)
		sum += math.Exp(h.logTerm(x) + x*math.Log(truth) - norm + power*ratio[0])
	}
	return sum
}

func drawMargins(t *rapid.T, most int64) Window {
	nc, ns := rapid.Int64Range(0, most).Draw(t, "nc"), rapid.Int64Range(0, most).Draw(t, "ns")
	return Window{
		Canary: Counts{nc, rapid.Int64Range(0, nc).Draw(t, "xc")},
		Stable: Counts{ns, rapid.Int64Range(0, ns).Draw(t, "xs")},
	}
}

// TestEvidenceIsWorthOneUnderTheNull sums over all outcomes, so that validity is
// computed and not sampled: no bet gains while the canary is as tolerated or better,
// and no bet on passing gains while it is unacceptable or worse.
func TestEvidenceIsWorthOneUnderTheNull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawMargins(t, 60)
		null := rapid.Float64Range(0.3, 4).Draw(t, "null")
		better := rapid.Float64Range(0.01, 1).Draw(t, "how much better")
		above := null * rapid.SampledFrom(alternatives[:]).Draw(t, "g")
		power := rapid.Float64Range(0, 1).Draw(t, "power")
		if e := expectation(w, null, null, above, 1); math.Abs(e-1) > 1e-9 {
			t.Fatalf("%+v: worth %v at the null", w, e)
		}
		if e := expectation(w, null*better, null, above, power); e > 1+1e-9 {
			t.Fatalf("%+v: worth %v when better", w, e)
		}
		below := null * rapid.Float64Range(0.1, 0.99).Draw(t, "pass alternative")
		if e := expectation(w, null/better, null, below, power); e > 1+1e-9 {
			t.Fatalf("%+v: worth %v for passing when worse", w, e)
		}
	})
}

// TestFalseAlarmsStayBelowAlpha plays releases at the worst that is tolerated, with
// weights that change, an outage and steps, and looks after every window.
func TestFalseAlarmsStayBelowAlpha(t *testing.T) {
	const releases, alpha = 1000, 0.1
	random := rand.New(rand.NewPCG(1, 2))
	alarms := 0
	for range releases {
		c := newComparison(t, 3)
		for i := range 90 {
			if i%30 == 0 {
				c.Restart()
			}
			base := 0.02
			if i > 40 && i < 50 {
				base = 0.3
			}
			nc := []int64{20, 100, 500}[i/30]
			w := Window{Canary: Counts{Total: nc}, Stable: Counts{Total: 1000 - nc}}
			bad := 1.2 * base / (1 - base + 1.2*base)
			for range nc {
				if random.Float64() < bad {
					w.Canary.Bad++
				}
			}
			for range 1000 - nc {
				if random.Float64() < base {
					w.Stable.Bad++
				}
			}
			if err := c.Observe(w, 1); err != nil {
				t.Fatal(err)
			}
		}
		if c.Worse(alpha) {
			alarms++
		}
	}
	rate := float64(alarms) / releases
	if limit := alpha + 3*math.Sqrt(alpha*(1-alpha)/releases); rate > limit || rate == 0 {
		t.Errorf("%v of releases had a false alarm", rate)
	}
}

func drawWindow(t *rapid.T) Window {
	most := rapid.SampledFrom([]int64{3, 100, 10_000, 1_000_000_000}).Draw(t, "most")
	return drawMargins(t, most)
}

// TestComparisonIsAlwaysFinite feeds it anything.
func TestComparisonIsAlwaysFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newComparison(t, rapid.IntRange(-1, 20).Draw(t, "steps"))
		o := NewOddsInterval()
		for range rapid.IntRange(1, 6).Draw(t, "windows") {
			w := drawWindow(t)
			dispersion := rapid.SampledFrom([]float64{1, 1.0001, 3, 1e9, 0, -1, math.NaN(), math.Inf(1)}).Draw(t, "dispersion")
			if err := c.Observe(w, dispersion); err != nil {
				t.Fatal(err)
			}
			if err := o.Observe(w, dispersion); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "restart") {
				c.Restart()
			}
			requireSound(t, &c, &o)
		}
	})
}

func requireSound(t tester, c *Comparison, o *OddsInterval) {
	if err := c.Check(); err != nil {
		t.Fatalf("%v", err)
	}
	if e, p := c.E(), c.P(); !(e >= 0 && e <= math.MaxFloat64) || !(p >= 0 && p <= 1) || math.IsNaN(c.LogPass()) {
		t.Fatalf("E %v, p %v, pass %v", e, p, c.LogPass())
	}
	if err := o.Check(); err != nil {
		t.Fatalf("%v", err)
	}
	if low, high := o.Interval(0.05); !(low >= 0 && low <= high) {
		t.Fatalf("interval from %v to %v", low, high)
	}
}

// TestImpossibleCountsChangeNothing: a source that is wrong is not evidence.
func TestImpossibleCountsChangeNothing(t *testing.T) {
	for _, w := range []Window{
		{Canary: Counts{-1, 0}},
		{Canary: Counts{1, -1}},
		{Canary: Counts{1, 2}},
		{Stable: Counts{5, 6}},
		{Stable: Counts{math.MaxInt64, 0}},
		{Canary: Counts{math.MinInt64, math.MinInt64}},
	} {
		c, before := newComparison(t, 3), newComparison(t, 3)
		if err := c.Observe(w, 1); !errors.Is(err, ErrCounts) {
			t.Errorf("%+v: %v", w, err)
		}
		if diff := cmp.Diff(before, c); diff != "" {
			t.Errorf("%+v: %s", w, diff)
		}
	}
}

// TestMoreBadRequestsAreMoreEvidence, and never less; the other way round for stable
// and for passing.
func TestMoreBadRequestsAreMoreEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawMargins(t, 2000)
		if w.Canary.Bad == w.Canary.Total {
			return
		}
		dispersion := rapid.Float64Range(1, 5).Draw(t, "dispersion")
		more := w
		more.Canary.Bad++
		if w.Stable.Bad > 0 {
			more.Stable.Bad-- // the same number of both
		}
		a, b := newComparison(t, 1), newComparison(t, 1)
		if a.Observe(w, dispersion) != nil || b.Observe(more, dispersion) != nil {
			t.Fatal("impossible counts")
		}
		if w.Stable.Bad > 0 && (b.LogE() < a.LogE()-1e-9 || b.LogPass() > a.LogPass()+1e-9) {
			t.Fatalf("%+v: %v and %v, one more: %v and %v", w, a.LogE(), a.LogPass(), b.LogE(), b.LogPass())
		}
	})
}

// TestOrderOfWindowsDoesNotMatter, and neither do windows in which nothing happened.
func TestOrderOfWindowsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		windows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Window { return drawMargins(t, 3000) }), 1, 6).Draw(t, "windows")
		a, b := newComparison(t, 1), newComparison(t, 1)
		for i := range windows {
			if a.Observe(windows[i], 1.3) != nil || b.Observe(windows[len(windows)-1-i], 1.3) != nil || b.Observe(Window{}, 1.3) != nil {
				t.Fatal("impossible counts")
			}
		}
		if math.Abs(a.LogE()-b.LogE()) > 1e-9*(1+math.Abs(a.LogE())) {
			t.Fatalf("%v and %v", a.LogE(), b.LogE())
		}
	})
}

// TestMergedWindowsOfRareErrorsAreTheSame: when bad requests are few among many and
// the weight stays, a gap in the data, which makes one window of two, costs nothing.
func TestMergedWindowsOfRareErrorsAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nc, ns := rapid.Int64Range(1, 50).Draw(t, "nc")*100_000, rapid.Int64Range(1, 50).Draw(t, "ns")*100_000
		a, b := newComparison(t, 1), newComparison(t, 1)
		var merged Window
		for range 3 {
			w := Window{
				Canary: Counts{nc, rapid.Int64Range(0, 20).Draw(t, "xc")},
				Stable: Counts{ns, rapid.Int64Range(0, 20).Draw(t, "xs")},
			}
			merged = Window{Canary: merged.Canary.Plus(w.Canary), Stable: merged.Stable.Plus(w.Stable)}
			if a.Observe(w, 1.2) != nil {
				t.Fatal("impossible counts")
			}
		}
		if b.Observe(merged, 1.2) != nil {
			t.Fatal("impossible counts")
		}
		if math.Abs(a.LogE()-b.LogE()) > 0.05 || math.Abs(a.LogPass()-b.LogPass()) > 0.05 {
			t.Fatalf("%v and %v, %v and %v", a.LogE(), b.LogE(), a.LogPass(), b.LogPass())
		}
	})
}

// TestLateFaultsAreFound although the canary was well for long: what speaks for it
// does not count against evidence that began later.
func TestLateFaultsAreFound(t *testing.T) {
	c := newComparison(t, 2)
	well := Window{Canary: Counts{1000, 10}, Stable: Counts{1000, 10}}
	ill := Window{Canary: Counts{1000, 40}, Stable: Counts{1000, 10}}
	for range 200 {
		if err := c.Observe(well, 1); err != nil {
			t.Fatal(err)
		}
	}
	if c.Worse(0.01) || !c.Passes(0.05) {
		t.Fatalf("p %v, pass %v", c.P(), c.LogPass())
	}
	c.Restart()
	c.Restart() // is none: nothing was seen since
	windows := 0
	for ; !c.Worse(0.01) && windows < 20; windows++ {
		if err := c.Observe(ill, 1); err != nil {
			t.Fatal(err)
		}
	}
	if windows > 2 {
		t.Errorf("found after %d windows", windows)
	}
}

func TestStepsBeyondThePlanGoOnWithTheEvidence(t *testing.T) {
	c := newComparison(t, 2)
	w := Window{Canary: Counts{100, 5}, Stable: Counts{100, 5}}
	for range 5 {
		if err := c.Observe(w, 1); err != nil {
			t.Fatal(err)
		}
		c.Restart()
	}
	if len(c.Restarts) != 2 || c.Check() != nil {
		t.Errorf("%d restarts, %v", len(c.Restarts), c.Check())
	}
}

func TestStepWeightsSumToOne(t *testing.T) {
	for steps := 1; steps <= MaxSteps; steps++ {
		sum := 0.0
		for j := range steps {
			sum += stepWeight(j, steps)
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("%d steps: %v", steps, sum)
		}
	}
	sum := 0.0
	for _, v := range alternativeWeights {
		sum += v
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("alternatives: %v", sum)
	}
}

func TestOddsAreNotConfoundedByWeights(t *testing.T) {
	c := newComparison(t, 2)
	// Error rates are ten times higher while the canary has half of the traffic.
	for _, w := range []Window{
		{Canary: Counts{10_000, 20}, Stable: Counts{990_000, 990}},
		{Canary: Counts{500_000, 10_000}, Stable: Counts{500_000, 5_000}},
	} {
		if err := c.Observe(w, 1); err != nil {
			t.Fatal(err)
		}
	}
	if odds, ok := c.Odds(); !ok || math.Abs(odds-2) > 0.05 {
		t.Errorf("odds %v, pooled %v", odds, c.Canary.Ratio()/c.Stable.Ratio())
	}
}

func TestTolerancesThatMakeNoSense(t *testing.T) {
	for _, tolerances := range []Tolerances{
		{}, {Tolerated: -1, Unacceptable: 2}, {Tolerated: 1.2, Unacceptable: 1.2},
		{Tolerated: math.NaN(), Unacceptable: 2}, {Tolerated: 1.2, Unacceptable: math.Inf(1)},
	} {
		if _, err := NewComparison(tolerances, 1); err == nil {
			t.Errorf("%+v", tolerances)
		}
	}
}

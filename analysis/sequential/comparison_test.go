package sequential

import (
	"encoding/json"
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

// TestBurstsGainNothing sums over all outcomes of two negative binomial counts, with
// whatever error rate: the tempered evidence is worth at most 1.
func TestBurstsGainNothing(t *testing.T) {
	const n = 10_000_000
	for _, dispersion := range []float64{1.05, 1.5, 3, 5} {
		for _, weight := range []float64{0.01, 0.1, 0.5} {
			for _, mean := range []float64{0.5, 5} { // bad requests of both
				canary, stable := math.Round(n*weight), math.Round(n*(1-weight))
				const null = 1.2
				theta := null * canary / (null*canary + stable)
				pc, ps := negativeBinomial(mean*theta, dispersion), negativeBinomial(mean*(1-theta), dispersion)
				var worth [len(alternatives)]float64
				for xc, a := range pc {
					for xs, b := range ps {
						var against [len(alternatives)]float64
						var pass [len(passAlternatives)]float64
						w := Window{Canary: Counts{int64(canary), int64(xc)}, Stable: Counts{int64(stable), int64(xs)}}
						increments(w, DefaultTolerances(), dispersion, &against, &pass)
						for g := range worth {
							worth[g] += a * b * math.Exp(against[g])
						}
					}
				}
				for g, e := range worth {
					if e > 1+1e-4 {
						t.Errorf("dispersion %v, weight %v, mean %v: worth %v at %v", dispersion, weight, mean, e, alternatives[g])
					}
				}
			}
		}
	}
}

// negativeBinomial has the probabilities of 0, 1, 2, ... while they matter.
func negativeBinomial(mean, dispersion float64) []float64 {
	r := mean / (dispersion - 1)
	q := 1 - 1/dispersion
	lr, _ := math.Lgamma(r)
	var p []float64
	for x := 0.0; x < 200; x++ {
		a, _ := math.Lgamma(x + r)
		b, _ := math.Lgamma(x + 1)
		v := math.Exp(a - b - lr + r*math.Log(1-q) + x*math.Log(q))
		p = append(p, v)
		if x > mean && v < 1e-12 {
			break
		}
	}
	return p
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

// TestRestoredStateGoesOnIdentically writes and reads the state after every window.
func TestRestoredStateGoesOnIdentically(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.IntRange(1, 5).Draw(t, "steps")
		kept := newComparison(t, steps)
		restored := kept
		roundTrip(t, &restored)
		keptBursts, restoredBursts := NewDispersion(), NewDispersion()
		for range rapid.IntRange(1, 12).Draw(t, "windows") {
			w, restart := drawMargins(t, 5000), rapid.Bool().Draw(t, "restart")
			if restart {
				kept.Restart()
			}
			if err := kept.Observe(w, keptBursts.Bound()); err != nil {
				t.Fatal(err)
			}
			if err := keptBursts.Observe(w.Stable, w.Canary); err != nil {
				t.Fatal(err)
			}
			roundTrip(t, &restored)
			roundTrip(t, &restoredBursts)
			if err := errors.Join(restored.Check(), restoredBursts.Check()); err != nil {
				t.Fatal(err)
			}
			if restart {
				restored.Restart()
			}
			if err := restored.Observe(w, restoredBursts.Bound()); err != nil {
				t.Fatal(err)
			}
			if err := restoredBursts.Observe(w.Stable, w.Canary); err != nil {
				t.Fatal(err)
			}
			if kept.LogE() != restored.LogE() || kept.LogPass() != restored.LogPass() {
				t.Fatalf("%v and %v", kept.LogE(), restored.LogE())
			}
		}
		if diff := cmp.Diff(kept, restored); diff != "" {
			t.Fatal(diff)
		}
	})
}

func roundTrip[T any](t tester, state *T) {
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var read T
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	*state = read
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

func TestDamagedStateIsRefused(t *testing.T) {
	for name, damage := range map[string]func(*Comparison){
		"version":      func(c *Comparison) { c.Version = 2 },
		"no rows":      func(c *Comparison) { c.Restarts = nil },
		"short row":    func(c *Comparison) { c.Restarts[0] = c.Restarts[0][:3] },
		"not a number": func(c *Comparison) { c.Restarts[0][1] = math.NaN() },
		"infinite":     func(c *Comparison) { c.Passing[0] = math.Inf(1) },
		"pass":         func(c *Comparison) { c.Passing = nil },
		"steps":        func(c *Comparison) { c.Steps = 0 },
		"tolerances":   func(c *Comparison) { c.Tolerances.Tolerated = 0 },
		"counts":       func(c *Comparison) { c.Canary.Bad = 1 },
	} {
		c := newComparison(t, 3)
		damage(&c)
		if err := c.Check(); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
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

// FuzzComparison looks for counts that break anything.
func FuzzComparison(f *testing.F) {
	f.Add(int64(100), int64(3), int64(1000), int64(10), 1.5)
	f.Add(int64(1e9), int64(1e9), int64(1e9), int64(0), 1.0)
	f.Add(int64(1), int64(1), int64(1e12), int64(1e12), math.Inf(1))
	f.Fuzz(func(t *testing.T, nc, xc, ns, xs int64, dispersion float64) {
		c, o := newComparison(t, 2), NewOddsInterval()
		w := Window{Canary: Counts{nc, xc}, Stable: Counts{ns, xs}}
		err := c.Observe(w, dispersion)
		if other := o.Observe(w, dispersion); (err == nil) != (other == nil) {
			t.Fatalf("%v, %v", err, other)
		}
		requireSound(t, &c, &o)
		traffic := Traffic{CanaryPerSecond: float64(nc), StablePerSecond: float64(ns)}
		for _, next := range []Forecast{c.ForecastPass(0.05, dispersion, traffic), c.ForecastRollBack(0.01, dispersion, traffic)} {
			if !(next.Requests >= 0) || math.IsInf(next.Requests, 0) || next.After < 0 {
				t.Fatalf("%+v", next)
			}
		}
		_, _ = c.Seen("error", 0.01, &o), c.Missing(0.01, 0.05, dispersion, traffic)
	})
}

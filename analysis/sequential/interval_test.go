package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// draw is the number of n requests that are bad.
func draw(random *rand.Rand, n int64, p float64) int64 {
	x := int64(0)
	for range n {
		if random.Float64() < p {
			x++
		}
	}
	return x
}

func oddsOf(p, odds float64) float64 { return odds * p / (1 - p + odds*p) }

// TestIntervalsHoldTheTruthAllTheTime: not only at the end, but after every window.
func TestIntervalsHoldTheTruthAllTheTime(t *testing.T) {
	const releases, alpha = 250, 0.1
	for _, truth := range []float64{0.5, 1, 3.3} {
		random := rand.New(rand.NewPCG(3, uint64(truth*10)))
		missed := 0
		for range releases {
			o, ok := NewOddsInterval(), true
			for i := range 40 {
				base := 0.05 + 0.1*float64(i%3)
				w := Window{
					Canary: Counts{100, draw(random, 100, oddsOf(base, truth))},
					Stable: Counts{300, draw(random, 300, base)},
				}
				if err := o.Observe(w, 1); err != nil {
					t.Fatal(err)
				}
				low, high := o.Interval(alpha)
				ok = ok && low <= truth && truth <= high
			}
			if !ok {
				missed++
			}
		}
		if rate := float64(missed) / releases; rate > alpha+3*math.Sqrt(alpha*(1-alpha)/releases) {
			t.Errorf("odds %v: missed in %v of releases", truth, rate)
		}
	}
}

func TestIntervalsClose(t *testing.T) {
	o := NewOddsInterval()
	if low, high := o.Interval(0.05); low != 0 || !math.IsInf(high, 1) {
		t.Errorf("knows %v to %v from nothing", low, high)
	}
	width := math.Inf(1)
	for range 6 {
		if err := o.Observe(Window{Canary: Counts{10_000, 300}, Stable: Counts{10_000, 100}}, 1); err != nil {
			t.Fatal(err)
		}
		low, high := o.Interval(0.05)
		if low > 3.06 || high < 3.06 || high/low >= width {
			t.Errorf("from %v to %v", low, high)
		}
		width = high / low
	}
	if width > 1.5 {
		t.Errorf("still %v wide", width)
	}
}

// TestIntervalEndsAreRoundedOutwards compares with the ends found on likelihoods
// between the points of the grid.
func TestIntervalEndsAreRoundedOutwards(t *testing.T) {
	w := Window{Canary: Counts{5000, 37}, Stable: Counts{7000, 21}}
	o := NewOddsInterval()
	if err := o.Observe(w, 1); err != nil {
		t.Fatal(err)
	}
	h := newHypergeometric(w)
	limit := logSumExp(o.LogLikelihood) - math.Log(gridSize) + math.Log(0.05)
	above := func(log float64) bool {
		return h.logTerm(37)+37*log-h.logNorm(math.Exp(log)) > limit
	}
	find := func(in, out float64) float64 {
		for range 60 {
			if mid := (in + out) / 2; above(mid) {
				in = mid
			} else {
				out = mid
			}
		}
		return math.Exp(in)
	}
	low, high := o.Interval(0.05)
	trueLow, trueHigh := find(math.Log(2.5), math.Log(0.1)), find(math.Log(2.5), math.Log(100))
	if low > trueLow || high < trueHigh {
		t.Errorf("from %v to %v, is from %v to %v", low, high, trueLow, trueHigh)
	}
	if trueLow/low > 1.02 || high/trueHigh > 1.02 {
		t.Errorf("from %v to %v is too wide for %v to %v", low, high, trueLow, trueHigh)
	}
}

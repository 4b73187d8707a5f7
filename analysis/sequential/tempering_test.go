package sequential

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestExponentKeepsExpectationsBelowOne checks the condition that makes a tempered
// ratio valid for bursts, and that no larger exponent would do.
func TestExponentKeepsExpectationsBelowOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nc := rapid.Float64Range(1, 1e6).Draw(t, "canary")
		ns := rapid.Float64Range(1, 1e6).Draw(t, "stable")
		odds := rapid.Float64Range(0.5, 3).Draw(t, "odds")
		alternative := odds * rapid.SampledFrom([]float64{0.3, 0.5, 0.9, 1.5, 3, 10, 100}).Draw(t, "g")
		dispersion := 1 + math.Exp(rapid.Float64Range(-7, 5).Draw(t, "log delta"))

		e := exponent(nc, ns, odds, alternative, dispersion)
		if e <= 0 || e > 1 {
			t.Fatalf("exponent %v", e)
		}
		theta := odds * nc / (odds*nc + ns)
		b := math.Log((odds*nc + ns) / (alternative*nc + ns))
		a := math.Log(alternative/odds) + b
		f := func(e float64) float64 {
			ka, _ := kappa(e*a, dispersion-1)
			kb, _ := kappa(e*b, dispersion-1)
			return theta*ka + (1-theta)*kb
		}
		if v := f(e); v > 1e-12 {
			t.Fatalf("log expectation %v at exponent %v", v, e)
		}
		if atLimit := e*max(a, b) > 0.999*largestArgument(dispersion-1); e < 0.999 && !atLimit && f(e*1.001) <= 0 {
			t.Fatalf("exponent %v could be larger", e)
		}
	})
}

func TestExponentWithoutBursts(t *testing.T) {
	for _, dispersion := range []float64{1, 0.5, 1 + 1e-14} {
		if e := exponent(10, 990, 1.2, 12, dispersion); math.Abs(e-1) > 1e-6 {
			t.Errorf("dispersion %v: exponent %v", dispersion, e)
		}
	}
}

func TestExponentFallsWithDispersion(t *testing.T) {
	last := 1.0
	for _, d := range []float64{1, 1.01, 1.1, 1.5, 2, 5, 20, 1000} {
		e := exponent(10, 990, 1.2, 24, d)
		if e > last || e <= 0 {
			t.Errorf("dispersion %v: %v after %v", d, e, last)
		}
		last = e
	}
}

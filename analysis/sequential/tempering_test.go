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

// logarithmic, geometric and fixed are sizes of bursts with a given dispersion, which
// is the mean of their squares divided by their mean.
func logarithmic(dispersion float64) func(size int) float64 {
	q := 1 - 1/dispersion
	return func(size int) float64 { return -math.Pow(q, float64(size)) / float64(size) / math.Log(1-q) }
}

func geometric(dispersion float64) func(size int) float64 {
	p := 2 / (dispersion + 1)
	return func(size int) float64 { return p * math.Pow(1-p, float64(size-1)) }
}

func fixed(dispersion float64) func(size int) float64 {
	return func(size int) float64 {
		if float64(size) == dispersion {
			return 1
		}
		return 0
	}
}

// compound has the probabilities of 0, 1, 2, ... bad requests while they matter, by
// Panjer's recursion.
func compound(mean float64, size func(int) float64) []float64 {
	const most = 150
	average := 0.0
	for i := 1; i <= 10*most; i++ {
		average += float64(i) * size(i)
	}
	causes := mean / average
	p := []float64{math.Exp(-causes)}
	for n := 1; n < most; n++ {
		sum := 0.0
		for i := 1; i <= n; i++ {
			sum += float64(i) * size(i) * p[n-i]
		}
		p = append(p, causes/float64(n)*sum)
		if float64(n) > mean+10 && p[n] < 1e-11 && p[n-1] < 1e-11 && p[n-2] < 1e-11 {
			break
		}
	}
	return p
}

// TestBurstsGainNothing sums over all outcomes of the bad requests of both arms, with
// different error rates and sizes of bursts: tempered evidence is worth at most 1. The
// exact distribution of few bad requests among ten million is left out: hence 1e-4.
func TestBurstsGainNothing(t *testing.T) {
	for _, c := range []struct {
		name       string
		size       func(float64) func(int) float64
		dispersion float64
	}{
		{"logarithmic", logarithmic, 1.05},
		{"logarithmic", logarithmic, 3},
		{"logarithmic", logarithmic, 5},
		{"geometric", geometric, 5},
		{"fixed", fixed, 3},
	} {
		for _, weight := range []float64{0.01, 0.1, 0.5} {
			for _, mean := range []float64{0.5, 5} { // bad requests of both
				for g, e := range worthOfBursts(weight, mean, c.dispersion, c.size(c.dispersion)) {
					if e > 1+1e-4 {
						t.Errorf("%s %v, weight %v, mean %v: worth %v at %v", c.name, c.dispersion, weight, mean, e, alternatives[g])
					}
				}
			}
		}
	}
}

func worthOfBursts(weight, mean, dispersion float64, size func(int) float64) (worth [len(alternatives)]float64) {
	const n, null = 10_000_000, 1.2
	canary, stable := math.Round(n*weight), math.Round(n*(1-weight))
	theta := null * canary / (null*canary + stable)
	for xc, a := range compound(mean*theta, size) {
		for xs, b := range compound(mean*(1-theta), size) {
			var against [len(alternatives)]float64
			var pass [len(passAlternatives)]float64
			w := Window{Canary: Counts{int64(canary), int64(xc)}, Stable: Counts{int64(stable), int64(xs)}}
			increments(w, DefaultTolerances(), dispersion, &against, &pass)
			for g := range worth {
				worth[g] += a * b * math.Exp(against[g])
			}
		}
	}
	return worth
}

package sequential

import (
	"math"
	"testing"
)

// sums turns a sum and its intrinsic time into counts of bad and good.
func sums(m *betaBinomial, s, v float64) (bad, good float64) {
	n := v / (m.g * m.h)
	bad = (s + m.g*n) / (m.g + m.h)
	return bad, n - bad
}

// TestBetaBinomialAgreesWithConfseq checks the figures that the authors' own library
// has in its tests: tuned to v = 100 and alpha = 0.05, values at (10, 100), and the
// sum at v = 100 at which the evidence is 20.
func TestBetaBinomialAgreesWithConfseq(t *testing.T) {
	for _, c := range []struct {
		oneSided     bool
		value, bound float64
	}{
		{false, -0.6941012, 31.4308},
		{true, -0.07134019, 28.41238},
	} {
		m := newBetaBinomial(0.2, 0.8, bestRho(100, 0.05, c.oneSided), c.oneSided)
		at := func(s float64) float64 {
			bad, good := sums(&m, s, 100)
			return m.logMixture(bad, good)
		}
		if got := at(10); math.Abs(got-c.value) > 1e-6 {
			t.Errorf("one-sided %v: %.8f, want %.8f", c.oneSided, got, c.value)
		}
		low, high := 0.0, 100.0
		for range 100 {
			if mid := (low + high) / 2; at(mid) < math.Log(20) {
				low = mid
			} else {
				high = mid
			}
		}
		if math.Abs(low-c.bound) > 1e-4 {
			t.Errorf("one-sided %v: bound %.5f, want %.5f", c.oneSided, low, c.bound)
		}
	}
}

func TestBestRhoAgreesWithConfseq(t *testing.T) {
	if got := bestRho(100, 0.05, false); math.Abs(got-12.60056) > 1e-5 {
		t.Errorf("%.6f", got)
	}
}

// TestUpperBeta compares with integrals taken in 40 digits.
func TestUpperBeta(t *testing.T) {
	for _, c := range upperBetaCases {
		if got := logUpperBeta(c.a, c.b, c.p0); math.Abs(got-c.want) > 1e-9*(1+math.Abs(c.want)) {
			t.Errorf("%+v: %.15g", c, got)
		}
	}
}

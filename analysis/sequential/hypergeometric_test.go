package sequential

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactLogRatio is the same quantity in rational arithmetic, term by term.
func exactLogRatio(w Window, odds, alternative int64) float64 {
	k := w.Canary.Bad + w.Stable.Bad
	norm := func(o int64) *big.Int {
		sum := new(big.Int)
		for y := max(0, k-w.Stable.Total); y <= min(k, w.Canary.Total); y++ {
			t := new(big.Int).Binomial(w.Canary.Total, y)
			t.Mul(t, new(big.Int).Binomial(w.Stable.Total, k-y))
			t.Mul(t, new(big.Int).Exp(big.NewInt(o), big.NewInt(y), nil))
			sum.Add(sum, t)
		}
		return sum
	}
	logOf := func(v *big.Int) float64 {
		f := new(big.Float).SetPrec(200).SetInt(v)
		mantissa := new(big.Float)
		exp := f.MantExp(mantissa)
		m, _ := mantissa.Float64()
		return math.Log(m) + float64(exp)*math.Ln2
	}
	x := float64(w.Canary.Bad)
	return x*math.Log(float64(alternative)/float64(odds)) - logOf(norm(alternative)) + logOf(norm(odds))
}

func logRatio(w Window, odds, alternative float64) float64 {
	h := newHypergeometric(w)
	out := []float64{0}
	h.logRatios(float64(w.Canary.Bad), odds, []float64{alternative}, out)
	return out[0]
}

func TestLogRatiosAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nc, ns := rapid.Int64Range(0, 300).Draw(t, "nc"), rapid.Int64Range(0, 300).Draw(t, "ns")
		w := Window{
			Canary: Counts{Total: nc, Bad: rapid.Int64Range(0, nc).Draw(t, "xc")},
			Stable: Counts{Total: ns, Bad: rapid.Int64Range(0, ns).Draw(t, "xs")},
		}
		odds, alternative := rapid.Int64Range(1, 5).Draw(t, "odds"), rapid.Int64Range(1, 200).Draw(t, "alternative")
		got, want := logRatio(w, float64(odds), float64(alternative)), exactLogRatio(w, odds, alternative)
		if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
			t.Fatalf("%+v odds %d against %d: %v, want %v", w, odds, alternative, got, want)
		}
	})
}

// TestLogRatiosOfLargeCounts compares with sums of all terms in 40 digits. The
// second half has distributions so wide that not every term is summed.
func TestLogRatiosOfLargeCounts(t *testing.T) {
	for _, c := range largeCountCases {
		w := Window{Canary: Counts{c.nc, c.xc}, Stable: Counts{c.ns, c.xs}}
		got := logRatio(w, c.odds, c.alternative)
		if math.Abs(got-c.want) > 1e-9*(1+math.Abs(c.want)) {
			t.Errorf("%+v %v against %v: %.15g, want %.15g", w, c.odds, c.alternative, got, c.want)
		}
	}
}

// TestStridesAgreeWithAllTerms sums both ways where both can be done.
func TestStridesAgreeWithAllTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nc, ns := rapid.Int64Range(50_000, 1_000_000).Draw(t, "nc"), rapid.Int64Range(50_000, 1_000_000).Draw(t, "ns")
		w := Window{Canary: Counts{nc, rapid.Int64Range(15_000, 40_000).Draw(t, "xc")}, Stable: Counts{ns, rapid.Int64Range(15_000, 40_000).Draw(t, "xs")}}
		odds := rapid.Float64Range(0.5, 20).Draw(t, "odds")
		h := newHypergeometric(w)
		m := h.mode(odds)
		all := 1 + h.sumUp(m, odds) + h.sumDown(m, odds)
		stride := math.Floor(h.deviation(m) / 3)
		got := stride * h.stridedSum(m, stride, math.Log(odds))
		if math.Abs(got/all-1) > 1e-10 {
			t.Fatalf("%+v odds %v: %v by strides, %v by all", w, odds, got, all)
		}
	})
}

func TestCertainWindowsSayNothing(t *testing.T) {
	for _, w := range []Window{
		{},
		{Canary: Counts{10, 3}},
		{Stable: Counts{10, 3}},
		{Canary: Counts{10, 0}, Stable: Counts{1000, 0}},
		{Canary: Counts{10, 10}, Stable: Counts{1000, 1000}},
	} {
		if got := logRatio(w, 1.2, 12); got != 0 {
			t.Errorf("%+v: %v", w, got)
		}
	}
}

// TestMeansAreBracketed checks the bounds that the proofs in docs/statistics.md rest
// on: for odds >= 1 the mean is between Cornfield's root and the binomial mean.
func TestMeansAreBracketed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nc, ns := rapid.Int64Range(1, 80).Draw(t, "nc"), rapid.Int64Range(1, 80).Draw(t, "ns")
		k := rapid.Int64Range(1, nc+ns-1).Draw(t, "k")
		odds := rapid.Float64Range(1, 50).Draw(t, "odds")
		xc := min(k, nc)
		h := newHypergeometric(Window{Canary: Counts{nc, xc}, Stable: Counts{ns, k - xc}})
		norm := h.logNorm(odds)
		mean := 0.0
		for y := h.lo; y <= h.hi; y++ {
			mean += y * math.Exp(h.logTerm(y)+y*math.Log(odds)-norm)
		}
		binomial := h.k * h.nc * odds / (h.nc*odds + h.ns)
		b := odds*(h.nc+h.k) + h.ns - h.k
		cornfield := 2 * odds * h.nc * h.k / (b + math.Sqrt(b*b-4*(odds-1)*odds*h.nc*h.k))
		if mean > binomial*(1+1e-9) || mean < cornfield*(1-1e-9) {
			t.Fatalf("mean %v is not between %v and %v", mean, cornfield, binomial)
		}
	})
}

package sequential

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// permutationP counts all ways to choose the canary's pods.
func permutationP(canary, stable []float64) float64 {
	all := slices.Concat(canary, stable)
	u := func(chosen uint) float64 {
		sum := 0.0
		for i, x := range all {
			if chosen>>i&1 == 0 {
				continue
			}
			for j, y := range all {
				if chosen>>j&1 == 1 {
					continue
				}
				if x > y {
					sum++
				} else if x == y {
					sum += 0.5
				}
			}
		}
		return sum
	}
	observed, as, ways := u(1<<len(canary)-1), 0.0, 0.0
	for chosen := range uint(1) << len(all) {
		n := 0
		for i := range all {
			n += int(chosen >> i & 1)
		}
		if n != len(canary) {
			continue
		}
		ways++
		if u(chosen) >= observed {
			as++
		}
	}
	return as / ways
}

func TestRankSumsAreExactWithTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Map(rapid.IntRange(0, 4), func(i int) float64 { return float64(i) })
		canary := rapid.SliceOfN(value, 1, 4).Draw(t, "canary")
		stable := rapid.SliceOfN(value, 1, 5).Draw(t, "stable")
		got := CompareGauges(canary, stable, GaugeTest{Alpha: 0.05})
		if want := permutationP(canary, stable); math.Abs(got.P-want) > 1e-12 {
			t.Fatalf("%v, want %v", got.P, want)
		}
	})
}

func TestNormalApproximationIsClose(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var canary, stable []float64
	for range 15 {
		canary = append(canary, random.NormFloat64()+0.8)
		stable = append(stable, random.NormFloat64())
	}
	ranks := doubledRanks(canary, stable)
	exact, _ := exactRankSum(ranks, 15)
	normal, _ := normalRankSum(ranks, 15)
	if math.Abs(normal/exact-1) > 0.15 {
		t.Errorf("%v, exactly %v", normal, exact)
	}
}

func TestOnePodCannotConvinceAgainstNine(t *testing.T) {
	stable := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	r := CompareGauges([]float64{1000}, stable, GaugeTest{Alpha: 0.05, Effect: DefaultEffect})
	if r.Worse || r.LeastP != 0.1 || r.P != 0.1 || r.Delta != 1 || r.Shift != 995 {
		t.Errorf("%+v", r)
	}
}

func TestGaugesNeedAllThree(t *testing.T) {
	low, high := []float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{11, 12, 13, 14, 15, 16, 17, 18}
	for _, c := range []struct {
		name           string
		canary, stable []float64
		test           GaugeTest
		want           bool
	}{
		{"more", high, low, GaugeTest{0.001, 5, 0.33}, true},
		{"too little more", high, low, GaugeTest{0.001, 11, 0.33}, false},
		{"too strict", high, low, GaugeTest{1e-6, 5, 0.33}, false},
		{"less", low, high, GaugeTest{0.05, 0, 0.33}, false},
		{"equal", low, low, GaugeTest{0.9, 0, 0}, false},
		{"nothing", nil, low, GaugeTest{1, 0, 0}, false},
		{"not numbers", []float64{math.NaN(), math.Inf(1)}, low, GaugeTest{1, 0, 0}, false},
	} {
		if r := CompareGauges(c.canary, c.stable, c.test); r.Worse != c.want {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestGaugesAreAlwaysFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64(), 0, 60)
		r := CompareGauges(values.Draw(t, "canary"), values.Draw(t, "stable"), GaugeTest{0.05, 0, 0.33})
		if !(r.P > 0 && r.P <= 1+1e-12) || !(r.LeastP <= 1) || math.IsNaN(r.Shift) || math.IsInf(r.Shift, 0) || !(math.Abs(r.Delta) <= 1) {
			t.Fatalf("%+v", r)
		}
	})
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		want    float64
		ok      bool
	}{
		{nil, 0, false},
		{[]float64{math.NaN()}, 0, false},
		{[]float64{3, math.Inf(1), 1}, 2, true},
		{[]float64{3, 1, 2}, 2, true},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, math.MaxFloat64, true},
	} {
		if got, ok := Median(c.samples); got != c.want || ok != c.ok {
			t.Errorf("%v: %v, %v", c.samples, got, ok)
		}
	}
}

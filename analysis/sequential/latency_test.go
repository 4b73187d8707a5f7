package sequential

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newHistogram(t tester, le []float64, below []int64) Histogram {
	t.Helper()
	h, err := NewHistogram(le, below)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var someBounds = []float64{10, 25, 50, 100, math.Inf(1)}

func TestHistogramsThatAreNone(t *testing.T) {
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		le    []float64
		below []int64
	}{
		"nothing":     {nil, nil},
		"lengths":     {[]float64{1, inf}, []int64{1}},
		"no infinity": {[]float64{1, 2}, []int64{1, 2}},
		"twice":       {[]float64{1, 1, inf}, []int64{1, 1, 2}},
		"two tops":    {[]float64{1, inf, inf}, []int64{1, 2, 3}},
		"falling":     {[]float64{1, 2, inf}, []int64{3, 2, 3}},
		"negative":    {[]float64{1, inf}, []int64{-1, 3}},
		"NaN":         {[]float64{math.NaN(), inf}, []int64{1, 3}},
		"-Inf":        {[]float64{math.Inf(-1), inf}, []int64{1, 3}},
	} {
		if h, err := NewHistogram(c.le, c.below); !errors.Is(err, ErrHistogram) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestChooseBounds(t *testing.T) {
	h := newHistogram(t, []float64{math.Inf(1), 25, 10, 50, 100}, []int64{1000, 700, 400, 950, 990})
	for _, c := range []struct {
		quantiles, objectives, want []float64
	}{
		{[]float64{0.5, 0.9, 0.99}, nil, []float64{25, 50, 100}},
		{[]float64{0.5, 0.6}, []float64{10}, []float64{10, 25}},
		{[]float64{0.9999}, nil, []float64{100}},
		{nil, []float64{50}, []float64{50}},
	} {
		got, err := ChooseBounds(h, c.quantiles, c.objectives)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v %v: %v, %v", c.quantiles, c.objectives, got, err)
		}
	}
	if _, err := ChooseBounds(h, nil, []float64{30}); !errors.Is(err, ErrBounds) {
		t.Error(err)
	}
	if _, err := ChooseBounds(h, []float64{1}, nil); err == nil {
		t.Error("quantile 1")
	}
	empty := newHistogram(t, someBounds, []int64{0, 0, 0, 0, 0})
	if _, err := ChooseBounds(empty, []float64{0.5}, nil); !errors.Is(err, ErrHistogram) {
		t.Error(err)
	}
}

func TestLatencyFindsSlowRequests(t *testing.T) {
	l, err := NewLatency([]float64{25, 50, 100}, DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	stable := newHistogram(t, someBounds, []int64{200, 500, 900, 990, 1000})
	slower := newHistogram(t, someBounds, []int64{200, 490, 880, 950, 1000}) // in the tail alone
	for range 60 {
		if err := l.ObserveHalves(stable, stable); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		if err := l.Observe(stable, stable); err != nil {
			t.Fatal(err)
		}
	}
	if l.Worse(0.01) {
		t.Fatalf("p %v", l.P())
	}
	for range 8 {
		if err := l.Observe(slower, stable); err != nil {
			t.Fatal(err)
		}
	}
	if !l.Worse(0.01) || l.Leading() != 2 || l.Passes(0.05) {
		t.Errorf("p %v at bound %d", l.P(), l.Leading())
	}
	for got, want := range map[string]string{
		l.Seen("request", " ms", 0.01, nil):    "canary 3.1x stable's odds of a request over 100 ms, 480/16,000 against 160/16,000; p = 9e-19 < 0.01",
		l.Missing(0.01, 0.05, Traffic{10, 10}): "nothing: the canary is worse",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	restored := l
	roundTrip(t, &restored)
	if err := restored.Check(); err != nil || restored.LogE() != l.LogE() || restored.E() != l.E() {
		t.Errorf("%v: %v and %v", err, restored.LogE(), l.LogE())
	}
}

func TestLatencySaysWhatIsMissing(t *testing.T) {
	l, err := NewLatency([]float64{25, 100}, DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l.DispersionLimit = 1
	if got := l.Missing(0.01, 0.05, Traffic{}); got != "needs traffic to the canary" {
		t.Error(got)
	}
	stable := newHistogram(t, someBounds, []int64{200, 500, 900, 990, 1000})
	slower := newHistogram(t, someBounds, []int64{20, 49, 90, 96, 100})
	for i, want := range []string{
		"needs about 1.4k more canary requests at this weight to pass: 2 min",
		"needs about 890 more canary requests at this weight to roll back: 89 s",
	} {
		canary := []Histogram{newHistogram(t, someBounds, []int64{20, 50, 90, 99, 100}), slower}[i]
		for range 3 {
			if err := l.Observe(canary, stable); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.Missing(0.01, 0.05, Traffic{10, 100}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// The bound that takes longest is the one to wait for, and an alpha that is shared
	// takes longer.
	if all, one := l.forecastRollBack(0.01, Traffic{10, 100}), l.Comparisons[1].ForecastRollBack(0.01, 1, Traffic{10, 100}); all.Requests <= one.Requests {
		t.Errorf("%v for a part of alpha, %v for all of it", all, one)
	}
}

func TestLatencyDispersionHasALimit(t *testing.T) {
	l, err := NewLatency([]float64{25}, DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if d := l.Dispersion(0); d != UnknownDispersion() {
		t.Errorf("nothing known: %v", d)
	}
	slow, fast := newHistogram(t, someBounds, []int64{1, 100, 900, 990, 1000}), newHistogram(t, someBounds, []int64{200, 900, 950, 990, 1000})
	for range 5 {
		if err := l.ObserveHalves(slow, fast); err != nil {
			t.Fatal(err)
		}
	}
	if d := l.Dispersion(0); d < 100 {
		t.Errorf("without a limit: %v", d)
	}
	if l.DispersionLimit = 4; l.Dispersion(0) != 4 {
		t.Errorf("with a limit: %v", l.Dispersion(0))
	}
}

// TestFewWindowsAreTrustedLittle holds that the caution of the first windows wears off,
// and is never more than that of knowing nothing.
func TestFewWindowsAreTrustedLittle(t *testing.T) {
	for n, want := range map[int64]float64{0: 1, 5: 3.1, 10: 2.06, 20: 1.61, 50: 1.33, 5760: 1.02} {
		if got := fewWindows(n); math.Abs(got-want) > 0.02*want {
			t.Errorf("%d windows: %v, want %v", n, got, want)
		}
	}
	for n := range int64(1000) {
		if n > 0 && fewWindows(n+1) > fewWindows(n) {
			t.Errorf("%d windows are trusted less than %d", n+1, n)
		}
	}
	l, err := NewLatency([]float64{25}, DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	alike := newHistogram(t, someBounds, []int64{1, 500, 900, 990, 1000})
	for n := range 200 {
		d := l.Dispersion(0)
		if n < 3 && d != UnknownDispersion() || d < 1 || d > UnknownDispersion() {
			t.Errorf("after %d windows without any burst: %v", n, d)
		}
		if err := l.ObserveHalves(alike, alike); err != nil {
			t.Fatal(err)
		}
	}
	if d := l.Dispersion(0); d > 1.2 {
		t.Errorf("after many: %v", d)
	}
}

func TestHistogramsAddUp(t *testing.T) {
	a, b := newHistogram(t, someBounds, []int64{1, 2, 3, 4, 5}), newHistogram(t, someBounds, []int64{0, 1, 1, 1, 7})
	sum, err := a.Plus(b)
	if err != nil || !slices.Equal(sum.Below, []int64{1, 3, 4, 5}) || sum.Total != 12 || a.Total != 5 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := a.Plus(newHistogram(t, []float64{1, math.Inf(1)}, []int64{1, 2})); !errors.Is(err, ErrBounds) {
		t.Error(err)
	}
}

func TestLatencyRefusesOtherBounds(t *testing.T) {
	l, err := NewLatency([]float64{25}, DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a := newHistogram(t, someBounds, []int64{1, 2, 3, 4, 5})
	b := newHistogram(t, []float64{10, 25, 60, math.Inf(1)}, []int64{1, 2, 3, 5})
	c := newHistogram(t, []float64{10, math.Inf(1)}, []int64{1, 5})
	for _, pair := range [][2]Histogram{{a, b}, {b, a}, {c, c}} {
		if err := l.Observe(pair[0], pair[1]); !errors.Is(err, ErrBounds) {
			t.Error(err)
		}
	}
	if l.Comparisons[0].Windows != 0 {
		t.Error("something was added")
	}
	for _, bounds := range [][]float64{nil, {math.NaN()}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		if _, err := NewLatency(bounds, DefaultTolerances(), 1); err == nil {
			t.Errorf("%v", bounds)
		}
	}
}

// countAbove counts observations directly.
func countAbove(values []float64, bound float64) int64 {
	n := int64(0)
	for _, v := range values {
		if v > bound {
			n++
		}
	}
	return n
}

// nativeOf puts values into buckets by definition.
func nativeOf(schema int, values []float64) Native {
	n := Native{Schema: schema, ZeroThreshold: 1e-3}
	counts := map[int]int64{}
	for _, v := range values {
		if v <= n.ZeroThreshold {
			n.Zero++
			continue
		}
		index := int(math.Ceil(math.Log2(v) * math.Exp2(float64(schema))))
		for upper(schema, index-1) >= v {
			index--
		}
		for upper(schema, index) < v {
			index++
		}
		counts[index]++
	}
	for index, count := range counts {
		n.Buckets = append(n.Buckets, NativeBucket{index, count})
	}
	slices.SortFunc(n.Buckets, func(a, b NativeBucket) int { return a.Index - b.Index })
	return n
}

// TestAlignedNativeHistogramsCountRight, at every bound and whatever the schemas.
func TestAlignedNativeHistogramsCountRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 5000), 1, 40)
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		one := nativeOf(rapid.IntRange(minSchema, maxSchema).Draw(t, "schema a"), a)
		other := nativeOf(rapid.IntRange(minSchema, maxSchema).Draw(t, "schema b"), b)
		ha, hb, err := Align(one, other)
		if err != nil {
			t.Fatal(err)
		}
		if !SameBounds(ha, hb) {
			t.Fatalf("%v and %v", ha.Bounds, hb.Bounds)
		}
		for _, bound := range ha.Bounds {
			for _, c := range []struct {
				h      Histogram
				values []float64
			}{{ha, a}, {hb, b}} {
				got, err := c.h.Slow(bound)
				if err != nil || got.Total != int64(len(c.values)) || got.Bad != countAbove(c.values, bound) {
					t.Fatalf("above %v: %+v, %v", bound, got, err)
				}
			}
		}
	})
}

func TestCoarsenedNativeHistogramIsTheCoarseOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0.01, 1e5), 1, 40).Draw(t, "values")
		from := rapid.IntRange(minSchema, maxSchema).Draw(t, "from")
		to := rapid.IntRange(minSchema, from).Draw(t, "to")
		got, err := nativeOf(from, values).Coarsen(to)
		want := nativeOf(to, values)
		if err != nil || !slices.Equal(got.Buckets, want.Buckets) || got.Zero != want.Zero {
			t.Fatalf("%+v, want %+v, %v", got, want, err)
		}
	})
}

func TestNativeHistogramsKeepBounds(t *testing.T) {
	a := nativeOf(0, []float64{1, 3, 3, 70})
	b := nativeOf(2, []float64{1.1, 5, 5})
	ha, _, err := Align(a, b, 16)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ha.Slow(16); err != nil || got != (Counts{4, 1}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, inside := range []float64{3, 100, 0, math.NaN()} {
		if _, _, err := Align(a, b, inside); !errors.Is(err, ErrBounds) {
			t.Errorf("%v: %v", inside, err)
		}
	}
	if _, err := a.Coarsen(1); !errors.Is(err, ErrBounds) {
		t.Error(err)
	}
	wide := Native{Schema: 0, ZeroThreshold: 3, Zero: 2, Buckets: []NativeBucket{{4, 1}}}
	hw, ha, err := Align(wide, a)
	if err != nil || !SameBounds(hw, ha) || ha.Bounds[0] != 4 || ha.Below[0] != 3 || hw.Below[0] != 2 {
		t.Errorf("%+v %+v %v", hw, ha, err)
	}
	for name, n := range map[string]Native{
		"schema":     {Schema: 9},
		"descending": {Buckets: []NativeBucket{{2, 1}, {1, 1}}},
		"negative":   {Buckets: []NativeBucket{{2, -1}}},
		"zero":       {ZeroThreshold: math.NaN()},
	} {
		if _, err := n.Coarsen(-4); !errors.Is(err, ErrHistogram) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package sequential

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newLevel(t tester, limit float64, steps int) Level {
	t.Helper()
	l, err := NewLevel(limit, 2*limit, steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLevelAlarmsStayBelowAlpha(t *testing.T) {
	const releases, alpha, limit = 2000, 0.1, 0.02
	random := rand.New(rand.NewPCG(9, 1))
	alarms := 0
	for range releases {
		l := newLevel(t, limit, 3)
		for i := range 60 {
			if i%20 == 0 {
				l.Restart()
			}
			if err := l.Observe(Counts{100, draw(random, 100, limit)}, 1); err != nil {
				t.Fatal(err)
			}
		}
		if l.Worse(alpha) {
			alarms++
		}
	}
	rate := float64(alarms) / releases
	if rate > alpha+3*math.Sqrt(alpha*(1-alpha)/releases) || rate == 0 {
		t.Errorf("%v of releases had a false alarm", rate)
	}
}

// TestLevelIsWorthOneAtItsLimit sums over all outcomes.
func TestLevelIsWorthOneAtItsLimit(t *testing.T) {
	for _, limit := range []float64{0.0005, 0.01, 0.3} {
		for _, n := range []int64{1, 50, 400} {
			for _, truth := range []float64{limit, limit / 2} {
				sum := 0.0
				for x := int64(0); x <= n; x++ {
					l := newLevel(t, limit, 1)
					if err := l.Observe(Counts{n, x}, 1); err != nil {
						t.Fatal(err)
					}
					sum += math.Exp(logBinomial(float64(x), float64(n), truth, 1-truth) + l.LogE())
				}
				if sum > 1+1e-9 || truth == limit && sum < 1-1e-9 {
					t.Errorf("limit %v, %d requests at %v: worth %v", limit, n, truth, sum)
				}
			}
		}
	}
}

func TestLevelFindsWhatIsTooMuch(t *testing.T) {
	l := newLevel(t, 0.001, 1)
	for range 10 {
		if err := l.Observe(Counts{1000, 6}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if !l.Worse(0.01) || l.Passes(0.05) {
		t.Errorf("p %v, pass %v", l.P(), l.LogPass())
	}
	l = newLevel(t, 0.001, 1)
	if l.Passes(0.05) || l.E() != 1 {
		t.Errorf("E %v, pass %v from nothing", l.E(), l.LogPass())
	}
	if err := l.Observe(Counts{20_000, 5}, 1); err != nil {
		t.Fatal(err)
	}
	if l.Worse(0.01) || !l.Passes(0.05) {
		t.Errorf("p %v, pass %v", l.P(), l.LogPass())
	}
}

func TestLevelIsAlwaysFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]float64{1e-9, 1e-3, 0.2, 0.49}).Draw(t, "limit")
		kept := newLevel(t, limit, rapid.IntRange(1, 4).Draw(t, "steps"))
		restored := kept
		roundTrip(t, &restored)
		for range rapid.IntRange(1, 4).Draw(t, "windows") {
			c, dispersion := drawWindow(t).Canary, rapid.SampledFrom([]float64{1, 7, math.NaN()}).Draw(t, "dispersion")
			for _, l := range []*Level{&kept, &restored} {
				if err := l.Observe(c, dispersion); err != nil {
					t.Fatal(err)
				}
				l.Restart()
			}
			roundTrip(t, &restored)
			if err := restored.Check(); err != nil {
				t.Fatal(err)
			}
			e, p := kept.E(), kept.P()
			if !(e >= 0 && e <= math.MaxFloat64 && p >= 0 && p <= 1) || math.IsNaN(kept.LogPass()) {
				t.Fatalf("E %v, p %v, pass %v", e, p, kept.LogPass())
			}
			if kept.LogE() != restored.LogE() {
				t.Fatalf("%v and %v", kept.LogE(), restored.LogE())
			}
		}
	})
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	for _, c := range [][2]float64{{0, 0.1}, {0.2, 0.1}, {0.1, 1}, {math.NaN(), 0.1}, {-1, 0.5}} {
		if _, err := NewLevel(c[0], c[1], 1); err == nil {
			t.Errorf("%v", c)
		}
	}
	for _, c := range [][2]float64{{14.4, 1}, {14.4, 0.9}, {0, 0.999}, {math.Inf(1), 0.999}} {
		if _, err := NewBurn(c[0], c[1], 1); err == nil {
			t.Errorf("burn %v", c)
		}
	}
}

func TestBurnNeedsEvidenceAndBothWindows(t *testing.T) {
	b, err := NewBurn(14.4, 0.999, 1)
	if err != nil {
		t.Fatal(err)
	}
	bad, well := Counts{1000, 30}, Counts{1000, 1}
	if b.Worse(0.01, bad, bad) {
		t.Error("without evidence")
	}
	for range 20 {
		if err := b.Level.Observe(bad, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		long, short Counts
		want        bool
	}{{bad, bad, true}, {bad, well, false}, {well, bad, false}, {bad, Counts{}, false}, {bad, Counts{1, 2}, false}} {
		if got := b.Worse(0.01, c.long, c.short); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	restored := b
	roundTrip(t, &restored)
	if err := restored.Check(); err != nil || restored.Level.LogE() != b.Level.LogE() {
		t.Error(err)
	}
	restored.Rate = -1
	if err := restored.Check(); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

func TestBurnWindowsSeeNothingFromBeforeTheStep(t *testing.T) {
	for _, c := range []struct{ length, age, want time.Duration }{
		{time.Hour, 5 * time.Minute, 5 * time.Minute},
		{time.Minute, 5 * time.Minute, time.Minute},
		{time.Minute, -time.Second, 0},
	} {
		if got := BurnWindow(c.length, c.age); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestFamily(t *testing.T) {
	f := NewFamily()
	terms := []Term{{"errors", 0.5, 0}, {"latency", 0.5, math.Log(300)}}
	if err := f.Observe(terms); err != nil {
		t.Fatal(err)
	}
	if !f.RollBack(0.01) || f.Leading != "latency" || math.Abs(f.E()-150.5) > 1e-9 {
		t.Errorf("%+v", f)
	}
	terms[1].LogE = 0
	if err := f.Observe(terms); err != nil {
		t.Fatal(err)
	}
	if !f.RollBack(0.01) || f.Leading != "latency" || math.Abs(f.E()-1) > 1e-9 || math.Abs(f.P()-1/150.5) > 1e-9 {
		t.Errorf("forgot: %+v", f)
	}
	for name, bad := range map[string][]Term{
		"too much":     {{"a", 0.6, 0}, {"b", 0.6, 0}},
		"negative":     {{"a", -0.5, 0}},
		"nothing":      {{"a", 0, 0}},
		"not a number": {{"a", math.NaN(), 0}},
	} {
		if err := f.Observe(bad); !errors.Is(err, ErrWeights) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Observe([]Term{{"a", 0.5, math.Inf(1)}}); !errors.Is(err, ErrState) {
		t.Error(err)
	}
	empty := NewFamily()
	if err := empty.Observe(nil); err != nil || empty.E() != 1 || empty.P() != 1 {
		t.Errorf("%v, %+v", err, empty)
	}
	if err := empty.Observe([]Term{{"a", EqualWeight(4), math.Log(5)}}); err != nil || math.Abs(empty.E()-2) > 1e-9 {
		t.Errorf("%v, %+v", err, empty)
	}
}

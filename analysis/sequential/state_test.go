package sequential

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

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

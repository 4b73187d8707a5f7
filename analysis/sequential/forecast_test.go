package sequential

import (
	"math"
	"testing"
)

// expectedErrors is how many bad requests of the canary it takes to condemn it.
func expectedErrors(t *testing.T, weight, odds float64) float64 {
	t.Helper()
	c, err := NewComparison(DefaultTolerances(), 1)
	if err != nil {
		t.Fatal(err)
	}
	c.Canary, c.Stable = Counts{Total: 1_000_000, Bad: int64(1000 * odds)}, Counts{Total: 1_000_000, Bad: 1000}
	c.OddsUp, c.OddsDown = odds, 1
	f := c.ForecastRollBack(0.01, 1, Traffic{CanaryPerSecond: weight, StablePerSecond: 1 - weight})
	if !f.Known {
		t.Fatalf("weight %v, odds %v: no end in sight", weight, odds)
	}
	p := 0.001 * odds / (1 - 0.001 + 0.001*odds)
	return f.Requests * p
}

// TestExpectedErrors compares with a table that was computed independently, with
// equal weights for all alternatives; ours differ by what the weights do.
func TestExpectedErrors(t *testing.T) {
	for _, c := range []struct {
		weight float64
		want   map[float64]float64
	}{
		{0.01, map[float64]float64{2: 61, 5: 10, 20: 3.7, 100: 2.2}},
		{0.10, map[float64]float64{2: 70, 5: 12, 20: 5, 100: 3.6}},
		{0.50, map[float64]float64{2: 147, 5: 30, 20: 15, 100: 12}},
	} {
		for odds, want := range c.want {
			got := expectedErrors(t, c.weight, odds)
			if math.Abs(got/want-1) > 0.25 {
				t.Errorf("weight %v, odds %v: %.1f errors, want about %v", c.weight, odds, got, want)
			}
		}
	}
}

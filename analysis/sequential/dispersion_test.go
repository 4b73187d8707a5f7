package sequential

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// burstsOf draws bursts of exactly size bad requests.
func burstsOf(random *rand.Rand, n int64, perRequest float64, size int64) int64 {
	return size * draw(random, n, perRequest/float64(size))
}

func TestDispersionFindsBursts(t *testing.T) {
	for _, size := range []int64{1, 3, 10} {
		random := rand.New(rand.NewPCG(5, uint64(size)))
		d := NewDispersion()
		for range 3000 {
			one := Counts{500, burstsOf(random, 500, 0.02, size)}
			other := Counts{500, burstsOf(random, 500, 0.02, size)}
			if err := d.Observe(one, other); err != nil {
				t.Fatal(err)
			}
		}
		got := d.Bound()
		if want := float64(size); got < 0.9*want || got > 1.25*want {
			t.Errorf("bursts of %d: %v", size, got)
		}
	}
}

// TestLongBurstsAreFound: the bad requests of a burst come one in each window.
func TestLongBurstsAreFound(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	d := NewDispersion()
	var left [2]int64
	for range 20_000 {
		var halves [2]Counts
		for i := range halves {
			if left[i] == 0 && random.Float64() < 0.01 {
				left[i] = 6
			}
			halves[i] = Counts{Total: 1000}
			if left[i] > 0 {
				left[i]--
				halves[i].Bad = 1
			}
		}
		if err := d.Observe(halves[0], halves[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.Bound(); got < 3 {
		t.Errorf("bursts of 6 in as many windows: %v", got)
	}
}

// TestOutagesOfBothHalvesAreNoBursts: they cancel.
func TestOutagesOfBothHalvesAreNoBursts(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	d := NewDispersion()
	for i := range 4000 {
		p := 0.01
		if i%100 < 10 {
			p = 0.3
		}
		if err := d.Observe(Counts{200, draw(random, 200, p)}, Counts{200, draw(random, 200, p)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.Bound(); got > 1.15 {
		t.Errorf("%v", got)
	}
}

func TestNothingKnownIsCareful(t *testing.T) {
	d := NewDispersion()
	if got := d.Bound(); got != unseenBurst {
		t.Errorf("%v", got)
	}
}

func TestDispersionIsAlwaysUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewDispersion()
		for range rapid.IntRange(0, 30).Draw(t, "windows") {
			w := drawWindow(t)
			if err := d.Observe(w.Canary, w.Stable); err != nil {
				t.Fatal(err)
			}
			if b := d.Bound(); !(b >= 1 && b <= maxDispersion) {
				t.Fatalf("bound %v", b)
			}
			if err := d.Check(); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Observe(Counts{1, 2}, Counts{}); !errors.Is(err, ErrCounts) {
			t.Fatal(err)
		}
	})
}

func TestDamagedDispersionIsRefused(t *testing.T) {
	for name, damage := range map[string]func(*Dispersion){
		"version":      func(d *Dispersion) { d.Version = 9 },
		"scales":       func(d *Dispersion) { d.Scales = nil },
		"not a number": func(d *Dispersion) { d.Scales[0].R = math.NaN() },
		"negative":     func(d *Dispersion) { d.Scales[1].VV = -1 },
		"gathered":     func(d *Dispersion) { d.Scales[1].Gathered = 12 },
		"pending":      func(d *Dispersion) { d.Scales[1].Pending.Canary.Bad = 5 },
	} {
		d := NewDispersion()
		damage(&d)
		if err := d.Check(); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHalves(t *testing.T) {
	var pods []string
	for i := range 11 {
		pods = append(pods, fmt.Sprintf("checkout-6d6cb5488c-%d", i))
	}
	in := make([]int, len(pods))
	const rounds = 2000
	for round := range uint64(rounds) {
		half := Halves(pods, 1, round)
		if !slices.Equal(half, Halves(pods, 1, round)) {
			t.Fatal("not the same again")
		}
		n := 0
		for i, h := range half {
			if h {
				in[i]++
				n++
			}
		}
		if n != 5 {
			t.Fatalf("%d of 11", n)
		}
	}
	for i, n := range in {
		if share := float64(n) / rounds; math.Abs(share-5.0/11) > 0.05 {
			t.Errorf("pod %d is in the half %v of the time", i, share)
		}
	}
	if half := Halves(pods[:1], 1, 1); half[0] {
		t.Error("one pod has no other half")
	}
}

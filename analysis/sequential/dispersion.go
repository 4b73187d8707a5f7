package sequential

import (
	"fmt"
	"math"
	"slices"
)

// Dispersion learns how bursty a service is: how many times larger the variance of
// its bad requests is than if each were bad on its own. It looks at stable alone, by
// splitting its pods at random into halves that cannot differ but by chance, for a
// long time before the canary and while there is one. See Halves. The same halves are
// kept for HalvesKept windows at least: what lasts for several windows shows only in
// halves that do too. Of a stable with a single pod, two windows that follow each other
// can be given instead: that takes what drifts for bursts, which is careful.
//
// Nothing of the window that is being judged may be in it yet: ask for Bound, have
// the Comparison observe, and only then Observe the halves. Then the exponents that
// depend on it are predictable, and keep evidence what it is.
type Dispersion struct {
	Version int `json:"version"`
	// Scales look at the same halves over longer and longer windows: a burst that
	// lasts longer than a window looks like none within it.
	Scales []DispersionScale `json:"scales"`
}

// DispersionScale is what windows of one length say.
type DispersionScale struct {
	// Pending sums windows until there are enough of them.
	Pending  Window `json:"pending"`
	Gathered int64  `json:"gathered"`
	// With r the squared deviation of a half from its share, and v what its variance
	// would be without bursts: the sums of r, v, and their products.
	R  float64 `json:"r"`
	V  float64 `json:"v"`
	RR float64 `json:"rr"`
	RV float64 `json:"rv"`
	VV float64 `json:"vv"`
}

// HalvesKept is for how many windows pods are to be split in the same way.
const HalvesKept = 12

// scaleLengths are the lengths of the scales, in windows.
var scaleLengths = [...]int64{1, HalvesKept}

const (
	// A service of which little is known is assumed to have had one burst of this
	// many requests, in one half, that nobody saw.
	unseenBurst = 4
	// The bound is this many standard errors above the estimate for the finest scale,
	// and below it for coarser ones: those have few windows, and raise the bound only
	// when they have a clear reason to.
	errorsAbove = 0.5
	errorsBelow = 1.0
)

// NewDispersion knows nothing yet.
func NewDispersion() Dispersion {
	return Dispersion{Version: StateVersion, Scales: make([]DispersionScale, len(scaleLengths))}
}

// UnknownDispersion is that of a service of which nothing is known. It is a limit for
// what is learned from windows that follow each other: they take what drifts for bursts,
// and after an incident that both revisions share would see bursts of hundreds.
func UnknownDispersion() float64 {
	d := NewDispersion()
	return d.Bound()
}

// Check tells whether state that was read back can be gone on with.
func (d *Dispersion) Check() error {
	if d.Version != StateVersion || len(d.Scales) != len(scaleLengths) {
		return fmt.Errorf("%w: dispersion version %d with %d scales", ErrState, d.Version, len(d.Scales))
	}
	for i, s := range d.Scales {
		if err := s.Pending.check(); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		for _, v := range []float64{s.R, s.V, s.RR, s.RV, s.VV} {
			if !(v >= 0) || math.IsInf(v, 0) || s.Gathered < 0 || s.Gathered >= scaleLengths[i] {
				return fmt.Errorf("%w: dispersion scale %+v", ErrState, s)
			}
		}
	}
	return nil
}

// Observe adds a window of two halves of stable's pods; which is which is no matter.
func (d *Dispersion) Observe(one, other Counts) error {
	w := Window{Canary: one, Stable: other}
	if err := w.check(); err != nil {
		return err
	}
	for i := range d.Scales {
		s := &d.Scales[i]
		sum := Window{Canary: s.Pending.Canary.Plus(one), Stable: s.Pending.Stable.Plus(other)}
		if sum.check() != nil {
			sum = w
		}
		s.Pending = sum
		s.Gathered++
		if s.Gathered >= scaleLengths[i] {
			s.add(sum)
			s.Pending, s.Gathered = Window{}, 0
		}
	}
	return nil
}

func (s *DispersionScale) add(w Window) {
	n1, n2 := float64(w.Canary.Total), float64(w.Stable.Total)
	k := float64(w.Canary.Bad + w.Stable.Bad)
	n := n1 + n2
	if n1 == 0 || n2 == 0 || k == 0 || k == n {
		return
	}
	p := n1 / n
	v := k * p * (1 - p) * (n - k) / (n - 1)
	deviation := float64(w.Canary.Bad) - k*p
	r := deviation * deviation
	s.R += r
	s.V += v
	s.RR += r * r
	s.RV += r * v
	s.VV += v * v
}

// estimate is the ratio, and its standard error, of what was seen and one burst that
// was not: unseenBurst requests all in one of two equal halves.
func (s *DispersionScale) estimate() (ratio, standardError float64) {
	const half = unseenBurst / 2.0
	r, v := s.R+half*half, s.V+half/2
	ratio = r / v
	spread := s.RR - 2*ratio*s.RV + ratio*ratio*s.VV
	return ratio, math.Sqrt(max(0, spread)) / v
}

// Bound is the dispersion to judge the next window with: at least 1. It is an estimate
// with a margin, not a limit with a probability: what evidence is worth with bursts is
// measured, see docs/statistics.md.
func (d *Dispersion) Bound() float64 {
	bound := 1.0
	for i := range d.Scales {
		ratio, se := d.Scales[i].estimate()
		if i == 0 {
			bound = max(bound, ratio+errorsAbove*se)
		} else if d.Scales[i].V > 0 {
			bound = max(bound, ratio-errorsBelow*se)
		}
	}
	return min(bound, maxDispersion)
}

// Halves splits names, usually of pods, into halves at random: true for one of them,
// in the order given. The same names, seed and round give the same halves; another
// round gives others. With one name there is no other half.
func Halves(names []string, seed, round uint64) []bool {
	type keyed struct {
		key   uint64
		index int
	}
	order := make([]keyed, len(names))
	for i, name := range names {
		order[i] = keyed{mix(hashString(name) ^ mix(seed^mix(round))), i}
	}
	slices.SortFunc(order, func(a, b keyed) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return a.index - b.index
	})
	half := make([]bool, len(names))
	for i := range order[:len(names)/2] {
		half[order[i].index] = true
	}
	return half
}

// hashString is FNV-1a. Source: G. Fowler, L. C. Noll, K.-P. Vo.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of SplitMix64. Source: G. Steele, D. Lea, C. Flood, Fast
// Splittable Pseudorandom Number Generators (2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

package sequential

import (
	"fmt"
	"math"
)

// maxBounds bounds how many bounds are compared, and with it the state.
const maxBounds = 8

// Latency compares how many requests were slow, for a few bounds that were chosen
// before there was a canary: see ChooseBounds. Each bound has a Comparison, and the
// evidence is their mean, which is an e-value however they depend on each other.
//
// Quantiles are not compared: they are interpolated, cannot be summed over pods or
// windows, and have no distribution that counts would not say more about.
type Latency struct {
	Version     int          `json:"version"`
	Bounds      []float64    `json:"bounds"`
	Comparisons []Comparison `json:"comparisons"`
	Dispersions []Dispersion `json:"dispersions"`
	// DispersionLimit bounds what was learned of bursts; 0 is no bound. See
	// UnknownDispersion.
	DispersionLimit float64 `json:"dispersionLimit,omitempty"`
	// Halves is from how many windows it was learned.
	Halves  int64   `json:"halves,omitempty"`
	MaxLogE float64 `json:"maxLogE"`
}

// NewLatency starts with no evidence, for a release of so many steps.
func NewLatency(bounds []float64, t Tolerances, steps int) (Latency, error) {
	if len(bounds) == 0 || len(bounds) > maxBounds {
		return Latency{}, fmt.Errorf("%d bounds: from 1 to %d can be compared", len(bounds), maxBounds)
	}
	l := Latency{Version: StateVersion}
	for _, b := range bounds {
		c, err := NewComparison(t, steps)
		if err != nil {
			return Latency{}, err
		}
		if math.IsNaN(b) || math.IsInf(b, 0) {
			return Latency{}, fmt.Errorf("bound %v is not a number", b)
		}
		l.Bounds = append(l.Bounds, b)
		l.Comparisons = append(l.Comparisons, c)
		l.Dispersions = append(l.Dispersions, NewDispersion())
	}
	return l, nil
}

// Check tells whether state that was read back can be gone on with.
func (l *Latency) Check() error {
	n := len(l.Bounds)
	if l.Version != StateVersion || n == 0 || n > maxBounds || l.Halves < 0 || len(l.Comparisons) != n || len(l.Dispersions) != n {
		return fmt.Errorf("%w: latency version %d with %d bounds", ErrState, l.Version, n)
	}
	for i := range l.Bounds {
		if err := l.Comparisons[i].Check(); err != nil {
			return err
		}
		if err := l.Dispersions[i].Check(); err != nil {
			return err
		}
	}
	return checkFinite(append([]float64{l.MaxLogE, l.DispersionLimit}, l.Bounds...)...)
}

// Restart collects evidence anew beside what there is, as Comparison.Restart does.
func (l *Latency) Restart() {
	for i := range l.Comparisons {
		l.Comparisons[i].Restart()
	}
}

// Observe adds a window. Both histograms must have the same bounds: when they do not,
// or a bound that is compared is gone, nothing is added.
func (l *Latency) Observe(canary, stable Histogram) error {
	windows, err := l.slow(canary, stable)
	if err != nil {
		return err
	}
	for i, w := range windows {
		if err := l.Comparisons[i].Observe(w, l.Dispersion(i)); err != nil {
			return err
		}
	}
	l.MaxLogE = max(l.MaxLogE, l.LogE())
	return nil
}

// Dispersion is what the next window is judged with at a bound. A window has many slow
// requests, and so a few windows would be trusted as if they knew much; but each is
// one squared deviation, no more. Until there are many, caution wears off slowly.
func (l *Latency) Dispersion(bound int) float64 {
	d := l.Dispersions[bound].Bound()
	d = max(d, min(d*fewWindows(l.Halves), UnknownDispersion()))
	if l.DispersionLimit > 0 {
		d = min(d, l.DispersionLimit)
	}
	return d
}

// ObserveHalves adds a window of two halves of stable's pods, as Dispersion.Observe
// does: before there is a canary, and after Observe of the same window.
func (l *Latency) ObserveHalves(one, other Histogram) error {
	windows, err := l.slow(one, other)
	if err != nil {
		return err
	}
	for i, w := range windows {
		if err := l.Dispersions[i].Observe(w.Canary, w.Stable); err != nil {
			return err
		}
	}
	l.Halves++
	return nil
}

// fewWindows is by how much a variance that was estimated from so many squared
// deviations may be larger than the estimate: that over its tenth percentile, by Wilson
// and Hilferty's approximation of the chi-squared distribution (1931).
func fewWindows(n int64) float64 {
	const tenth = 1.2816
	if n == 0 {
		return 1
	}
	v := 2 / (9 * float64(n))
	root := 1 - v - tenth*math.Sqrt(v)
	const least = 0.2 // of the root: the approximation is none for the first windows
	return 1 / math.Pow(max(root, least), 3)
}

// slow counts for all bounds, and checks all before any is used.
func (l *Latency) slow(a, b Histogram) ([]Window, error) {
	if !SameBounds(a, b) {
		return nil, fmt.Errorf("%w: %v and %v", ErrBounds, a.Bounds, b.Bounds)
	}
	windows := make([]Window, len(l.Bounds))
	for i, bound := range l.Bounds {
		var err error
		if windows[i].Canary, err = a.Slow(bound); err != nil {
			return nil, err
		}
		if windows[i].Stable, err = b.Slow(bound); err != nil {
			return nil, err
		}
		if err := windows[i].check(); err != nil {
			return nil, err
		}
	}
	return windows, nil
}

// LogE is the logarithm of the evidence against the canary.
func (l *Latency) LogE() float64 {
	logs := make([]float64, len(l.Comparisons))
	for i := range l.Comparisons {
		logs[i] = l.Comparisons[i].LogE()
	}
	return logSumExp(logs) - math.Log(float64(len(logs)))
}

// E is the evidence against the canary: never infinite, 1 at the start.
func (l *Latency) E() float64 { return finite(l.LogE()) }

// P is a p-value that may be looked at at every moment.
func (l *Latency) P() float64 { return pValue(l.MaxLogE) }

// Worse tells whether this metric alone, with all of alpha, condemns the canary.
func (l *Latency) Worse(alpha float64) bool { return l.MaxLogE >= -math.Log(alpha) }

// Passes tells whether the canary passes at every bound. That it is unacceptable at
// any one of them is overlooked with a probability of at most beta.
func (l *Latency) Passes(beta float64) bool {
	for i := range l.Comparisons {
		if !l.Comparisons[i].Passes(beta) {
			return false
		}
	}
	return true
}

// Leading is the index of the bound with the most evidence against the canary.
func (l *Latency) Leading() int {
	leading := 0
	for i := range l.Comparisons {
		if l.Comparisons[i].LogE() > l.Comparisons[leading].LogE() {
			leading = i
		}
	}
	return leading
}

package sequential

import (
	"fmt"
	"math"
)

// The odds ratios that an OddsInterval knows of: from 1/32 to 512, eight to each
// doubling. An interval gets no narrower than a few of their distances.
const (
	gridFrom      = -5
	gridTo        = 9
	gridPerDouble = 8
	gridSize      = (gridTo-gridFrom)*gridPerDouble + 1
)

// gridLog is the logarithm of the i-th odds ratio of the grid.
func gridLog(i int) float64 { return (gridFrom + float64(i)/gridPerDouble) * math.Ln2 }

// OddsInterval is a confidence sequence for the odds ratio: intervals that all hold
// the true one, at every moment at once, with a probability of at least 1 - alpha. It
// is for people to look at; decisions are a Comparison's.
//
// It has the log likelihood of each odds ratio ω of a grid. With any fixed weights π
//
//	E_ω = Σ_ω' π(ω')·L(ω') / L(ω)
//
// is a martingale that starts at 1 if ω is the true one, so that E_ω >= 1/alpha ever
// happens with a probability of at most alpha, and the others are the interval (H.
// Robbins, Statistical Methods Related to the Law of the Iterated Logarithm, 1970; S.
// Howard et al., Time-Uniform, Nonparametric, Nonasymptotic Confidence Sequences,
// 2021). Likelihoods are concave in log ω, so what lies between two points of the grid
// is bounded by lines through their neighbours, and ends are rounded outwards.
//
// With bursts, likelihoods are raised to 1/dispersion, which is right to the second
// order. If the odds ratio changes, the interval is for none of them in particular.
type OddsInterval struct {
	Version       int       `json:"version"`
	LogLikelihood []float64 `json:"logLikelihood"`
}

// NewOddsInterval knows nothing yet: any odds ratio is possible.
func NewOddsInterval() OddsInterval {
	return OddsInterval{Version: StateVersion, LogLikelihood: make([]float64, gridSize)}
}

// Check tells whether state that was read back can be gone on with.
func (o *OddsInterval) Check() error {
	if o.Version != StateVersion || len(o.LogLikelihood) != gridSize {
		return fmt.Errorf("%w: interval version %d with %d values", ErrState, o.Version, len(o.LogLikelihood))
	}
	return checkFinite(o.LogLikelihood...)
}

// Observe adds a window, as Comparison.Observe does.
func (o *OddsInterval) Observe(w Window, dispersion float64) error {
	if err := w.check(); err != nil {
		return err
	}
	h := newHypergeometric(w)
	if h.certain() {
		return nil
	}
	x := float64(w.Canary.Bad)
	power := 1 / boundDispersion(dispersion)
	here := h.logTerm(x)
	for i := range o.LogLikelihood {
		log := gridLog(i)
		o.LogLikelihood[i] += power * (here + x*log - h.logNorm(math.Exp(log)))
	}
	return nil
}

// Interval is the interval now: from 0 when nothing bounds it from below, and to
// infinity when nothing does from above.
func (o *OddsInterval) Interval(alpha float64) (low, high float64) {
	l := o.LogLikelihood
	limit := logSumExp(l) - math.Log(gridSize) + math.Log(alpha)
	first, last := -1, -1
	for i, v := range l {
		if v > limit {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	low, high = 0, math.Inf(1)
	if first > 0 {
		low = math.Exp(crossing(l, first, -1, limit))
	}
	if last >= 0 && last < gridSize-1 {
		high = math.Exp(crossing(l, last, 1, limit))
	}
	return low, high
}

// crossing is where a concave function that is above limit at point i, and not at the
// next one in the given direction, can at most still be above it.
func crossing(l []float64, i, direction int, limit float64) float64 {
	in, out := gridLog(i), gridLog(i+direction)
	step := math.Abs(out - in)
	distance := step
	// The line through this point and the one before it, continued.
	if before := i - direction; before >= 0 && before < len(l) {
		if fall := l[before] - l[i]; fall > 0 {
			distance = min(distance, (l[i]-limit)/fall*step)
		}
	}
	// The line through the next point and the one after it, coming back.
	if after := i + 2*direction; after >= 0 && after < len(l) {
		if fall := l[i+direction] - l[after]; fall > 0 {
			distance = min(distance, step-(limit-l[i+direction])/fall*step)
		}
	}
	return in + float64(direction)*max(0, distance)
}

// checkFinite refuses state with numbers that are none.
func checkFinite(values ...float64) error {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: %v", ErrState, v)
		}
	}
	return nil
}

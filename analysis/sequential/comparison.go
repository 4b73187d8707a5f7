package sequential

import (
	"errors"
	"fmt"
	"math"
)

// StateVersion is the layout of all that is persisted here. State of another version
// is refused: evidence must not be read as what it is not.
const StateVersion = 1

// ErrState says that persisted state is not of this version, or is damaged.
var ErrState = errors.New("state cannot be used")

// alternatives are how many times worse than tolerated the canary may be, all bet on
// at once, and alternativeWeights how much on each: little on the worst, which show
// themselves in no time anyway. passAlternatives are the odds ratios at which the
// canary is well.
var (
	alternatives       = [...]float64{1.5, 2, 3, 5, 10, 20, 50, 100}
	alternativeWeights = [...]float64{0.14, 0.18, 0.18, 0.16, 0.14, 0.12, 0.05, 0.03}
	passAlternatives   = [...]float64{0.6, 0.8, 1, 1.2}

	logAlternativeWeights = func() (logs [len(alternativeWeights)]float64) {
		for g, v := range alternativeWeights {
			logs[g] = math.Log(v)
		}
		return logs
	}()
)

// Tolerances say what is worse: as odds ratios, which for rare errors are ratios of
// error rates.
type Tolerances struct {
	// Tolerated is what the canary may be without being rolled back; at least 1 to
	// have the guarantees of docs/statistics.md, usually 1.2.
	Tolerated float64 `json:"tolerated"`
	// Unacceptable is what the canary must be shown to be below in order to pass;
	// more than 1.2, usually 2.
	Unacceptable float64 `json:"unacceptable"`
}

// DefaultTolerances are a fifth more errors tolerated, twice as many unacceptable.
func DefaultTolerances() Tolerances { return Tolerances{Tolerated: 1.2, Unacceptable: 2} }

// Comparison collects evidence on whether the canary's ratio of bad requests is
// worse than stable's. The zero value is not usable; see NewComparison.
//
// For each window, given the number of bad requests in both arms together, the
// canary's share of them is distributed as in hypergeometric, and
//
//	L[j][g] += e_g · ( log P_{tolerated·g}(x) - log P_tolerated(x) )
//
// for each alternative g and each step j that has begun. E, their weighted mean after
// exp, is a nonnegative supermartingale as long as the odds ratio is at most
// the tolerated one, because the ratio increases with x (monotone likelihood ratio);
// windows may differ in everything else. So P(E ever >= 1/alpha) <= alpha.
//
// Sources: Johari, Pekelis, Walsh, Always Valid Inference (2015); Lindon & Malek,
// Anytime-Valid Inference for Multinomial Count Data (2022); Turner, Ly, Grünwald,
// Generic E-Variables for Exact Sequential k-Sample Tests (2023). The exponents e_g
// are ours, see exponent.
type Comparison struct {
	Version    int        `json:"version"`
	Tolerances Tolerances `json:"tolerances"`
	// Steps is how many steps were planned, from 1 to MaxSteps.
	Steps int `json:"steps"`

	// Restarts has the evidence against the canary, one row for each restart.
	Restarts [][]float64 `json:"restarts"`
	// Passing has the evidence for it, one value for each pass alternative.
	Passing []float64 `json:"passing"`
	// MaxLogE is the largest that log E has ever been.
	MaxLogE float64 `json:"maxLogE"`

	// Canary and Stable are the sums of all windows, and Windows how many there were.
	Canary  Counts `json:"canary"`
	Stable  Counts `json:"stable"`
	Windows int64  `json:"windows"`
	// OddsUp and OddsDown are the two sums of Mantel and Haenszel's estimate of the
	// odds ratio, which no change of weight or of error rate disturbs.
	OddsUp   float64 `json:"oddsUp"`
	OddsDown float64 `json:"oddsDown"`
	// Dirty says that the latest restart has seen a window.
	Dirty bool `json:"dirty"`
}

// NewComparison starts with no evidence, for a release of so many steps; more than
// MaxSteps count as MaxSteps. Tolerances that make no sense are refused.
func NewComparison(t Tolerances, steps int) (Comparison, error) {
	if !(t.Tolerated > 0 && t.Tolerated <= 1000) || !(t.Unacceptable > passAlternatives[len(passAlternatives)-1] && t.Unacceptable <= 1000) {
		return Comparison{}, fmt.Errorf("tolerances %v and %v: the first must be positive, the second more than 1.2, both at most 1000",
			t.Tolerated, t.Unacceptable)
	}
	return Comparison{
		Version:    StateVersion,
		Tolerances: t,
		Steps:      min(max(steps, 1), MaxSteps),
		Restarts:   [][]float64{make([]float64, len(alternatives))},
		Passing:    make([]float64, len(passAlternatives)),
	}, nil
}

// Check tells whether state that was read back can be gone on with.
func (c *Comparison) Check() error {
	if c.Version != StateVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrState, c.Version, StateVersion)
	}
	if _, err := NewComparison(c.Tolerances, c.Steps); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if n := len(c.Restarts); c.Steps < 1 || c.Steps > MaxSteps || n < 1 || n > c.Steps || len(c.Passing) != len(passAlternatives) || c.Windows < 0 {
		return fmt.Errorf("%w: %d restarts, %d pass alternatives", ErrState, n, len(c.Passing))
	}
	for _, row := range c.Restarts {
		if len(row) != len(alternatives) {
			return fmt.Errorf("%w: %d alternatives", ErrState, len(row))
		}
		if err := checkFinite(row...); err != nil {
			return err
		}
	}
	if err := checkFinite(append([]float64{c.MaxLogE, c.OddsUp, c.OddsDown}, c.Passing...)...); err != nil {
		return err
	}
	if err := (Window{Canary: c.Canary, Stable: c.Stable}).check(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// Restart collects evidence anew beside what there is, usually when a step begins: a
// fault that shows only from then on need not first make up for a good past. It may
// be decided from all that was seen before. A restart right after another is none,
// and neither is one more than there were steps planned: then the evidence that is
// being collected goes on.
func (c *Comparison) Restart() {
	if !c.Dirty || len(c.Restarts) >= c.Steps {
		return
	}
	c.Restarts = append(c.Restarts, make([]float64, len(alternatives)))
	c.Dirty = false
}

// Observe adds a window. The dispersion is how bursty the service is, at least 1, and
// must have been known before the window: see Dispersion. Counts that are impossible
// give ErrCounts and change nothing.
func (c *Comparison) Observe(w Window, dispersion float64) error {
	if err := w.check(); err != nil {
		return err
	}
	sum := Window{Canary: c.Canary.Plus(w.Canary), Stable: c.Stable.Plus(w.Stable)}
	if err := sum.check(); err != nil {
		return err
	}
	c.Canary, c.Stable = sum.Canary, sum.Stable
	c.Windows++
	c.Dirty = c.Dirty || w.Canary.Total > 0
	c.estimate(w)

	var against [len(alternatives)]float64
	var pass [len(passAlternatives)]float64
	increments(w, c.Tolerances, boundDispersion(dispersion), &against, &pass)
	for _, row := range c.Restarts {
		for g, d := range against {
			row[g] += d
		}
	}
	for g, d := range pass {
		c.Passing[g] += d
	}
	c.MaxLogE = max(c.MaxLogE, c.LogE())
	return nil
}

// maxDispersion bounds how bursty a service is taken to be.
const maxDispersion = 1000

// boundDispersion makes the most careful sense of a number that is none.
func boundDispersion(d float64) float64 {
	if math.IsNaN(d) {
		return maxDispersion
	}
	return min(max(d, 1), maxDispersion)
}

// increments are what one window adds to the evidence.
func increments(w Window, t Tolerances, dispersion float64, against *[len(alternatives)]float64, pass *[len(passAlternatives)]float64) {
	h := newHypergeometric(w)
	if h.certain() {
		return
	}
	x := float64(w.Canary.Bad)
	var odds [len(alternatives)]float64
	for g, a := range alternatives {
		odds[g] = a * t.Tolerated
	}
	h.logRatios(x, t.Tolerated, odds[:], against[:])
	h.logRatios(x, t.Unacceptable, passAlternatives[:], pass[:])
	for g := range against {
		against[g] *= exponent(h.nc, h.ns, t.Tolerated, odds[g], dispersion)
	}
	for g := range pass {
		pass[g] *= exponent(h.nc, h.ns, t.Unacceptable, passAlternatives[g], dispersion)
	}
}

// estimate adds a window to the estimate of the odds ratio. Source: Mantel &
// Haenszel, Statistical Aspects of the Analysis of Data from Retrospective Studies of
// Disease (1959).
func (c *Comparison) estimate(w Window) {
	n := float64(w.Canary.Total + w.Stable.Total)
	if n == 0 {
		return
	}
	c.OddsUp += float64(w.Canary.Bad) * float64(w.Stable.Total-w.Stable.Bad) / n
	c.OddsDown += float64(w.Stable.Bad) * float64(w.Canary.Total-w.Canary.Bad) / n
}

// Odds estimates how many times stable's odds of a bad request the canary has; false
// when there is nothing to estimate it from.
func (c *Comparison) Odds() (float64, bool) {
	if c.OddsDown <= 0 {
		return 0, false
	}
	return c.OddsUp / c.OddsDown, true
}

// LogE is the logarithm of the evidence against the canary.
func (c *Comparison) LogE() float64 { return logWealth(c.Restarts, c.Steps) }

// E is the evidence against the canary: never infinite, 1 at the start.
func (c *Comparison) E() float64 { return finite(c.LogE()) }

// P is a p-value that may be looked at at every moment: 1 over the largest E so far.
func (c *Comparison) P() float64 { return pValue(c.MaxLogE) }

// LogPass is the logarithm of the evidence that the canary is better than
// unacceptable. It falls when things get worse, and counts as it is now.
func (c *Comparison) LogPass() float64 { return logMean(c.Passing) }

// Passes tells whether it has been shown, with a probability of at most beta to be
// wrong, that the canary is better than unacceptable.
func (c *Comparison) Passes(beta float64) bool { return c.LogPass() >= -math.Log(beta) }

// Worse tells whether this metric alone, with all of alpha, condemns the canary.
func (c *Comparison) Worse(alpha float64) bool { return c.MaxLogE >= -math.Log(alpha) }

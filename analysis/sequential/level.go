package sequential

import (
	"fmt"
	"math"
)

// passLevels are the ratios, in parts of the limit, at which a service is well.
var passLevels = [...]float64{0.25, 0.5, 0.75, 1}

// Level collects evidence on whether the ratio of bad requests of one arm is above a
// limit: when there is no stable arm, and for objectives. The zero value is not
// usable; see NewLevel.
//
// Nothing cancels here as it does in a Comparison: if everything is down, the limit is
// exceeded whoever is to blame.
//
// The evidence is a one-sided beta-binomial mixture, see betaBinomial, for each step.
type Level struct {
	Version int `json:"version"`
	// Limit is the ratio that must not be exceeded, and Unacceptable the one that the
	// arm must be shown to be below in order to pass.
	Limit        float64 `json:"limit"`
	Unacceptable float64 `json:"unacceptable"`
	Steps        int     `json:"steps"`
	// Restarts are the requests since each step began, divided by the dispersion that
	// they were seen with.
	Restarts []LevelSums `json:"restarts"`
	MaxLogE  float64     `json:"maxLogE"`
	Total    Counts      `json:"total"`
	Windows  int64       `json:"windows"`
	Dirty    bool        `json:"dirty"`
}

// LevelSums are requests.
type LevelSums struct {
	Bad  float64 `json:"bad"`
	Good float64 `json:"good"`
}

// NewLevel starts with no evidence, for a release of so many steps.
func NewLevel(limit, unacceptable float64, steps int) (Level, error) {
	if !(limit > 0 && limit < unacceptable && unacceptable < 1) {
		return Level{}, fmt.Errorf("limits %v and %v: both must be between 0 and 1, the second above the first", limit, unacceptable)
	}
	return Level{
		Version:      StateVersion,
		Limit:        limit,
		Unacceptable: unacceptable,
		Steps:        min(max(steps, 1), MaxSteps),
		Restarts:     make([]LevelSums, 1),
	}, nil
}

// Check tells whether state that was read back can be gone on with.
func (l *Level) Check() error {
	if l.Version != StateVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrState, l.Version, StateVersion)
	}
	if _, err := NewLevel(l.Limit, l.Unacceptable, l.Steps); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if n := len(l.Restarts); l.Steps < 1 || l.Steps > MaxSteps || n < 1 || n > l.Steps {
		return fmt.Errorf("%w: %d restarts", ErrState, n)
	}
	for _, s := range l.Restarts {
		if !(s.Bad >= 0 && s.Good >= 0) {
			return fmt.Errorf("%w: %+v", ErrState, s)
		}
		if err := checkFinite(s.Bad, s.Good); err != nil {
			return err
		}
	}
	if err := l.Total.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return checkFinite(l.MaxLogE)
}

// Restart collects evidence anew beside what there is, as Comparison.Restart does.
func (l *Level) Restart() {
	if !l.Dirty || len(l.Restarts) >= l.Steps {
		return
	}
	l.Restarts = append(l.Restarts, LevelSums{})
	l.Dirty = false
}

// Observe adds a window, with the dispersion known before it, 1 for none.
func (l *Level) Observe(c Counts, dispersion float64) error {
	if err := c.check(); err != nil {
		return err
	}
	total := l.Total.Plus(c)
	if err := total.check(); err != nil {
		return err
	}
	l.Total = total
	l.Windows++
	if c.Total == 0 {
		return nil
	}
	l.Dirty = true
	part := 1 / boundDispersion(dispersion)
	for j := range l.Restarts {
		l.Restarts[j].Bad += part * float64(c.Bad)
		l.Restarts[j].Good += part * float64(c.Total-c.Bad)
	}
	l.MaxLogE = max(l.MaxLogE, l.LogE())
	return nil
}

// mixture is tuned for the time when ten bad requests are to be expected at the limit.
func (l *Level) mixture() betaBinomial {
	const badRequests, at = 10, 0.05
	h := 1 - l.Limit
	return newBetaBinomial(l.Limit, h, bestRho(badRequests*h, at, true), true)
}

// LogE is the logarithm of the evidence that the limit is exceeded.
func (l *Level) LogE() float64 {
	m := l.mixture()
	var terms [MaxSteps + 1]float64
	left, n := 1.0, len(l.Restarts)
	for j, s := range l.Restarts {
		w := stepWeight(j, l.Steps)
		terms[j] = math.Log(w) + m.logMixture(s.Bad, s.Good)
		left -= w
	}
	if n < l.Steps && left > 0 {
		terms[n] = math.Log(left)
		n++
	}
	return logSumExp(terms[:n])
}

// E is the evidence that the limit is exceeded: never infinite, 1 at the start.
func (l *Level) E() float64 { return finite(l.LogE()) }

// P is a p-value that may be looked at at every moment.
func (l *Level) P() float64 { return pValue(l.MaxLogE) }

// Worse tells whether this alone, with all of alpha, condemns the arm.
func (l *Level) Worse(alpha float64) bool { return l.MaxLogE >= -math.Log(alpha) }

// LogPass is the logarithm of the evidence that the ratio is below unacceptable, from
// all steps.
func (l *Level) LogPass() float64 {
	first := l.Restarts[0]
	var terms [len(passLevels)]float64
	for i, part := range passLevels {
		p := part * l.Limit
		terms[i] = first.Bad*math.Log(p/l.Unacceptable) + first.Good*(math.Log1p(-p)-math.Log1p(-l.Unacceptable))
	}
	return logSumExp(terms[:]) - math.Log(float64(len(passLevels)))
}

// Passes tells whether it has been shown, with a probability of at most beta to be
// wrong, that the ratio is below unacceptable.
func (l *Level) Passes(beta float64) bool { return l.LogPass() >= -math.Log(beta) }

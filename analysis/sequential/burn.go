package sequential

import (
	"fmt"
	"time"
)

// Burn is a rate at which an error budget is spent: 14.4 spends two percent of a
// month's in an hour. It condemns a canary when there is evidence that the rate is
// exceeded and it is exceeded right now, so that a burst that has passed does not.
//
// Source: Google, The Site Reliability Workbook, chapter 5 (windows and rates); the
// evidence in place of the long window's bare threshold is what is added here.
type Burn struct {
	Rate      float64 `json:"rate"`
	Objective float64 `json:"objective"`
	Level     Level   `json:"level"`
}

// NewBurn is for an objective such as 0.999 and a release of so many steps.
func NewBurn(rate, objective float64, steps int) (Burn, error) {
	limit := rate * (1 - objective)
	l, err := NewLevel(limit, min(2*limit, (1+limit)/2), steps)
	if err != nil || !(objective > 0 && objective < 1) {
		return Burn{}, fmt.Errorf("burn rate %v of objective %v: their ratio of bad requests must be between 0 and 1", rate, objective)
	}
	return Burn{Rate: rate, Objective: objective, Level: l}, nil
}

// Check tells whether state that was read back can be gone on with.
func (b *Burn) Check() error {
	if _, err := NewBurn(b.Rate, b.Objective, b.Level.Steps); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return b.Level.Check()
}

// Breached tells whether the budget is spent faster than the rate in both windows.
func (b *Burn) Breached(long, short Counts) bool {
	limit := b.Rate * (1 - b.Objective)
	return long.check() == nil && short.check() == nil &&
		long.Total > 0 && short.Total > 0 && long.Ratio() > limit && short.Ratio() > limit
}

// Worse tells whether the canary is condemned: by evidence, with all of alpha, and by
// both windows.
func (b *Burn) Worse(alpha float64, long, short Counts) bool {
	return b.Level.Worse(alpha) && b.Breached(long, short)
}

// BurnWindow clips a window to the age of the step, so that it sees nothing from
// before it.
func BurnWindow(length, age time.Duration) time.Duration { return max(0, min(length, age)) }

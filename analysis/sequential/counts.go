package sequential

import (
	"errors"
	"fmt"
)

// maxCount bounds counts, so that every sum of them is exact in a float64.
const maxCount = 1_000_000_000_000

// ErrCounts says that counts cannot be what they claim to be: negative, more bad
// requests than requests, or too many to be true. Nothing was learned from them.
var ErrCounts = errors.New("impossible counts")

// Counts are the requests of one arm in one window, and how many of them were bad.
type Counts struct {
	Total int64 `json:"total"`
	Bad   int64 `json:"bad"`
}

// Plus adds counts of another window of the same arm.
func (c Counts) Plus(o Counts) Counts { return Counts{Total: c.Total + o.Total, Bad: c.Bad + o.Bad} }

// Complement calls good what was bad. A metric of which more is better, such as a
// hit ratio, is compared by its complement.
func (c Counts) Complement() Counts { return Counts{Total: c.Total, Bad: c.Total - c.Bad} }

// Ratio is the share of bad requests, 0 when there were none at all.
func (c Counts) Ratio() float64 {
	if c.Total == 0 {
		return 0
	}
	return float64(c.Bad) / float64(c.Total)
}

func (c Counts) check() error {
	if c.Total < 0 || c.Bad < 0 || c.Bad > c.Total || c.Total > maxCount {
		return fmt.Errorf("%w: %d bad of %d", ErrCounts, c.Bad, c.Total)
	}
	return nil
}

// Window is what both arms did in the same stretch of time. Windows do not overlap.
type Window struct {
	Canary Counts `json:"canary"`
	Stable Counts `json:"stable"`
}

func (w Window) check() error {
	if err := w.Canary.check(); err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	if err := w.Stable.check(); err != nil {
		return fmt.Errorf("stable: %w", err)
	}
	return nil
}

package sequential

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrHistogram says that buckets are not those of a histogram.
var ErrHistogram = errors.New("not a histogram")

// ErrBounds says that two histograms have different bucket bounds, so that nothing
// can be said about what lies between them.
var ErrBounds = errors.New("histograms have different bounds")

// Histogram is what fell, in one window, below each of some upper bounds.
type Histogram struct {
	// Bounds are finite and ascend.
	Bounds []float64
	// Below counts what was at most the bound of the same index.
	Below []int64
	Total int64
}

// NewHistogram takes classic buckets: upper bounds in any order, one of them infinite,
// and how much was at most each of them.
func NewHistogram(le []float64, below []int64) (Histogram, error) {
	if len(le) != len(below) || len(le) == 0 {
		return Histogram{}, fmt.Errorf("%w: %d bounds with %d counts", ErrHistogram, len(le), len(below))
	}
	order := make([]int, len(le))
	for i := range order {
		if math.IsNaN(le[i]) || math.IsInf(le[i], -1) {
			return Histogram{}, fmt.Errorf("%w: bound %v", ErrHistogram, le[i])
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if le[a] < le[b] {
			return -1
		}
		return 1
	})
	var h Histogram
	last := int64(0)
	for n, i := range order {
		infinite := math.IsInf(le[i], 1)
		twice := len(h.Bounds) > 0 && h.Bounds[len(h.Bounds)-1] == le[i]
		if below[i] < last || below[i] > maxCount || twice || infinite != (n == len(order)-1) {
			return Histogram{}, fmt.Errorf("%w: %d at most %v after %d", ErrHistogram, below[i], le[i], last)
		}
		last = below[i]
		if infinite {
			h.Total = below[i]
			break
		}
		h.Bounds, h.Below = append(h.Bounds, le[i]), append(h.Below, below[i])
	}
	return h, nil
}

// Slow counts what was more than a bound, which must be one of the histogram's.
func (h Histogram) Slow(bound float64) (Counts, error) {
	i, found := slices.BinarySearch(h.Bounds, bound)
	if !found {
		return Counts{}, fmt.Errorf("%w: there is no bound %v", ErrBounds, bound)
	}
	return Counts{Total: h.Total, Bad: h.Total - h.Below[i]}, nil
}

// Plus adds another histogram, which must have the same bounds.
func (h Histogram) Plus(o Histogram) (Histogram, error) {
	if !SameBounds(h, o) {
		return Histogram{}, fmt.Errorf("%w: %v and %v", ErrBounds, h.Bounds, o.Bounds)
	}
	sum := Histogram{Bounds: h.Bounds, Below: make([]int64, len(h.Below)), Total: h.Total + o.Total}
	for i := range h.Below {
		sum.Below[i] = h.Below[i] + o.Below[i]
	}
	return sum, nil
}

// SameBounds tells whether both have the same bounds.
func SameBounds(a, b Histogram) bool { return slices.Equal(a.Bounds, b.Bounds) }

// ChooseBounds picks, for each quantile, the lowest bound that at least this part was
// at most, and adds those of objectives. The histogram must be stable's from before
// there was a canary, so that nothing of what is judged has a say in it. Quantiles
// above the highest finite bound get that one.
func ChooseBounds(before Histogram, quantiles, objectives []float64) ([]float64, error) {
	var bounds []float64
	for _, q := range quantiles {
		if !(q > 0 && q < 1) {
			return nil, fmt.Errorf("quantile %v must be between 0 and 1", q)
		}
		if i := before.atLeast(q); i >= 0 {
			bounds = append(bounds, before.Bounds[i])
		}
	}
	for _, o := range objectives {
		if _, err := before.Slow(o); err != nil {
			return nil, err
		}
		bounds = append(bounds, o)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	if len(bounds) == 0 {
		return nil, fmt.Errorf("%w: no request was below a finite bound", ErrHistogram)
	}
	return bounds, nil
}

// atLeast is the index of the lowest bound that at least a part q was at most, or else
// of the highest bound; -1 when nothing was below that.
func (h Histogram) atLeast(q float64) int {
	if len(h.Bounds) == 0 || h.Total == 0 || h.Below[len(h.Below)-1] == 0 {
		return -1
	}
	need := q * float64(h.Total)
	for i, below := range h.Below {
		if float64(below) >= need {
			return i
		}
	}
	return len(h.Bounds) - 1
}

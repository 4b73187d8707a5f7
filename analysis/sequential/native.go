package sequential

import (
	"fmt"
	"math"
	"slices"
)

// Native is a native histogram in one window: buckets between powers of 2^(2^-schema),
// of which only those that anything fell into are listed.
type Native struct {
	// Schema is from -4, coarse, to 8, fine.
	Schema int
	// ZeroThreshold is up to where values are counted in Zero.
	ZeroThreshold float64
	Zero          int64
	// Buckets ascend by index.
	Buckets []NativeBucket
}

// NativeBucket counts values above base^(Index-1) and at most base^Index.
type NativeBucket struct {
	Index int
	Count int64
}

const (
	minSchema = -4
	maxSchema = 8
	// maxIndex is beyond the largest float64 in the finest schema.
	maxIndex = 1 << 19
)

func (n Native) check() error {
	if n.Schema < minSchema || n.Schema > maxSchema || !(n.ZeroThreshold >= 0) || math.IsInf(n.ZeroThreshold, 0) || n.Zero < 0 {
		return fmt.Errorf("%w: schema %d, %d within %v of zero", ErrHistogram, n.Schema, n.Zero, n.ZeroThreshold)
	}
	for i, b := range n.Buckets {
		if b.Count < 0 || b.Count > maxCount || b.Index < -maxIndex || b.Index > maxIndex || i > 0 && n.Buckets[i-1].Index >= b.Index {
			return fmt.Errorf("%w: bucket %+v", ErrHistogram, b)
		}
	}
	return nil
}

// upper is the upper bound of a bucket. In schemas below 0 an index stands for
// several doublings.
func upper(schema, index int) float64 {
	if schema <= 0 {
		return math.Ldexp(1, index<<-schema)
	}
	whole, part := index>>schema, index&(1<<schema-1)
	return math.Ldexp(math.Exp2(float64(part)/float64(int(1)<<schema)), whole)
}

// Coarsen gives the same histogram in a coarser schema. Each of its buckets is made of
// whole buckets of the finer one, so nothing is interpolated.
func (n Native) Coarsen(schema int) (Native, error) {
	if err := n.check(); err != nil {
		return Native{}, err
	}
	if schema > n.Schema || schema < minSchema {
		return Native{}, fmt.Errorf("%w: schema %d cannot be made of schema %d", ErrBounds, schema, n.Schema)
	}
	out := n
	out.Schema, out.Buckets = schema, nil
	for _, b := range n.Buckets {
		index := (b.Index-1)>>(n.Schema-schema) + 1
		if last := len(out.Buckets) - 1; last >= 0 && out.Buckets[last].Index == index {
			out.Buckets[last].Count += b.Count
			continue
		}
		out.Buckets = append(out.Buckets, NativeBucket{index, b.Count})
	}
	return out, nil
}

// widenZero counts more values as zero: at least up to threshold, and then up to the
// end of the bucket that the threshold is in.
func (n Native) widenZero(threshold float64) Native {
	if threshold <= n.ZeroThreshold {
		return n
	}
	out := n
	out.ZeroThreshold, out.Buckets = threshold, nil
	for _, b := range n.Buckets {
		if upper(n.Schema, b.Index-1) < threshold {
			out.Zero += b.Count
			out.ZeroThreshold = max(out.ZeroThreshold, upper(n.Schema, b.Index))
			continue
		}
		out.Buckets = append(out.Buckets, b)
	}
	return out
}

// Align brings two native histograms to the coarser schema and the wider zero bucket,
// and lists their buckets as histograms with the same bounds, which can be compared.
// The bounds in keep are among them, unless one lies within a bucket of either: then
// what is above it cannot be told, and the error is ErrBounds.
func Align(a, b Native, keep ...float64) (Histogram, Histogram, error) {
	schema := min(a.Schema, b.Schema)
	a, err := a.Coarsen(schema)
	if err != nil {
		return Histogram{}, Histogram{}, err
	}
	if b, err = b.Coarsen(schema); err != nil {
		return Histogram{}, Histogram{}, err
	}
	// Widening one may end at a bucket that is wider still, and then so must the other;
	// both have the same buckets by now, so that it ends there.
	for range 2 {
		threshold := max(a.ZeroThreshold, b.ZeroThreshold)
		a, b = a.widenZero(threshold), b.widenZero(threshold)
	}
	for _, bound := range keep {
		if a.within(bound) || b.within(bound) {
			return Histogram{}, Histogram{}, fmt.Errorf("%w: %v is within a bucket of schema %d", ErrBounds, bound, schema)
		}
	}
	bounds := slices.Concat(a.bounds(), b.bounds(), keep)
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	return a.at(bounds), b.at(bounds), nil
}

// bounds are all finite bounds of buckets that anything fell into.
func (n Native) bounds() []float64 {
	bounds := []float64{n.ZeroThreshold}
	for _, b := range n.Buckets {
		for _, v := range []float64{upper(n.Schema, b.Index-1), upper(n.Schema, b.Index)} {
			if !math.IsInf(v, 0) && v > n.ZeroThreshold {
				bounds = append(bounds, v)
			}
		}
	}
	return bounds
}

// within tells whether a bound splits a bucket.
func (n Native) within(bound float64) bool {
	if math.IsNaN(bound) || math.IsInf(bound, 0) || bound < n.ZeroThreshold {
		return true
	}
	for _, b := range n.Buckets {
		if upper(n.Schema, b.Index-1) < bound && bound < upper(n.Schema, b.Index) {
			return true
		}
	}
	return false
}

// at counts what was at most each of some bounds, none of which is within a bucket.
func (n Native) at(bounds []float64) Histogram {
	h := Histogram{Bounds: bounds, Below: make([]int64, len(bounds)), Total: n.Zero}
	next := 0
	for i, bound := range bounds {
		for next < len(n.Buckets) && upper(n.Schema, n.Buckets[next].Index) <= bound {
			h.Total += n.Buckets[next].Count
			next++
		}
		h.Below[i] = h.Total
	}
	for ; next < len(n.Buckets); next++ {
		h.Total += n.Buckets[next].Count
	}
	return h
}

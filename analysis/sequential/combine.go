package sequential

import (
	"errors"
	"fmt"
	"math"
)

// ErrWeights says that weights of metrics are not a way to divide one bet.
var ErrWeights = errors.New("weights must be positive and sum to at most 1")

// Term is the evidence of one metric and its share of the bet.
type Term struct {
	Metric string
	Weight float64
	LogE   float64
}

// Family has the evidence of many metrics under one error rate: that of a false
// rollback for the whole release, whatever metrics have to do with each other.
//
// A weighted mean of e-values is an e-value however they depend on each other, which
// is what a correction for many tests costs nothing for (V. Vovk, R. Wang, E-Values:
// Calibration, Combination and Applications, 2021). Metrics that warn only do not
// belong here.
type Family struct {
	Version int     `json:"version"`
	LogE    float64 `json:"logE"`
	MaxLogE float64 `json:"maxLogE"`
	// Leading is the metric with the largest term when evidence was largest.
	Leading string `json:"leading,omitempty"`
}

// NewFamily starts with no evidence.
func NewFamily() Family { return Family{Version: StateVersion} }

// Check tells whether state that was read back can be gone on with.
func (f *Family) Check() error {
	if f.Version != StateVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrState, f.Version, StateVersion)
	}
	return checkFinite(f.LogE, f.MaxLogE)
}

// EqualWeight is the share of each of so many metrics.
func EqualWeight(metrics int) float64 { return 1 / float64(max(1, metrics)) }

// Observe takes the evidence of all metrics as it is now. Weights must stay what they
// were; what they leave of 1 is not bet.
func (f *Family) Observe(terms []Term) error {
	sum, leading, largest := 0.0, "", math.Inf(-1)
	logs := make([]float64, 0, len(terms)+1)
	for _, t := range terms {
		if !(t.Weight > 0 && t.Weight <= 1) {
			return fmt.Errorf("%w: metric %q has %v", ErrWeights, t.Metric, t.Weight)
		}
		if math.IsNaN(t.LogE) || math.IsInf(t.LogE, 0) {
			return fmt.Errorf("%w: metric %q has evidence %v", ErrState, t.Metric, t.LogE)
		}
		sum += t.Weight
		log := math.Log(t.Weight) + t.LogE
		if log > largest {
			leading, largest = t.Metric, log
		}
		logs = append(logs, log)
	}
	const rounding = 1e-9
	if sum > 1+rounding {
		return fmt.Errorf("%w: they sum to %v", ErrWeights, sum)
	}
	if left := 1 - sum; left > rounding || len(terms) == 0 {
		logs = append(logs, math.Log(left))
	}
	f.LogE = logSumExp(logs)
	if f.LogE > f.MaxLogE {
		f.MaxLogE, f.Leading = f.LogE, leading
	}
	return nil
}

// E is the evidence now: never infinite, 1 at the start.
func (f *Family) E() float64 { return finite(f.LogE) }

// P is a p-value that may be looked at at every moment.
func (f *Family) P() float64 { return pValue(f.MaxLogE) }

// RollBack tells whether the canary is condemned, with a probability of at most alpha
// to do that to one that is no worse than tolerated, in the whole release.
func (f *Family) RollBack(alpha float64) bool { return f.MaxLogE >= -math.Log(alpha) }

package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// stateVersion is the layout of storedState.
const stateVersion = 1

// progress is how far a comparison has counted, whatever it compares.
type progress struct {
	Version int `json:"v"`
	// Step is since when the weight of the step was in force to which InStep belongs,
	// in microseconds.
	Step   int64 `json:"s"`
	InStep int64 `json:"n"`
	// Through is up to when requests were counted, in milliseconds.
	Through int64 `json:"t"`
	// Canary and Stable are requests a second in the latest windows.
	Canary float64 `json:"rc"`
	Stable float64 `json:"rs"`
}

// proof is the evidence of one kind of comparison: that of one ratio, or that of the
// bounds of a histogram.
type proof interface {
	// restart collects evidence anew beside what there is.
	restart()
	// observe takes a window. After an error it is not to be used any more.
	observe(t *Tally, seed uint64) error
	logE() float64
	passes(beta float64) bool
	// seen, missing and value put in words all the evidence, what it takes until there
	// is a verdict, and what some windows had.
	seen(m *v1alpha1.Metric, alpha float64) string
	missing(alpha, beta float64, rate sequential.Traffic) string
	value(tallies []Tally) string
	// show and store add what is for this kind of comparison alone.
	show(e *v1alpha1.ComparisonEvidence)
	store(s *storedState)
}

// comparisonState is what a comparison goes on with.
type comparisonState struct {
	progress
	proof
}

// storedState is what a comparison goes on with after a restart. Numbers survive being
// written as JSON to the last bit.
type storedState struct {
	progress
	Comparison *sequential.Comparison   `json:"c,omitempty"`
	Interval   *sequential.OddsInterval `json:"i,omitempty"`
	// Dispersion is nil until stable's pods were told apart.
	Dispersion *sequential.Dispersion `json:"d,omitempty"`
	Latency    *latencyProof          `json:"l,omitempty"`
}

// stateOf reads the state of a comparison, or begins one.
func stateOf(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, s *v1alpha1.MetricStatus) (*comparisonState, error) {
	if s.Comparison == nil || s.Comparison.State == "" {
		p, err := newProof(spec, m)
		return &comparisonState{progress{Version: stateVersion}, p}, err
	}
	stored := &storedState{}
	if err := json.Unmarshal([]byte(s.Comparison.State), stored); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if stored.Version != stateVersion {
		return nil, fmt.Errorf("state of version %d, want %d", stored.Version, stateVersion)
	}
	p, err := storedProof(m, stored)
	return &comparisonState{stored.progress, p}, err
}

// newProof begins with no evidence.
func newProof(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric) (proof, error) {
	if isHistogram(m) {
		return newLatencyProof(spec, m)
	}
	return newRatioProof(spec, m)
}

// storedProof goes on with evidence that was stored.
func storedProof(m *v1alpha1.Metric, s *storedState) (proof, error) {
	switch {
	case isHistogram(m) && s.Latency != nil:
		return s.Latency, s.Latency.check()
	case !isHistogram(m) && s.Comparison != nil && s.Interval != nil:
		p := &ratioProof{*s.Comparison, *s.Interval, s.Dispersion}
		return p, p.check()
	}
	return nil, errors.New("the state is that of another kind of comparison")
}

// text is the state as it is stored.
func (c *comparisonState) text() (string, error) {
	s := storedState{progress: c.progress}
	c.store(&s)
	text, err := json.Marshal(s)
	return string(text), err
}

// enter begins to count for a step. Evidence against the canary is collected anew
// beside what there is.
func (c *comparisonState) enter(since time.Time) {
	if step := since.UnixMicro(); c.Step != step {
		c.restart()
		c.Step, c.InStep = step, 0
	}
}

// count takes the windows of a reading. With an error, the state is not to be used
// any more.
func (c *comparisonState) count(r *Reading, seed uint64) error {
	var canary, stable int64
	for i := range r.Tallies {
		t := &r.Tallies[i]
		if err := c.observe(t, seed); err != nil {
			return err
		}
		canary, stable = canary+t.Canary.Total, stable+t.Stable.Total
	}
	c.InStep += canary
	c.Through = r.To.UnixMilli()
	if seconds := r.To.Sub(r.From).Seconds(); seconds > 0 {
		c.Canary, c.Stable = float64(canary)/seconds, float64(stable)/seconds
	}
	return nil
}

// halvesOf splits pods at random. The same ones are together for a while: what lasts
// for several windows shows only in halves that do too.
func halvesOf(names []string, seed uint64, windows int64) []bool {
	return sequential.Halves(names, seed, uint64(windows)/sequential.HalvesKept)
}

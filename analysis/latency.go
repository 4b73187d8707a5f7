package analysis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// historyLength is of how long a time before bounds are chosen.
	historyLength = time.Hour
	// leastHistory is how many requests stable must have had in it: quantiles of fewer
	// are anything.
	leastHistory = 50

	messageWindows = "learned from windows that follow each other: the series do not tell two of stable's pods apart"
)

// defaultQuantiles are of which bounds are chosen without anything said.
var defaultQuantiles = []float64{0.5, 0.9, 0.99}

// isHistogram tells whether a metric compares at bounds of a histogram.
func isHistogram(m *v1alpha1.Metric) bool {
	return m.Histogram != nil || m.Builtin != nil && m.Builtin.Kind == v1alpha1.BuiltinLatencyDistribution
}

// bucketBounds are what a metric of a histogram asks for.
func bucketBounds(m *v1alpha1.Metric) *v1alpha1.BucketBounds {
	if m.Histogram != nil {
		return &m.Histogram.BucketBounds
	}
	return &m.Builtin.BucketBounds
}

// choosesBounds tells whether bounds of a metric depend on what stable did before.
func choosesBounds(m *v1alpha1.Metric) bool {
	if !isHistogram(m) {
		return false
	}
	b := bucketBounds(m)
	return len(b.Quantiles) > 0 || len(b.Le) == 0
}

// boundsChosen tells whether a comparison has its bounds.
func boundsChosen(s *v1alpha1.MetricStatus) bool {
	return s != nil && s.Comparison != nil && len(s.Comparison.Bounds) > 0
}

// WithBounds is a metric as it is to be read next: with the bounds that were chosen,
// once they were. Any metric without bounds to choose is returned as it is.
func WithBounds(m *v1alpha1.Metric, s *v1alpha1.MetricStatus) *v1alpha1.Metric {
	if !choosesBounds(m) || !boundsChosen(s) {
		return m
	}
	chosen := m.DeepCopy()
	b := bucketBounds(chosen)
	b.Quantiles, b.Le = nil, nil
	for _, bound := range s.Comparison.Bounds {
		b.Le = append(b.Le, v1alpha1.BucketBound(bound.Le))
	}
	return chosen
}

// parseBounds reads what a metric of a histogram asks for.
func parseBounds(m *v1alpha1.Metric) (quantiles, le []float64, err error) {
	b := bucketBounds(m)
	for _, text := range b.Quantiles {
		q, err := strconv.ParseFloat(string(text), 64)
		if err != nil || !(q > 0 && q < 1) {
			return nil, nil, fmt.Errorf("quantiles: %q is not between 0 and 1", shorten(string(text), 40))
		}
		quantiles = append(quantiles, q)
	}
	for _, text := range b.Le {
		v, err := strconv.ParseFloat(string(text), 64)
		if err != nil || !(v > -maxCounter && v < maxCounter) {
			return nil, nil, fmt.Errorf("le: %q is not a bound", shorten(string(text), 40))
		}
		le = append(le, v)
	}
	slices.Sort(le)
	if choosesBounds(m) && len(quantiles) == 0 {
		quantiles = defaultQuantiles
	}
	return quantiles, slices.Compact(le), nil
}

// latencyProof is the evidence of the bounds of a histogram.
type latencyProof struct {
	// Latency has no bounds until they were chosen.
	Latency   sequential.Latency        `json:"l"`
	Intervals []sequential.OddsInterval `json:"i"`
	// Pods says that stable's pods were told apart.
	Pods bool `json:"p"`
	// Last is stable's latest window while it waits for another to be compared with.
	Last *sequential.Histogram `json:"w,omitempty"`
}

// newLatencyProof begins with the bounds that need not be chosen.
func newLatencyProof(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric) (*latencyProof, error) {
	p := &latencyProof{}
	if choosesBounds(m) {
		return p, nil
	}
	_, le, err := parseBounds(m)
	if err != nil {
		return nil, err
	}
	return p, p.begin(spec, m, le)
}

func (p *latencyProof) begin(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, bounds []float64) error {
	t, err := tolerancesOf(m)
	if err != nil {
		return err
	}
	l, err := sequential.NewLatency(bounds, t, int(spec.Steps))
	if err != nil {
		return err
	}
	p.Latency = l
	p.Latency.DispersionLimit = sequential.UnknownDispersion()
	for range bounds {
		p.Intervals = append(p.Intervals, sequential.NewOddsInterval())
	}
	return nil
}

// check tells whether what was stored can be gone on with.
func (p *latencyProof) check() error {
	if !p.begun() && len(p.Intervals) == 0 {
		return nil
	}
	if err := p.Latency.Check(); err != nil {
		return err
	}
	if len(p.Intervals) != len(p.Latency.Bounds) {
		return fmt.Errorf("%w: %d intervals", sequential.ErrState, len(p.Intervals))
	}
	for i := range p.Intervals {
		if err := p.Intervals[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// begun tells whether there are bounds.
func (p *latencyProof) begun() bool { return len(p.Latency.Bounds) > 0 }

func (p *latencyProof) store(s *storedState) { s.Latency = p }

func (p *latencyProof) restart() { p.Latency.Restart() }

// choose chooses the bounds from what stable had before.
func (p *latencyProof) choose(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, before sequential.Histogram) judgement {
	if p.begun() {
		return judgement{outcome: outcomeNothing, message: "the bounds were chosen before"}
	}
	if before.Total < leastHistory {
		return judgement{outcome: outcomeNoData, reason: ReasonNoData, message: fmt.Sprintf(
			"no data: bounds are chosen from %d requests of stable's in an hour, it had %d", leastHistory, before.Total)}
	}
	quantiles, le, err := parseBounds(m)
	if err != nil {
		return failedToMeasure(ReasonQuery, "", ReasonQuery.Sentence())
	}
	bounds, err := sequential.ChooseBounds(before, quantiles, le)
	if err == nil {
		err = p.begin(spec, m, bounds)
	}
	if err != nil {
		return failedToMeasure(ReasonBucketBounds, "", ReasonBucketBounds.Sentence())
	}
	texts := make([]string, 0, len(bounds))
	for _, b := range bounds {
		texts = append(texts, bucketText(b))
	}
	return judgement{outcome: outcomeNothing, value: "le " + strings.Join(texts, ", "),
		message: fmt.Sprintf("compares at %s, by %d requests of stable's", strings.Join(texts, ", "), before.Total)}
}

var errNoBounds = errors.New("there are no bounds to compare at")

func (p *latencyProof) observe(t *Tally, seed uint64) error {
	h := t.Histograms
	if h == nil || !p.begun() {
		return errNoBounds
	}
	// The dispersion must not know the window that it judges.
	for i, bound := range p.Latency.Bounds {
		canary, err := h.Canary.Slow(bound)
		if err != nil {
			return err
		}
		stable, err := h.Stable.Slow(bound)
		if err != nil {
			return err
		}
		if err := p.Intervals[i].Observe(sequential.Window{Canary: canary, Stable: stable}, p.Latency.Dispersion(i)); err != nil {
			return err
		}
	}
	if err := p.Latency.Observe(h.Canary, h.Stable); err != nil {
		return err
	}
	if len(h.Pods) > 1 {
		p.Pods = true
		p.Latency.DispersionLimit = 0
		return p.learn(h.Pods, seed)
	}
	return p.learnFromWindows(h.Stable)
}

// learnFromWindows compares two windows of stable's that follow each other, where there
// are no two pods to compare.
func (p *latencyProof) learnFromWindows(stable sequential.Histogram) error {
	if p.Pods || stable.Total == 0 {
		return nil
	}
	last := p.Last
	if p.Last = &stable; last == nil {
		return nil
	}
	p.Last = nil
	return p.Latency.ObserveHalves(*last, stable)
}

// learn compares two random halves of stable's pods.
func (p *latencyProof) learn(pods map[string]sequential.Histogram, seed uint64) error {
	names := slices.Sorted(maps.Keys(pods))
	var halves [2]sequential.Histogram
	for i, first := range halvesOf(names, seed, p.Latency.Comparisons[0].Windows) {
		half := &halves[0]
		if first {
			half = &halves[1]
		}
		if half.Bounds == nil {
			*half = pods[names[i]]
			continue
		}
		var err error
		if *half, err = half.Plus(pods[names[i]]); err != nil {
			return err
		}
	}
	return p.Latency.ObserveHalves(halves[0], halves[1])
}

func (p *latencyProof) logE() float64 {
	if !p.begun() {
		return 0
	}
	return p.Latency.LogE()
}

func (p *latencyProof) passes(beta float64) bool { return p.begun() && p.Latency.Passes(beta) }

func (p *latencyProof) seen(m *v1alpha1.Metric, alpha float64) string {
	if !p.begun() {
		return "no bounds to compare at yet"
	}
	unit := ""
	if m.Builtin != nil {
		unit = " ms"
	}
	return p.Latency.Seen("request", unit, alpha, p.Intervals)
}

func (p *latencyProof) missing(alpha, beta float64, rate sequential.Traffic) string {
	if !p.begun() {
		return "needs requests of stable's to choose bounds from"
	}
	return p.Latency.Missing(alpha, beta, rate)
}

func (p *latencyProof) value(tallies []Tally) string {
	bound := p.Latency.Bounds[p.Latency.Leading()]
	var canary, stable sequential.Counts
	for i := range tallies {
		// The bound was found in all of them when they were observed.
		c, _ := tallies[i].Histograms.Canary.Slow(bound)
		s, _ := tallies[i].Histograms.Stable.Slow(bound)
		canary, stable = canary.Plus(c), stable.Plus(s)
	}
	return fmt.Sprintf("over %s: canary %d/%d, stable %d/%d", bucketText(bound), canary.Bad, canary.Total, stable.Bad, stable.Total)
}

func (p *latencyProof) show(e *v1alpha1.ComparisonEvidence) {
	e.P = "1"
	if !p.begun() {
		return
	}
	l, leading := &p.Latency, p.Latency.Leading()
	e.P, e.Le = decimal(l.P()), bucketText(l.Bounds[leading])
	e.Dispersion, e.DispersionMessage = decimal(l.Dispersion(leading)), messageWindows
	if p.Pods {
		e.DispersionMessage = messagePods
	}
	showCounts(e, &l.Comparisons[leading], &p.Intervals[leading])
	for i := range l.Comparisons {
		c := &l.Comparisons[i]
		e.Bounds = append(e.Bounds, v1alpha1.BoundEvidence{
			Le: bucketText(l.Bounds[i]), E: decimal(c.E()), Odds: oddsText(c), Canary: c.Canary.Bad, Stable: c.Stable.Bad,
		})
	}
}

// bucketText writes a bound with all its digits.
func bucketText(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

package analysis

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// What is said about where the dispersion comes from.
const (
	messagePods   = "learned from random halves of stable's pods"
	messageNoPods = "taken for 1, no bursts: the series do not tell stable's pods apart"
)

// ratioProof is the evidence of one ratio.
type ratioProof struct {
	comparison sequential.Comparison
	interval   sequential.OddsInterval
	dispersion *sequential.Dispersion // nil until stable's pods were told apart
}

func newRatioProof(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric) (*ratioProof, error) {
	t, err := tolerancesOf(m)
	if err != nil {
		return nil, err
	}
	c, err := sequential.NewComparison(t, int(spec.Steps))
	return &ratioProof{comparison: c, interval: sequential.NewOddsInterval()}, err
}

// check tells whether what was stored can be gone on with.
func (p *ratioProof) check() error {
	if err := p.comparison.Check(); err != nil {
		return err
	}
	if err := p.interval.Check(); err != nil || p.dispersion == nil {
		return err
	}
	return p.dispersion.Check()
}

func (p *ratioProof) store(s *storedState) {
	s.Comparison, s.Interval, s.Dispersion = &p.comparison, &p.interval, p.dispersion
}

func (p *ratioProof) restart() { p.comparison.Restart() }

func (p *ratioProof) observe(t *Tally, seed uint64) error {
	if t.Pods != nil && p.dispersion == nil {
		d := sequential.NewDispersion()
		p.dispersion = &d
	}
	// The dispersion must not know the window that it judges. Where pods cannot be told
	// apart nothing can be learned of bursts.
	dispersion := 1.0
	if t.Pods != nil {
		dispersion = p.dispersion.Bound()
	}
	if err := p.comparison.Observe(t.Window, dispersion); err != nil {
		return err
	}
	if err := p.interval.Observe(t.Window, dispersion); err != nil {
		return err
	}
	return p.learn(t.Pods, seed)
}

// learn compares two random halves of stable's pods.
func (p *ratioProof) learn(pods map[string]sequential.Counts, seed uint64) error {
	if len(pods) < 2 {
		return nil
	}
	names := slices.Sorted(maps.Keys(pods))
	var halves [2]sequential.Counts
	for i, first := range halvesOf(names, seed, p.comparison.Windows) {
		half := 0
		if first {
			half = 1
		}
		halves[half] = halves[half].Plus(pods[names[i]])
	}
	return p.dispersion.Observe(halves[0], halves[1])
}

func (p *ratioProof) logE() float64 { return p.comparison.LogE() }

func (p *ratioProof) passes(beta float64) bool { return p.comparison.Passes(beta) }

func (p *ratioProof) seen(m *v1alpha1.Metric, alpha float64) string {
	what := m.Name
	if m.Builtin != nil {
		what = "error"
	}
	return p.comparison.Seen(what, alpha, &p.interval)
}

func (p *ratioProof) missing(alpha, beta float64, rate sequential.Traffic) string {
	dispersion, _ := p.bound()
	return p.comparison.Missing(alpha, beta, dispersion, rate)
}

// bound is the dispersion that the next window is judged with, and where it comes from.
func (p *ratioProof) bound() (dispersion float64, why string) {
	if p.dispersion == nil {
		return 1, messageNoPods
	}
	return p.dispersion.Bound(), messagePods
}

func (p *ratioProof) value(tallies []Tally) string {
	var canary, stable sequential.Counts
	for i := range tallies {
		canary, stable = canary.Plus(tallies[i].Canary), stable.Plus(tallies[i].Stable)
	}
	return fmt.Sprintf("canary %d/%d, stable %d/%d", canary.Bad, canary.Total, stable.Bad, stable.Total)
}

func (p *ratioProof) show(e *v1alpha1.ComparisonEvidence) {
	dispersion, why := p.bound()
	e.Dispersion, e.DispersionMessage = decimal(dispersion), why
	e.P = decimal(p.comparison.P())
	showCounts(e, &p.comparison, &p.interval)
}

package analysis

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const maxMissing = 256

// evidenceOf shows a state to people, and keeps it for the next process.
func evidenceOf(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, state *comparisonState) *v1alpha1.ComparisonEvidence {
	e := &v1alpha1.ComparisonEvidence{
		E: decimal(math.Min(math.Exp(state.logE()), math.MaxFloat64)), InStep: state.InStep,
		Missing: shorten(missing(spec, m, state), maxMissing),
	}
	state.show(e)
	if counted := state.Canary + state.Stable; state.Through*1000 > state.Step && counted > 0 {
		e.CanaryShare = decimal(100 * state.Canary / counted)
	}
	if state.Through > 0 {
		e.Through = microTime(time.UnixMilli(state.Through))
	}
	if text, err := state.text(); err == nil {
		e.State = text
	}
	return e
}

// showCounts shows what was counted of one ratio.
func showCounts(e *v1alpha1.ComparisonEvidence, c *sequential.Comparison, i *sequential.OddsInterval) {
	e.Canary = v1alpha1.RequestCounts{Requests: c.Canary.Total, Bad: c.Canary.Bad}
	e.Stable = v1alpha1.RequestCounts{Requests: c.Stable.Total, Bad: c.Stable.Bad}
	e.Odds = oddsText(c)
	if c.Canary.Bad+c.Stable.Bad == 0 {
		return
	}
	low, high := i.Interval(0.05)
	e.Interval = decimal(low) + " to " + decimal(high)
	if math.IsInf(high, 1) {
		e.Interval = "above " + decimal(low)
	}
}

func oddsText(c *sequential.Comparison) string {
	if odds, ok := c.Odds(); ok {
		return decimal(odds)
	}
	return ""
}

// missing says what it takes until there is a verdict in this step.
func missing(spec *v1alpha1.AnalysisRunSpec, m *v1alpha1.Metric, state *comparisonState) string {
	p := &spec.ComparisonPolicy
	rate := sequential.Traffic{CanaryPerSecond: state.Canary, StablePerSecond: state.Stable}
	text := state.missing(alphaOf(p)*shareOf(spec), betaOf(p), rate)
	if left := minRequestsOf(m) - state.InStep; left > 0 && state.Canary > 0 {
		return fmt.Sprintf("needs %d more canary requests in this step; %s", left, text)
	}
	return text
}

// shareOf is the share of one comparison in the evidence of all.
func shareOf(spec *v1alpha1.AnalysisRunSpec) float64 {
	n := 0
	for i := range spec.Metrics {
		if IsComparison(&spec.Metrics[i]) {
			n++
		}
	}
	return sequential.EqualWeight(n)
}

// Weigh puts the evidence of all comparisons of a run together, and condemns the
// canary when it is enough: the metric that leads fails. A run without comparisons is
// left as it is.
func Weigh(spec *v1alpha1.AnalysisRunSpec, status *v1alpha1.AnalysisRunStatus) {
	var terms []sequential.Term
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		if !IsComparison(m) {
			continue
		}
		term := sequential.Term{Metric: m.Name, Weight: shareOf(spec)}
		if s := Evidence(status, m.Name); s != nil {
			state, err := stateOf(spec, m, s)
			if err != nil {
				return // The metric itself says so.
			}
			term.LogE = state.logE()
		}
		terms = append(terms, term)
	}
	if len(terms) == 0 {
		return
	}
	family := familyOf(status)
	if family.Observe(terms) != nil {
		return
	}
	status.Comparison = familyEvidence(&family)
	if family.RollBack(alphaOf(&spec.ComparisonPolicy)) {
		condemn(spec, status, family.Leading)
	}
}

// familyOf reads the evidence of all comparisons. One that is damaged is made up for
// by the metrics' own, which has all but the past peaks.
func familyOf(status *v1alpha1.AnalysisRunStatus) sequential.Family {
	family := sequential.NewFamily()
	if status.Comparison == nil || status.Comparison.State == "" {
		return family
	}
	if err := json.Unmarshal([]byte(status.Comparison.State), &family); err != nil || family.Check() != nil {
		return sequential.NewFamily()
	}
	return family
}

func familyEvidence(f *sequential.Family) *v1alpha1.FamilyEvidence {
	e := &v1alpha1.FamilyEvidence{E: decimal(f.E()), P: decimal(f.P()), Leading: f.Leading}
	if text, err := json.Marshal(f); err == nil {
		e.State = string(text)
	}
	return e
}

// condemn fails the metric that leads.
func condemn(spec *v1alpha1.AnalysisRunSpec, status *v1alpha1.AnalysisRunStatus, leading string) {
	for i := range spec.Metrics {
		m, s := &spec.Metrics[i], Evidence(status, spec.Metrics[i].Name)
		if m.Name != leading || s == nil || final(m, s) {
			continue
		}
		s.Verdict = v1alpha1.VerdictFailure
		s.Message = "the canary is worse than tolerated"
		if state, err := stateOf(spec, m, s); err == nil {
			s.Message = shorten(state.seen(m, alphaOf(&spec.ComparisonPolicy)), maxMetricMessage)
		}
		if n := len(s.Measurements); n > 0 {
			s.Measurements[n-1].Verdict = v1alpha1.VerdictFailure
		}
	}
}

// decimal writes a number for people, with three digits.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

func microTime(t time.Time) *metav1.MicroTime {
	return &metav1.MicroTime{Time: t.UTC().Truncate(time.Microsecond)}
}

package analysis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Measurement is one metric of a run that is to be measured in a stay in a step.
type Measurement struct {
	// Metric to measure.
	Metric *v1alpha1.Metric
	// Policy of comparisons.
	Policy *v1alpha1.ComparisonPolicy
	// Variables of the run.
	Variables Variables
	// Since when the step's weight is in force.
	Since time.Time
	// From is from when a comparison counts.
	From time.Time
	// Due is when it is to be measured.
	Due time.Time
}

// Resolve finds who answers a metric's queries, and how long a query may take. Its
// errors are those of a Provider.
type Resolve func(context.Context) (Provider, time.Duration, error)

// Measurements says what is to be measured next in a step, of a run whose status may
// not speak of the step yet.
func Measurements(run *v1alpha1.AnalysisRun, step *v1alpha1.AnalysisStep, now time.Time) []Measurement {
	status := run.Status.DeepCopy()
	Enter(status, run.Spec.Metrics, *step)
	since := step.Since.Time
	all := make([]Measurement, 0, len(run.Spec.Metrics))
	for i := range run.Spec.Metrics {
		m := &run.Spec.Metrics[i]
		if IsComparison(m) && step.Name == v1alpha1.AfterPromotionStep {
			continue // There is no revision beside it any more.
		}
		evidence := Evidence(status, m.Name)
		from, due := nextOf(&run.Spec, m, evidence, since, now)
		all = append(all, Measurement{
			Metric: WithBounds(m, evidence), Policy: &run.Spec.ComparisonPolicy, Variables: VariablesOf(run), Since: since, From: from, Due: due,
		})
	}
	return all
}

// Measure asks once, at a time. The error, ErrTooEarly, says that nothing was
// measured; whatever else went wrong is in the result.
func (m *Measurement) Measure(ctx context.Context, at time.Time, resolve Resolve) (Result, error) {
	r := Result{Due: m.Due, At: at, Query: m.Metric.Query}
	if IsComparison(m.Metric) {
		return m.compare(ctx, r, resolve)
	}
	q, err := BuildQuery(m.Metric, m.Variables, m.Since, at)
	switch {
	case errors.Is(err, ErrTooEarly):
		return r, err
	case err != nil:
		r.Err = &Error{Reason: ReasonQuery}
		return r, nil //nolint:nilerr // that it cannot be asked is what was measured
	}
	r.Query, r.At = q.Expr, q.At
	r.Sample, r.Err = readSample(ctx, q, resolve)
	return r, nil
}

// readSample asks for one sample.
func readSample(ctx context.Context, q Query, resolve Resolve) (Sample, error) {
	p, timeout, err := resolve(ctx)
	if err != nil {
		return Sample{}, err
	}
	q.Timeout = timeout
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Second)
	defer cancel()
	return p.Query(ctx, q)
}

// compare reads the counters of both revisions.
func (m *Measurement) compare(ctx context.Context, r Result, resolve Resolve) (Result, error) {
	s, err := BuildSelection(m.Metric, m.Policy, m.Variables, m.From, r.At)
	switch {
	case errors.Is(err, ErrTooEarly):
		return r, err
	case err != nil:
		r.Err = &Error{Reason: ReasonQuery}
		return r, nil //nolint:nilerr // that it cannot be asked is what was measured
	}
	texts := make([]string, 0, len(s.Queries))
	for _, q := range s.Queries {
		texts = append(texts, q.Expr)
	}
	r.Query, r.At = strings.Join(texts, "\n"), s.To
	answers, err := readRaw(ctx, s.Queries, resolve)
	if err == nil {
		r.Reading, err = s.Tally(answers)
	}
	r.Err = err
	return r, nil
}

// readRaw asks for samples, one query after the other.
func readRaw(ctx context.Context, queries []Query, resolve Resolve) ([]Matrix, error) {
	p, timeout, err := resolve(ctx)
	if err != nil {
		return nil, err
	}
	reader, ok := p.(RawReader)
	if !ok {
		return nil, &Error{Reason: ReasonRawUnsupported}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Second)
	defer cancel()
	answers := make([]Matrix, 0, len(queries))
	for _, q := range queries {
		q.Timeout = timeout
		answer, err := reader.ReadRaw(ctx, q)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

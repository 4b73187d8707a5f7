package analysis

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// ErrTooEarly means that the step is too young for a query: it would see data from
// before the step.
var ErrTooEarly = errors.New("the step is too young for the query")

// BuildQuery makes the query that measures a metric at a time, in a step whose
// weight is in force since a time. {{window}} is the metric's window, or less where
// the query would see data from before the step. The error is ErrTooEarly, or says
// what is wrong with the query.
func BuildQuery(m *v1alpha1.Metric, v Variables, since, at time.Time) (Query, error) {
	t, err := ParseTemplate(m.Query)
	if err != nil {
		return Query{}, err
	}
	at = at.Truncate(time.Millisecond)
	age := at.Sub(since)
	window, r, err := widest(t, windowOf(m), age)
	if err != nil {
		return Query{}, err
	}
	return Query{
		Expr:     t.Render(v, window),
		At:       at,
		Lookback: wholeUnits(min(maxLookback, age-r.shift)),
	}, nil
}

// widest finds the longest window, in whole seconds, with which a query needs no
// greater age than a step has.
func widest(t *Template, limit, age time.Duration) (time.Duration, reach, error) {
	fits := func(window time.Duration) (reach, bool, error) {
		r, err := t.reach(window)
		return r, err == nil && t.need(r, window) <= age, err
	}
	window := max(min(limit, age.Truncate(time.Second)), time.Second)
	r, ok, err := fits(window)
	if err != nil || ok {
		return window, r, err
	}
	// The need grows with the window, so the boundary can be searched for.
	low, high := time.Duration(0), window/time.Second
	for high-low > 1 {
		middle := (low + high) / 2
		if _, ok, _ := fits(middle * time.Second); ok {
			low = middle
		} else {
			high = middle
		}
	}
	if low == 0 {
		return 0, reach{}, ErrTooEarly
	}
	r, _, err = fits(low * time.Second)
	return low * time.Second, r, err
}

// reach of the query with a window. No value of a variable can change it: values
// are escaped.
func (t *Template) reach(window time.Duration) (reach, error) {
	return reachOf(t.Render(Variables{Namespace: "n", Rollout: "r", Stable: "s", Canary: "c"}, window))
}

func (t *Template) need(r reach, window time.Duration) time.Duration {
	if t.Windowed() {
		return max(r.need(), window)
	}
	return r.need()
}

// leastAge is the least age of a step at which a metric can be measured. A query
// that cannot be built needs none: measuring it is an error at once.
func leastAge(m *v1alpha1.Metric) time.Duration {
	t, err := ParseTemplate(m.Query)
	if err != nil {
		return 0
	}
	r, err := t.reach(time.Second)
	if err != nil {
		return 0
	}
	return t.need(r, time.Second)
}

// wholeUnits rounds down to what every Prometheus can parse: whole seconds, or
// whole milliseconds below a second, but never to zero.
func wholeUnits(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Truncate(time.Second)
	}
	return max(d.Truncate(time.Millisecond), time.Millisecond)
}

// NextDue returns when a metric is to be measured next, in a step whose weight is
// in force since a time. Measurements are an interval apart, counted from the
// first one, which is made when its initial delay has passed and its query sees
// nothing from before the step. A time at or before now means at once. However
// many measurements were missed, only the latest of them is made.
func NextDue(m *v1alpha1.Metric, s *v1alpha1.MetricStatus, since, now time.Time) time.Time {
	first := ceilMilli(since.Add(max(initialDelayOf(m), leastAge(m))))
	interval := intervalOf(m)
	next := first
	if last := s.LastMeasuredAt; last != nil && !last.Time.Before(first) {
		next = first.Add((last.Sub(first)/interval + 1) * interval)
	}
	if now.After(next) {
		next = next.Add(now.Sub(next) / interval * interval)
	}
	return next
}

// ceilMilli rounds up to whole milliseconds, in which queries are evaluated.
func ceilMilli(t time.Time) time.Time {
	if r := t.Truncate(time.Millisecond); !r.Equal(t) {
		return r.Add(time.Millisecond)
	}
	return t
}

// validateComparison says what is wrong with a metric that compares.
func validateComparison(m *v1alpha1.Metric) error {
	var errs []error
	kinds := 0
	for _, set := range []bool{m.Query != "", m.Builtin != nil, m.Ratio != nil, m.Histogram != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return errors.New("exactly one of query, builtin, ratio and histogram must be set")
	}
	t, err := tolerancesOf(m)
	if err == nil {
		_, err = sequential.NewComparison(t, 1)
	}
	errs = append(errs, err)
	if isHistogram(m) {
		_, _, err := parseBounds(m)
		errs = append(errs, err)
	}
	type selector struct{ field, text string }
	var selectors []selector
	if r := m.Ratio; r != nil {
		selectors = []selector{{"ratio.bad", r.Bad}, {"ratio.total", r.Total}}
	}
	if h := m.Histogram; h != nil {
		selectors = []selector{{"histogram.buckets", h.Buckets}}
	}
	for _, s := range selectors {
		if _, err := parseSelector(s.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.field, err))
		}
	}
	return errors.Join(errs...)
}

// ValidateMetrics says what is wrong with metrics, for the author of them. What the
// API server has checked already is not repeated.
func ValidateMetrics(metrics []v1alpha1.Metric) error {
	var errs []error
	seen := map[string]bool{}
	for i := range metrics {
		m := &metrics[i]
		if seen[m.Name] {
			errs = append(errs, fmt.Errorf("metric %q: another metric has this name", m.Name))
		}
		seen[m.Name] = true
		if err := validateMetric(m); err != nil {
			errs = append(errs, fmt.Errorf("metric %q: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

func validateMetric(m *v1alpha1.Metric) error {
	if IsComparison(m) {
		return validateComparison(m)
	}
	var errs []error
	if m.SuccessWhen == "" && m.FailWhen == "" {
		errs = append(errs, errors.New("at least one of successWhen and failWhen must be set"))
	}
	for _, c := range []struct{ field, expr string }{{"successWhen", m.SuccessWhen}, {"failWhen", m.FailWhen}} {
		if c.expr == "" {
			continue
		}
		if _, err := Compile(c.expr); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.field, err))
		}
	}
	t, err := ParseTemplate(m.Query)
	if err == nil {
		_, err = t.reach(time.Second)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("query: %w", err))
	}
	return errors.Join(errs...)
}

package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxMeasurements bounds a replay: a month of one metric at 30s.
const maxMeasurements = 100_000

// player is a replay in progress.
type player struct {
	in       *Input
	provider analysis.Provider
	run      *v1alpha1.AnalysisRun
	report   *Report
	rules    []*ruler
	measured int
	// looked is how many times something was due, asked for or not.
	looked int
}

// Run replays an input with what a provider answers. Errors of type *analysis.Error
// are part of what was recorded, and judged; any other ends the replay.
func Run(ctx context.Context, in *Input, p analysis.Provider) (*Report, error) {
	if err := in.Check(); err != nil {
		return nil, err
	}
	r := &player{
		in: in, provider: p, rules: rulersOf(in), report: newReport(in),
		run: &v1alpha1.AnalysisRun{ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace}, Spec: *in.Spec.DeepCopy()},
	}
	for i := range in.Steps {
		r.report.enter(&in.Steps[i], in.until(i))
		r.enterRules()
		over, err := r.stay(ctx, i)
		if err != nil {
			return nil, err
		}
		if over {
			if err := r.goOn(ctx, i); err != nil {
				return nil, err
			}
			break
		}
	}
	r.report.conclude(r.run, in.Steps[len(in.Steps)-1], r.measured, r.rules)
	return r.report, nil
}

// stay measures in a stay in a step, and tells whether the run came to its end.
func (r *player) stay(ctx context.Context, i int) (over bool, err error) {
	step, now := &r.in.Steps[i], r.in.Steps[i].Since.Time
	for {
		due := soonest(analysis.Measurements(r.run, step, now), now)
		if r.over(i, due) {
			return false, nil
		}
		if err := r.look(due); err != nil {
			return false, err
		}
		now = later(now, due[0].Due)
		answers, err := r.measure(ctx, due, now)
		if err != nil {
			return false, err
		}
		before := r.run.Status
		r.run.Status = *analysis.Advance(r.run, step, answers, now)
		if err := moved(&r.run.Status, due); err != nil {
			return false, err
		}
		r.report.tell(&before, &r.run.Status, due, now)
		if r.in.Watch != nil {
			r.in.Watch(now, r.run.Status.DeepCopy())
		}
		if _, final := analysis.Final(r.run); final {
			return true, nil
		}
	}
}

// look counts what is due, and refuses to go on forever.
func (r *player) look(due []analysis.Measurement) error {
	if r.looked += len(due); r.looked > maxMeasurements {
		return fmt.Errorf("more than %d measurements: choose a shorter range of time, or a longer interval", maxMeasurements)
	}
	return nil
}

// soonest returns the measurements that are due first, all of those that are due at
// once.
func soonest(all []analysis.Measurement, now time.Time) []analysis.Measurement {
	if len(all) == 0 {
		return nil
	}
	first := slices.MinFunc(all, func(a, b analysis.Measurement) int { return a.Due.Compare(b.Due) })
	at := later(first.Due, now)
	all = slices.DeleteFunc(all, func(m analysis.Measurement) bool { return m.Due.After(at) })
	slices.SortStableFunc(all, func(a, b analysis.Measurement) int { return a.Due.Compare(b.Due) })
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// measure asks for all that is due at a time.
func (r *player) measure(ctx context.Context, due []analysis.Measurement, now time.Time) ([]analysis.Answer, error) {
	answers := make([]analysis.Answer, 0, len(due))
	for i := range due {
		m := &due[i]
		result, err := r.ask(ctx, m, now)
		if err != nil {
			return nil, err
		}
		r.applyRules(m, &result, now)
		answers = append(answers, analysis.Answer{Metric: m.Metric.Name, Since: m.Since, Result: result})
	}
	return answers, nil
}

// ask asks for one measurement. The error ends the replay.
func (r *player) ask(ctx context.Context, m *analysis.Measurement, now time.Time) (analysis.Result, error) {
	r.measured++
	result, err := m.Measure(ctx, now, func(context.Context) (analysis.Provider, time.Duration, error) {
		return r.provider, r.in.timeout(), nil
	})
	var known *analysis.Error
	switch {
	case err != nil:
		return result, fmt.Errorf("metric %s at %s: %w", m.Metric.Name, now.Format(time.RFC3339), err)
	case ctx.Err() != nil:
		return result, ctx.Err()
	case result.Err != nil && !errors.As(result.Err, &known):
		return result, fmt.Errorf("metric %s at %s: %w", m.Metric.Name, now.Format(time.RFC3339), result.Err)
	}
	return result, nil
}

// moved holds that what was measured counts: what does not would be measured forever.
func moved(status *v1alpha1.AnalysisRunStatus, due []analysis.Measurement) error {
	for i := range due {
		s := analysis.Evidence(status, due[i].Metric.Name)
		if s == nil || s.LastMeasuredAt == nil || !s.LastMeasuredAt.Equal(&metav1.MicroTime{Time: due[i].Due.Truncate(time.Microsecond)}) {
			return fmt.Errorf("metric %s: the measurement that was due at %s was not counted", due[i].Metric.Name, due[i].Due.Format(time.RFC3339Nano))
		}
	}
	return nil
}

// goOn measures after the judge has decided in a stay: for the rules that have not, and
// to the end where that is asked for. Nothing is judged any more.
func (r *player) goOn(ctx context.Context, i int) error {
	run := undecided(r.run)
	for begun := i; i < len(r.in.Steps); i++ {
		if i > begun {
			r.enterRules()
		}
		if err := r.goOnIn(ctx, run, i); err != nil {
			return err
		}
	}
	return nil
}

// goOnIn goes on in one stay in a step.
func (r *player) goOnIn(ctx context.Context, run *v1alpha1.AnalysisRun, i int) error {
	step, now := &r.in.Steps[i], r.in.Steps[i].Since.Time
	for {
		due := soonest(analysis.Measurements(run, step, now), now)
		if r.over(i, due) {
			return nil
		}
		if err := r.look(due); err != nil {
			return err
		}
		now = later(now, due[0].Due)
		analysis.Enter(&run.Status, run.Spec.Metrics, *step)
		for j := range due {
			m, through := &due[j], due[j].From
			if r.in.ToTheEnd || r.ruled(m.Metric.Name) {
				result, err := r.ask(ctx, m, now)
				if err != nil {
					return err
				}
				r.applyRules(m, &result, now)
				if result.Err == nil && result.Reading != nil {
					through = later(through, result.Reading.To)
				}
			}
			s := analysis.Evidence(&run.Status, m.Metric.Name)
			s.LastMeasuredAt = &metav1.MicroTime{Time: m.Due.Truncate(time.Microsecond)}
			s.Comparison.Through = &metav1.MicroTime{Time: through}
		}
		if !r.in.ToTheEnd && !slices.ContainsFunc(r.rules, func(rule *ruler) bool { return rule.fired == nil }) {
			return nil
		}
	}
}

// undecided is a run that was measured as far as another one, and came to nothing.
func undecided(run *v1alpha1.AnalysisRun) *v1alpha1.AnalysisRun {
	run = run.DeepCopy()
	for i := range run.Status.Metrics {
		s := &run.Status.Metrics[i]
		s.Verdict, s.Failed, s.ConsecutiveErrors = "", 0, 0
		if s.Comparison == nil {
			s.Comparison = &v1alpha1.ComparisonEvidence{}
		}
	}
	return run
}

// ruled tells whether a rule waits for a metric.
func (r *player) ruled(metric string) bool {
	return slices.ContainsFunc(r.rules, func(rule *ruler) bool { return rule.metric == metric && rule.fired == nil })
}

func (r *player) enterRules() {
	for _, rule := range r.rules {
		rule.enter()
	}
}

func (r *player) applyRules(m *analysis.Measurement, result *analysis.Result, now time.Time) {
	for _, rule := range r.rules {
		if rule.metric == m.Metric.Name {
			rule.observe(result, now)
		}
	}
}

// over tells whether nothing is due any more in a stay: what is due when the next one
// begins is measured there.
func (r *player) over(i int, due []analysis.Measurement) bool {
	if len(due) == 0 {
		return true
	}
	at, until := due[0].Due, r.in.until(i)
	return at.After(until) || i < len(r.in.Steps)-1 && at.Equal(until)
}

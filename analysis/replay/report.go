package replay

import (
	"math"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Report is what a replay came to.
type Report struct {
	Namespace string    `json:"namespace"`
	Rollout   string    `json:"rollout"`
	Canary    string    `json:"canary"`
	Stable    string    `json:"stable"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	// Verdict is what the analysis would have said at the end: Success, Failure,
	// Inconclusive, Error or Pending. Failure, and Error where it is final, would have
	// aborted the release.
	Verdict v1alpha1.Verdict `json:"verdict"`
	// Aborts tells whether the release would have been aborted.
	Aborts bool `json:"aborts"`
	// Message says what the verdict rests on.
	Message string `json:"message"`
	// Decision is when the verdict was there first; nil for one that decides nothing.
	Decision *Decision `json:"decision,omitempty"`
	// Rules say what the plain rule would have done, of each metric that counts failed
	// requests.
	Rules []RuleReport `json:"rules,omitempty"`
	// Steps tell when each step would have been passed.
	Steps []StepReport `json:"steps"`
	// Metrics are the evidence at the end.
	Metrics []v1alpha1.MetricStatus `json:"metrics"`
	// Notes say which data is missing, and what was looked for.
	Notes []string `json:"notes,omitempty"`
	// Measurements is how many were made, those for the rules alone included.
	Measurements int `json:"measurements"`
	// Timeline has every measurement; those that count for a decision say so.
	Timeline []Moment `json:"timeline"`
}

// Decision is a verdict at a time.
type Decision struct {
	At   time.Time `json:"at"`
	Step string    `json:"step"`
	// After is how long after the step's weight was in force.
	After   string `json:"after"`
	Metric  string `json:"metric,omitempty"`
	Message string `json:"message"`
	// Canary and Stable are what was counted by then, over all steps; nil where
	// nothing is compared.
	Canary *v1alpha1.RequestCounts `json:"canary,omitempty"`
	Stable *v1alpha1.RequestCounts `json:"stable,omitempty"`
}

// RuleReport is what the plain rule would have done.
type RuleReport struct {
	Metric string `json:"metric"`
	Rule   string `json:"rule"`
	// Aborts is when it would have aborted; nil when it would not.
	Aborts *Firing `json:"aborts,omitempty"`
}

// StepReport is what became of one stay in a step.
type StepReport struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Passed is when its metrics passed first; nil when they did not.
	Passed *Decision `json:"passed,omitempty"`
}

// Moment is one measurement, and what the judge made of it.
type Moment struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`
	Metric string    `json:"metric"`
	// Measured is the verdict of the measurement alone, Value what was measured, and
	// Reason a fixed word for why nothing was.
	Measured v1alpha1.Verdict `json:"measured"`
	Value    string           `json:"value,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	// Verdict is the metric's, and Message the sentence that the live analysis says.
	Verdict v1alpha1.Verdict `json:"verdict"`
	Message string           `json:"message"`
	// E is the evidence that the canary is worse than tolerated, of a comparison.
	E string `json:"e,omitempty"`
	// Run is the verdict over all metrics.
	Run v1alpha1.Verdict `json:"run"`
	// Relevant tells that something changed that counts for a decision.
	Relevant bool `json:"relevant,omitempty"`
}

func newReport(in *Input) *Report {
	s := &in.Spec.Subject
	return &Report{
		Namespace: in.Namespace, Rollout: s.Rollout, Canary: s.CanaryRevision, Stable: s.StableRevision,
		From: in.Steps[0].Since.Time, To: in.To, Timeline: []Moment{},
	}
}

func (r *Report) enter(step *v1alpha1.AnalysisStep, until time.Time) {
	r.Steps = append(r.Steps, StepReport{Name: step.Name, Since: step.Since.Time, Until: until})
}

// tell adds what was measured at a time to the timeline.
func (r *Report) tell(before, after *v1alpha1.AnalysisRunStatus, due []analysis.Measurement, now time.Time) {
	for i := range due {
		s := analysis.Evidence(after, due[i].Metric.Name)
		latest := s.Measurements[len(s.Measurements)-1]
		m := Moment{
			At: now, Step: after.Step.Name, Metric: s.Name, Verdict: s.Verdict, Message: s.Message, Run: after.Verdict,
			Measured: latest.Verdict, Value: latest.Value, Reason: latest.Reason,
		}
		if s.Comparison != nil {
			m.E = s.Comparison.E
		}
		var was *v1alpha1.MetricStatus
		if analysis.SameStep(before.Step, after.Step) {
			was = analysis.Evidence(before, s.Name)
		}
		m.Relevant = relevant(was, s) || before.Verdict != after.Verdict && s.Verdict == after.Verdict
		r.Timeline = append(r.Timeline, m)
	}
	step := &r.Steps[len(r.Steps)-1]
	if step.Passed == nil && after.Verdict == v1alpha1.VerdictSuccess {
		step.Passed = decisionAt(after, "", now)
	}
}

// relevant tells whether a measurement changed what counts for a decision: it is the
// first of its stay, it comes to something else than the one before, it failed, or the
// evidence reached another power of ten.
func relevant(was, is *v1alpha1.MetricStatus) bool {
	if was == nil || was.LastMeasuredAt == nil || was.Verdict != is.Verdict || is.Failed > was.Failed {
		return true
	}
	latest, before := is.Measurements[len(is.Measurements)-1], was.Measurements[len(was.Measurements)-1]
	return latest.Verdict != before.Verdict || latest.Reason != before.Reason || decade(is) > decade(was)
}

// decade is which power of ten the evidence has reached; 0 below 10.
func decade(s *v1alpha1.MetricStatus) int {
	if s.Comparison == nil {
		return 0
	}
	e, err := strconv.ParseFloat(s.Comparison.E, 64)
	if err != nil || !(e >= 10) || math.IsInf(e, 0) {
		return 0
	}
	return int(math.Log10(e))
}

// decisionAt describes a verdict of a run.
func decisionAt(status *v1alpha1.AnalysisRunStatus, metric string, now time.Time) *Decision {
	d := &Decision{
		At: now, Step: status.Step.Name, After: short(now.Sub(status.Step.Since.Time)), Metric: metric, Message: status.Message,
	}
	var most *v1alpha1.ComparisonEvidence
	for i := range status.Metrics {
		s := &status.Metrics[i]
		switch {
		case s.Comparison == nil:
		case s.Name == metric:
			most = s.Comparison
			d.Canary, d.Stable = most.Canary.DeepCopy(), most.Stable.DeepCopy()
			return d
		case most == nil || s.Comparison.Canary.Requests > most.Canary.Requests:
			most = s.Comparison
		}
	}
	if most != nil {
		d.Canary, d.Stable = most.Canary.DeepCopy(), most.Stable.DeepCopy()
	}
	return d
}

// conclude says what it all came to.
func (r *Report) conclude(run *v1alpha1.AnalysisRun, last v1alpha1.AnalysisStep, measured int, rules []*ruler) {
	status := run.Status.DeepCopy()
	for i := range status.Metrics {
		if c := status.Metrics[i].Comparison; c != nil {
			c.State = "" // It is for the next process of the operator alone.
		}
	}
	r.Measurements, r.Metrics = measured, status.Metrics
	for _, rule := range rules {
		r.Rules = append(r.Rules, RuleReport{Metric: rule.metric, Rule: rule.String(), Aborts: rule.fired})
	}
	// What a release makes of its run.
	r.Verdict, r.Aborts, _, r.Message = analysis.Decision(run, last)
	if len(r.Timeline) == 0 {
		r.Message = "nothing was due to be measured"
		return
	}
	end := &r.Timeline[len(r.Timeline)-1]
	end.Relevant = true
	switch {
	case r.Aborts:
		r.Decision = decisionAt(status, blamed(status, r.Verdict), end.At)
	case r.Verdict == v1alpha1.VerdictSuccess:
		r.Decision = r.Steps[len(r.Steps)-1].Passed
	case r.Verdict == v1alpha1.VerdictInconclusive || r.Verdict == v1alpha1.VerdictError:
		r.Decision = decisionAt(status, blamed(status, r.Verdict), r.since(status))
		r.Decision.Canary, r.Decision.Stable = nil, nil // More was counted since.
	}
}

// blamed is the first metric with a verdict.
func blamed(status *v1alpha1.AnalysisRunStatus, v v1alpha1.Verdict) string {
	for i := range status.Metrics {
		if status.Metrics[i].Verdict == v {
			return status.Metrics[i].Name
		}
	}
	return ""
}

// since is from when on, in the last step, the verdict at the end was there without a
// break.
func (r *Report) since(status *v1alpha1.AnalysisRunStatus) time.Time {
	at := r.Timeline[len(r.Timeline)-1].At
	for i := len(r.Timeline) - 1; i >= 0; i-- {
		m := &r.Timeline[i]
		if m.Run != status.Verdict || m.At.Before(status.Step.Since.Time) {
			break
		}
		at = m.At
	}
	return at
}

// short writes a duration without what is zero: 5m, not 5m0s.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	for _, zero := range []struct{ suffix, kept string }{{"m0s", "m"}, {"h0m", "h"}} {
		if n := len(text) - len(zero.suffix); n > 0 && text[n:] == zero.suffix {
			text = text[:n] + zero.kept
		}
	}
	return text
}

package story

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Explanation says why a Rollout is where it is.
type Explanation struct {
	Standing
	// Position is where in its steps the release is, in words.
	Position string `json:"position,omitempty"`
	// Gates are what the current step needs, in the order in which they open.
	Gates []Gate `json:"gates,omitempty"`
	// Findings are what else was seen: pods that do not start, metrics that fail.
	Findings []string `json:"findings,omitempty"`
	// Next lists what happens by itself, soonest first.
	Next []Event `json:"next,omitempty"`
	// Advice is what a person can do, the likeliest first.
	Advice []Advice `json:"advice,omitempty"`
}

// Event is something that happens at a time.
type Event struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Advice is a command and what it does.
type Advice struct {
	Command string `json:"command,omitempty"`
	What    string `json:"what"`
}

// Explain derives everything from what was read.
func Explain(s *Snapshot) Explanation {
	e := Explanation{Standing: StandingOf(s.Rollout)}
	if Releasing(s.Rollout) {
		e.Position = Position(s.Rollout)
		e.Gates = Gates(s)
	}
	e.Findings = findings(s)
	e.Next = next(s)
	e.Advice = advise(s, e.State)
	return e
}

// findings are what the conditions do not say.
func findings(s *Snapshot) []string {
	var out []string
	for _, r := range s.Revisions() {
		if r.Role == Earlier {
			continue
		}
		out = append(out, podFindings(&r)...)
		if r.Role == Canary && r.Run != nil {
			out = append(out, metricFindings(r.Run)...)
		}
	}
	if s.Rollout.Spec.Paused && !Releasing(s.Rollout) {
		out = append(out, "spec.paused is set: the next release will be held")
	}
	return append(out, s.Unread...)
}

// manyPods is how many pods in trouble are told of one by one.
const manyPods = 3

func podFindings(r *Revision) []string {
	var out []string
	troubled := 0
	for i := range r.Pods {
		state := PodState(&r.Pods[i])
		if state.Trouble == "" {
			continue
		}
		if troubled++; troubled <= manyPods {
			out = append(out, fmt.Sprintf("%s pod %s: %s", r.Role, r.Pods[i].Name, state.Trouble))
		}
	}
	if troubled > manyPods {
		out = append(out, fmt.Sprintf("%d more of the %s's pods are in trouble", troubled-manyPods, r.Role))
	}
	return out
}

func metricFindings(run *v1alpha1.AnalysisRun) []string {
	var out []string
	for i := range run.Status.Metrics {
		if m := &run.Status.Metrics[i]; m.Verdict != v1alpha1.VerdictSuccess && m.Message != "" {
			out = append(out, fmt.Sprintf("metric %s is %s: %s", m.Name, m.Verdict, m.Message))
		}
	}
	return out
}

// next lists what time alone brings about.
func next(s *Snapshot) []Event {
	var out []Event
	if Releasing(s.Rollout) {
		out = append(out, deadline(s)...)
		out = append(out, measurements(s)...)
		if at, ok := bakeEnd(s.Rollout); ok && at.After(s.Now) {
			out = append(out, Event{at, "the bake of step " + s.Rollout.Status.Step.Name + " ends"})
		}
	}
	out = append(out, afterPromotion(s)...)
	for _, d := range s.Rollout.Status.Draining {
		at := d.Since.Add(orDefault(s.Rollout.Spec.Traffic.DrainTime, 30*time.Second))
		if at.After(s.Now) {
			out = append(out, Event{at, fmt.Sprintf("the drain time of revision %s ends", d.Revision)})
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return a.At.Compare(b.At) })
	return out
}

// afterPromotion is when the watch over a promoted revision, and the keeping of the one
// before, end.
func afterPromotion(s *Snapshot) []Event {
	after, spec := s.Rollout.Status.AfterPromotion, s.Rollout.Spec.AfterPromotion
	if after == nil || spec == nil {
		return nil
	}
	var out []Event
	bake := orDefault(spec.Bake, 0)
	if after.BakedAt == nil {
		out = append(out, Event{after.PromotedAt.Add(bake), "the bake after the promotion ends"})
	}
	keep := max(bake, orDefault(spec.KeepPrevious, 0))
	return append(out, Event{after.PromotedAt.Add(keep), fmt.Sprintf("the previous revision %s is not kept ready any longer", after.Previous)})
}

// deadline is when pods that do not come abort the release.
func deadline(s *Snapshot) []Event {
	step := s.Rollout.Status.Step
	canary := s.canary()
	if step.InForceSince != nil || canary.Available() >= canary.Wanted() {
		return nil
	}
	since := step.EnteredAt.Time
	if step.ProgressAt != nil {
		since = step.ProgressAt.Time
	}
	at := since.Add(orDefault(s.Rollout.Spec.ProgressDeadline, 10*time.Minute))
	return []Event{{at, "the release is aborted unless more of the canary's pods are available by then"}}
}

// measurements is when the metric that is due first is measured.
func measurements(s *Snapshot) []Event {
	run := s.currentRun()
	if run == nil {
		return nil
	}
	var first *Event
	for i := range run.Spec.Metrics {
		m := &run.Spec.Metrics[i]
		status := metricStatus(run, m.Name)
		if status == nil || status.LastMeasuredAt == nil {
			continue
		}
		at := status.LastMeasuredAt.Add(orDefault(m.Interval, 30*time.Second))
		if at.After(s.Now) && (first == nil || at.Before(first.At)) {
			first = &Event{at, "metric " + m.Name + " is measured"}
		}
	}
	if first == nil {
		return nil
	}
	return []Event{*first}
}

func metricStatus(run *v1alpha1.AnalysisRun, name string) *v1alpha1.MetricStatus {
	i := slices.IndexFunc(run.Status.Metrics, func(m v1alpha1.MetricStatus) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &run.Status.Metrics[i]
}

// canary is the canary's revision, or a zero one.
func (s *Snapshot) canary() Revision {
	if c := s.Rollout.Status.Canary; c != nil {
		return s.revision(c.Revision, Canary, c)
	}
	return Revision{}
}

// currentRun is the analysis of the attempt in progress, or nil.
func (s *Snapshot) currentRun() *v1alpha1.AnalysisRun {
	run := s.canary().Run
	if run == nil || run.Spec.Subject.Attempt != s.Rollout.Status.Attempt {
		return nil
	}
	return run
}

// MeasuredShare is the percentage of requests that the canary was seen to have in this
// step, by the first metric that compares; empty without one.
func MeasuredShare(s *Snapshot) string {
	run := s.currentRun()
	if run == nil || !Releasing(s.Rollout) {
		return ""
	}
	for i := range run.Status.Metrics {
		if c := run.Status.Metrics[i].Comparison; c != nil && c.CanaryShare != "" {
			return c.CanaryShare
		}
	}
	return ""
}

package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// pass is a step that was passed on measurements that its AnalysisRun does not show
// yet: a success may be written a moment after what it led to.
type pass struct {
	namespace, rollout, canary string
	attempt                    int32
	step                       string
	from, to                   time.Time
	revision                   int64
}

func (p *pass) violation() Violation {
	return Violation{
		Invariant: Moves, Namespace: p.namespace, Revision: p.revision,
		Message: fmt.Sprintf("step %s was passed without successful measurements of every metric from %s to %s",
			p.step, p.from.UTC().Format(time.RFC3339Nano), p.to.UTC().Format(time.RFC3339Nano)),
	}
}

// expectEvidence wants the attempt's AnalysisRun to show, now or the next time that it
// is written, why a step could be passed.
func (c *Checker) expectEvidence(ch *change, now *v1alpha1.Rollout, was *v1alpha1.RolloutStatus) {
	if slices.Contains(c.exempt[ch.Namespace], Moves) {
		return
	}
	p := pass{
		namespace: now.Namespace, rollout: now.Name, canary: was.Canary.Revision, attempt: was.Attempt,
		step: was.Step.Name, from: was.Step.EnteredAt.Time, to: now.Status.Step.EnteredAt.Time, revision: ch.Revision,
	}
	if since := was.Step.InForceSince; since != nil {
		p.from = since.Time
	}
	for _, run := range list[v1alpha1.AnalysisRun](c.world, KindAnalysisRun, now.Namespace) {
		if p.isOf(run) && p.provedBy(run) {
			return
		}
	}
	c.unproved = append(c.unproved, p)
}

// checkEvidence looks into a version of an AnalysisRun for what is expected of it.
func (c *Checker) checkEvidence(ch *change) {
	if ch.Kind != KindAnalysisRun || ch.new == nil {
		return
	}
	run, _ := ch.new.typed.(*v1alpha1.AnalysisRun)
	c.unproved = slices.DeleteFunc(c.unproved, func(p pass) bool {
		if p.namespace != ch.Namespace || !p.isOf(run) {
			return false
		}
		if !p.provedBy(run) {
			c.violations = append(c.violations, p.violation())
		}
		return true
	})
}

func (p *pass) isOf(run *v1alpha1.AnalysisRun) bool {
	s := run.Spec.Subject
	return s.Rollout == p.rollout && s.CanaryRevision == p.canary && s.Attempt == p.attempt
}

// provedBy reports whether a run has as many successful measurements of each of its
// metrics as that asks for, or as many as a status keeps, all from while the step was
// current.
func (p *pass) provedBy(run *v1alpha1.AnalysisRun) bool {
	for i := range run.Spec.Metrics {
		m := &run.Spec.Metrics[i]
		j := slices.IndexFunc(run.Status.Metrics, func(s v1alpha1.MetricStatus) bool { return s.Name == m.Name })
		if j < 0 {
			return false
		}
		successes := int32(0)
		for _, x := range run.Status.Metrics[j].Measurements {
			if x.Verdict == v1alpha1.VerdictSuccess && !x.At.Time.Before(p.from) && !x.At.After(p.to) {
				successes++
			}
		}
		if successes < min(max(1, m.Count), kept) {
			return false
		}
	}
	return true
}

// kept is how many measurements of a metric a status keeps.
const kept = 10

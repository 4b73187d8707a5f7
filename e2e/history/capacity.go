package history

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// promotion names the final move of all traffic in a Rollout's status.
const promotion = "promotion"

// percentOf returns weight percent of n, rounded up.
func percentOf(n, weight int32) int32 { return int32((int64(n)*int64(weight) + 99) / 100) }

// need is how many pods of a revision a weight asks for: its share of the
// replicas, of those that stable proved to need, or as few canary pods as the step
// says.
func need(r *v1alpha1.Rollout, revision string, weight int32) int32 {
	replicas, s := ptr.Deref(r.Spec.Replicas, 1), &r.Status
	if weight <= 0 || replicas == 0 {
		return 0
	}
	if s.Stable != nil && s.Stable.Revision == revision && s.Stable.Proven > 0 {
		replicas = min(replicas, s.Stable.Proven)
	}
	n := percentOf(replicas, weight)
	if s.Canary != nil && s.Canary.Revision == revision && s.Step != nil && weight <= s.Step.Weight {
		n = min(n, canaryPods(r))
	}
	return max(1, n)
}

// canaryPods is how many pods the current step asks for.
func canaryPods(r *v1alpha1.Rollout) int32 {
	replicas, step := ptr.Deref(r.Spec.Replicas, 1), stepOf(r)
	switch {
	case step == nil:
		return replicas
	case step.Scale != nil && step.Scale.Replicas != nil:
		return *step.Scale.Replicas
	case step.Scale != nil && step.Scale.Percent != nil:
		return percentOf(replicas, *step.Scale.Percent)
	}
	return min(replicas, max(1, percentOf(replicas, step.Weight)))
}

// stepOf returns the spec's step that the status is in, or nil.
func stepOf(r *v1alpha1.Rollout) *v1alpha1.Step {
	if r.Status.Step == nil || r.Spec.Strategy.Canary == nil {
		return nil
	}
	return stepAt(r, r.Status.Step)
}

// stepAt returns the spec's step that s speaks of, or nil when the spec has no such
// step there.
func stepAt(r *v1alpha1.Rollout, s *v1alpha1.StepStatus) *v1alpha1.Step {
	steps := r.Spec.Strategy.Canary.Steps
	if int(s.Index) >= len(steps) || s.Name == promotion {
		return nil
	}
	step := &steps[s.Index]
	if name(step, int(s.Index)) != s.Name || step.Weight != s.Weight {
		return nil
	}
	return step
}

func name(s *v1alpha1.Step, index int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("step-%d", index+1)
}

// holds reports whether ready pods are enough to go on with: at least one, and
// three quarters of the need.
func holds(ready, need int32) bool {
	return need == 0 || ready > 0 && int64(ready)*4 >= int64(need)*3
}

// checkCapacity holds C at rest: whatever has weight has the pods for it, or as
// many as it has carried it with.
func (c *Checker) checkCapacity(ch *change) {
	if ch.Kind == KindLease || ch.Kind == KindAnalysisRun || ch.Kind == KindRolloutAction {
		return
	}
	for _, r := range c.world.rollouts(ch.Namespace) {
		t := c.track(r)
		s, ok := c.world.splitOf(r)
		if !ok || t.foreign() || r.DeletionTimestamp != nil {
			continue
		}
		for _, revision := range s.revisions() {
			weight := s.weight(revision)
			if weight == 0 {
				continue
			}
			ready := c.world.readyPods(r, revision)
			asked := need(r, revision, weight)
			if known, ok := t.carried[revision]; ok {
				asked = min(asked, max(1, known))
			}
			// Who asked for fewer pods meanwhile, and for more again, had it carried by
			// the few.
			t.carried[revision] = max(min(t.carried[revision], asked), ready)
			c.state(r.Name+"/"+revision, Capacity, ch.Version, !holds(ready, asked),
				fmt.Sprintf("revision %s has %d%% and %d ready pods of the %d that this needs", revision, weight, ready, asked))
		}
	}
}

// checkScaleDown holds C for pods that the operator takes away: only what is beyond
// the need of a revision with traffic, and anything once it was drained. Stable is
// scaled as the spec says at any time, in the moment after it handed all traffic
// over, too: that many pods can carry whatever still arrives.
func (c *Checker) checkScaleDown(ch *change) {
	if ch.Kind != KindReplicaSet || ch.Writer == "" || ch.old == nil {
		return
	}
	before, _ := ch.old.typed.(*appsv1.ReplicaSet)
	var after int32
	if ch.new != nil {
		rs, _ := ch.new.typed.(*appsv1.ReplicaSet)
		after = ptr.Deref(rs.Spec.Replicas, 1)
	}
	if after >= ptr.Deref(before.Spec.Replicas, 1) {
		return
	}
	for _, r := range c.world.rollouts(ch.Namespace) {
		if revision, ok := revisionOf(r, before); ok {
			c.checkFewer(ch, r, revision, after)
		}
	}
}

// checkFewer holds C for a revision that is left with so many pods.
func (c *Checker) checkFewer(ch *change, r *v1alpha1.Rollout, revision string, after int32) {
	s, known := c.world.splitOf(r)
	kept, stable, replicas := r.Status.AfterPromotion, r.Status.Stable, ptr.Deref(r.Spec.Replicas, 1)
	switch {
	case kept != nil && kept.Previous == revision && after < replicas:
		c.violate(Capacity, ch.Version, "ReplicaSet %s was scaled to %d, but is kept ready to return with %d pods", ch.Name, after, replicas)
	case !known:
		c.violate(Capacity, ch.Version, "ReplicaSet %s was scaled to %d while the routing is not there to say who has traffic", ch.Name, after)
	case s.weight(revision) > 0:
		if asked := need(r, revision, s.weight(revision)); after < asked {
			c.violate(Capacity, ch.Version, "ReplicaSet %s was scaled to %d, but has %d%% and needs %d pods", ch.Name, after, s.weight(revision), asked)
		}
	case stable != nil && stable.Revision == revision && after >= replicas:
	default:
		c.checkDrained(ch, r, revision, after)
	}
}

func (c *Checker) checkDrained(ch *change, r *v1alpha1.Rollout, revision string, after int32) {
	t := c.track(r)
	last := t.lastTraffic[revision]
	if anybody := t.lastTraffic[""]; anybody.After(last) {
		last = anybody
	}
	if last.IsZero() || r.Spec.Traffic.DrainTime == nil {
		return
	}
	if idle := ch.Seen.Sub(last); idle < r.Spec.Traffic.DrainTime.Duration {
		c.violate(Capacity, ch.Version, "ReplicaSet %s was scaled to %d only %s after it last had weight, not %s",
			ch.Name, after, idle, r.Spec.Traffic.DrainTime.Duration)
	}
}

package history

import (
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// checkRouting follows the weights of the revisions, and holds M for the operator's
// writes: no revision but stable gets more weight than it has unless it is being
// released, and then no more than its step has.
func (c *Checker) checkRouting(ch *change) {
	switch ch.Kind {
	case KindVirtualService, KindDestinationRule, KindHTTPRoute, KindGRPCRoute, KindService, KindRollout:
	default:
		return
	}
	for _, r := range c.world.rollouts(ch.Namespace) {
		t := c.track(r)
		if routesBy(r, ch.Kind, ch.Name) {
			if ch.Writer == "" {
				t.foreignAt = ch.Revision
			} else {
				t.operatorAt = ch.Revision
			}
		}
		c.follow(ch, r, t)
	}
}

func (c *Checker) follow(ch *change, r *v1alpha1.Rollout, t *track) {
	before := t.split
	s, ok := c.world.splitOf(r)
	if !ok {
		// What had traffic may still have it: proxies and the users decide.
		return
	}
	t.split = &s
	if before == nil {
		before = &split{}
	}
	if s.unbound() || before.unbound() {
		t.lastTraffic[""] = ch.Seen
	}
	both := append(s.revisions(), before.revisions()...)
	slices.Sort(both)
	for _, revision := range slices.Compact(both) {
		was, is := before.weight(revision), s.weight(revision)
		if was > 0 || is > 0 {
			t.lastTraffic[revision] = ch.Seen
		}
		if is == 0 {
			delete(t.carried, revision)
		}
		if is > was && ch.Writer != "" && ch.Kind != KindRollout {
			c.checkRise(ch, r, revision, was, is)
		}
	}
}

// checkRise holds M and C for a weight that the operator raised.
func (c *Checker) checkRise(ch *change, r *v1alpha1.Rollout, revision string, was, is int32) {
	s := &r.Status
	if s.Stable == nil || c.track(r).split.unbound() {
		return
	}
	ready, need := c.world.readyPods(r, revision), need(r, revision, is)
	if revision == s.Stable.Revision {
		if !holds(ready, need) {
			c.violate(Capacity, ch.Version, "stable %s was raised from %d%% to %d%% with %d ready pods of the %d that this needs", revision, was, is, ready, need)
		}
		return
	}
	why := ""
	switch {
	case s.Canary == nil || s.Canary.Revision != revision:
		why = "is not being released"
	case s.Abort != nil:
		why = "was aborted"
	case s.Step == nil:
		why = "is in no step"
	case is > s.Step.Weight:
		why = fmt.Sprintf("is in step %s, which has %d%%", s.Step.Name, s.Step.Weight)
	}
	if why != "" {
		c.violate(Moves, ch.Version, "revision %s was raised from %d%% to %d%%, but it %s", revision, was, is, why)
		return
	}
	if ready < need {
		c.violate(Capacity, ch.Version, "canary %s was raised from %d%% to %d%% with %d ready pods of the %d that this needs", revision, was, is, ready, need)
	}
}

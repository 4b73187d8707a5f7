package history

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// checkMoves holds M for the position that a Rollout's status remembers.
func (c *Checker) checkMoves(ch *change) {
	if ch.Kind != KindRollout || ch.old == nil || ch.new == nil || ch.Writer == "" {
		return
	}
	old, _ := ch.old.typed.(*v1alpha1.Rollout)
	now, _ := ch.new.typed.(*v1alpha1.Rollout)
	c.checkStable(ch, old, now)
	c.checkAttempt(ch, old, now)
	c.checkStep(ch, old, now)
	c.checkTimers(ch, old, now)
}

func (c *Checker) checkStable(ch *change, old, now *v1alpha1.Rollout) {
	was, is := old.Status.Stable, now.Status.Stable
	if was == nil || is != nil && was.Revision == is.Revision || was.Proven == 0 {
		return
	}
	if is == nil {
		c.violate(Moves, ch.Version, "stable %s was forgotten", was.Revision)
		return
	}
	if c.rolledBack(&old.Status, &now.Status, now) {
		return
	}
	c.checkPromoted(ch, old, now)
}

// checkPromoted holds that a revision that became stable passed every step.
func (c *Checker) checkPromoted(ch *change, old, now *v1alpha1.Rollout) {
	is, step := now.Status.Stable, old.Status.Step
	s, ok := c.world.splitOf(now)
	passed := step != nil && step.Name == promotion && (step.InForceSince != nil || ok && s.gives(100))
	switch {
	case old.Status.Canary == nil || old.Status.Canary.Revision != is.Revision || old.Status.Abort != nil:
		c.violate(Moves, ch.Version, "revision %s became stable without being released", is.Revision)
	case !passed:
		c.violate(Moves, ch.Version, "revision %s became stable before every step was passed and had all traffic", is.Revision)
	case ok && s.stable != is.Revision:
		c.violate(Moves, ch.Version, "revision %s became stable, but the stable destination selects %s", is.Revision, s.stable)
	}
}

// rolledBack reports whether stable gave its place back: to the revision that was kept
// for that, or to any when somebody says so. It counts as aborted from then on, unless
// the spec wants the other.
func (c *Checker) rolledBack(was, is *v1alpha1.RolloutStatus, r *v1alpha1.Rollout) bool {
	if !toldOfRollback(is) || was.Step != nil || is.Step != nil || is.AfterPromotion != nil {
		return false
	}
	if kept := was.AfterPromotion; kept != nil && kept.Previous == is.Stable.Revision {
		return is.Abort != nil || is.Canary == nil
	}
	actions := list[v1alpha1.RolloutAction](c.world, KindRolloutAction, r.Namespace)
	return is.Abort != nil && slices.ContainsFunc(actions, func(a *v1alpha1.RolloutAction) bool {
		return a.Spec.Rollout == r.Name && a.Spec.Action == v1alpha1.ActionRollback && a.Spec.Revision == was.Stable.Revision &&
			a.Spec.ToRevision == is.Stable.Revision && applied(is, a.UID) && !applied(was, a.UID)
	})
}

func toldOfRollback(s *v1alpha1.RolloutStatus) bool {
	t := s.LastTransition
	return t != nil && t.Type == v1alpha1.TransitionRolledBack && t.Revision == s.Stable.Revision
}

func (c *Checker) checkAttempt(ch *change, old, now *v1alpha1.Rollout) {
	was, is := &old.Status, &now.Status
	switch {
	case is.Attempt < was.Attempt:
		c.violate(Moves, ch.Version, "the count of attempts fell from %d to %d", was.Attempt, is.Attempt)
	case is.Canary == nil || is.Step == nil:
	case sameCanary(was, is) && was.Abort != nil:
		if is.Attempt == was.Attempt || !c.commanded(was, is, now, v1alpha1.ActionRetry) {
			c.violate(Moves, ch.Version, "aborted revision %s was started again without a Retry", is.Canary.Revision)
		}
	case !sameCanary(was, is) && is.Attempt == was.Attempt:
		c.violate(Moves, ch.Version, "revision %s was started without an attempt of its own", is.Canary.Revision)
	case !sameCanary(was, is) && is.Step.Index != 0:
		c.violate(Moves, ch.Version, "revision %s was started at step %s", is.Canary.Revision, is.Step.Name)
	}
}

func sameCanary(a, b *v1alpha1.RolloutStatus) bool {
	return a.Canary != nil && b.Canary != nil && a.Canary.Revision == b.Canary.Revision
}

// commanded reports whether a status says for the first time that an action of one
// of some types was applied to its canary.
func (c *Checker) commanded(was, is *v1alpha1.RolloutStatus, r *v1alpha1.Rollout, kinds ...v1alpha1.ActionType) bool {
	for _, a := range list[v1alpha1.RolloutAction](c.world, KindRolloutAction, r.Namespace) {
		if a.Spec.Rollout == r.Name && slices.Contains(kinds, a.Spec.Action) && a.Spec.Revision == is.Canary.Revision &&
			applied(is, a.UID) && !applied(was, a.UID) {
			return true
		}
	}
	return false
}

func applied(s *v1alpha1.RolloutStatus, uid types.UID) bool {
	return slices.Contains(s.AppliedActions, uid)
}

// checkStep holds that a step is passed on a command or when all of its gates are
// open, and that none is skipped or repeated.
func (c *Checker) checkStep(ch *change, old, now *v1alpha1.Rollout) {
	was, is := &old.Status, &now.Status
	if !sameCanary(was, is) || was.Step == nil || is.Step == nil || was.Attempt != is.Attempt || was.Step.Name == is.Step.Name {
		return
	}
	if c.commanded(was, is, now, v1alpha1.ActionPromote, v1alpha1.ActionPromoteFull) {
		return
	}
	step := stepAt(now, was.Step)
	if step == nil {
		return // The steps were edited.
	}
	if is.Step.Index != was.Step.Index+1 {
		c.violate(Moves, ch.Version, "step %s (%d) follows on %s (%d)", is.Step.Name, is.Step.Index, was.Step.Name, was.Step.Index)
	}
	c.checkGates(ch, now, was, step)
}

// checkGates holds that all gates of a step were open when it was passed.
func (c *Checker) checkGates(ch *change, now *v1alpha1.Rollout, was *v1alpha1.RolloutStatus, step *v1alpha1.Step) {
	is, since := &now.Status, was.Step.InForceSince
	if since == nil {
		c.checkUnseenForce(ch, now, was)
		since = &was.Step.EnteredAt
	}
	if step.Bake != nil && is.Step.EnteredAt.Sub(since.Time) < step.Bake.Duration {
		c.violate(Moves, ch.Version, "step %s was passed after %s, but bakes for %s", was.Step.Name, is.Step.EnteredAt.Sub(since.Time), step.Bake.Duration)
	}
	if step.Approval == v1alpha1.ApprovalRequired {
		c.violate(Moves, ch.Version, "step %s was passed without the approval that it requires", was.Step.Name)
	}
	if now.Spec.Paused && is.ObservedGeneration == now.Generation {
		c.violate(Moves, ch.Version, "step %s was passed while paused", was.Step.Name)
	}
	if now.Spec.Analysis != nil && step.Weight > 0 {
		c.expectEvidence(ch, now, was)
	}
}

// unseen is how long a step can have been in force without the status saying so.
const unseen = 5 * time.Second

// checkUnseenForce holds for a step that was passed before the status said that its
// split was in force: the routing says so.
func (c *Checker) checkUnseenForce(ch *change, now *v1alpha1.Rollout, was *v1alpha1.RolloutStatus) {
	s, ok := c.world.splitOf(now)
	if ok && (s.canary != was.Canary.Revision || !s.gives(was.Step.Weight)) {
		c.violate(Moves, ch.Version, "step %s was passed though its split was never in force", was.Step.Name)
	}
	step := stepAt(now, was.Step)
	if step != nil && step.Bake != nil && step.Bake.Duration > unseen {
		c.violate(Moves, ch.Version, "step %s, which bakes for %s, was passed though its split was never said to be in force", was.Step.Name, step.Bake.Duration)
	}
}

// checkTimers holds that a step is entered once, and that its time starts again
// only when somebody else moved the routing.
func (c *Checker) checkTimers(ch *change, old, now *v1alpha1.Rollout) {
	was, is, t := &old.Status, &now.Status, c.track(now)
	stayed := sameCanary(was, is) && was.Step != nil && is.Step != nil && was.Attempt == is.Attempt && was.Step.Name == is.Step.Name
	if is.Step != nil && is.Step.InForceSince != nil && (!stayed || was.Step.InForceSince == nil) {
		t.inForceAt = ch.Revision
	}
	if !stayed {
		return
	}
	if !was.Step.EnteredAt.Equal(&is.Step.EnteredAt) {
		c.violate(Moves, ch.Version, "step %s was entered a second time", is.Step.Name)
	}
	since, still := was.Step.InForceSince, is.Step.InForceSince
	if since != nil && !sameTime(since, still) && t.foreignAt < t.inForceAt {
		c.violate(Moves, ch.Version, "the time of step %s started again, and nobody else moved the routing", is.Step.Name)
	}
}

func sameTime(a, b *metav1.MicroTime) bool {
	return a != nil && b != nil && a.Equal(b)
}

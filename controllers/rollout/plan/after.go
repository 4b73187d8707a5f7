package plan

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// AfterPromotionStep names the watch over a revision that became stable.
const AfterPromotionStep = v1alpha1.AfterPromotionStep

// watch begins the time after a promotion: the revision that is replaced is kept
// ready to return.
func (d *decision) watch() {
	d.p.After = nil
	if d.keepPrevious() == 0 {
		return
	}
	d.p.After = &After{Previous: d.p.Stable, Proven: d.p.Proven, PromotedAt: d.o.Now}
}

// keepPrevious is how long after a promotion the previous revision is kept.
func (d *decision) keepPrevious() time.Duration {
	return max(d.o.Spec.KeepPrevious, d.o.Spec.AfterBake)
}

// passAfterPromotion ends the bake, and the keeping of the previous revision, in their
// time; and both when its ReplicaSet is gone.
func (d *decision) passAfterPromotion() {
	after := d.p.After
	if after == nil {
		return
	}
	baked, dropped := after.PromotedAt.Add(d.o.Spec.AfterBake), after.PromotedAt.Add(d.keepPrevious())
	if !d.o.Now.Before(dropped) || d.o.replicaSet(after.Previous).Name == "" {
		d.p.After = nil
		d.note("after promotion", fmt.Sprintf("revision %s is not kept any longer", after.Previous))
		return
	}
	d.wakeAt(dropped)
	if after.BakedAt != nil {
		return
	}
	d.wakeAt(baked)
	if !d.o.Now.Before(baked) {
		now := d.o.Now
		after.BakedAt = &now
	}
}

// watched reports whether stable is judged after its promotion.
func (d *decision) watched() bool { return d.p.After != nil && d.p.After.BakedAt == nil }

// afterPromotion reports whether the latest release was promoted and can still be taken
// back: nothing can return to a revision whose ReplicaSet somebody deleted.
func (d *decision) afterPromotion() bool {
	return d.p.After != nil && d.p.Canary == "" && d.o.replicaSet(d.p.After.Previous).Name != ""
}

func (d *decision) rollBackOnAnalysis() {
	if d.watched() && d.afterPromotion() && d.o.Analysis.Abort {
		d.rollBack(d.p.After.Previous, d.o.Analysis.Reason, d.o.Analysis.Message)
	}
}

// rollBackOnCommand gives an earlier revision its place back, when somebody says so.
// An Abort that names the revision that was just promoted means the same.
func (d *decision) rollBackOnCommand() {
	for _, a := range d.pending(v1alpha1.ActionRollback) {
		to := a.ToRevision
		if to == "" && d.p.After != nil {
			to = d.p.After.Previous
		}
		if refused := d.rollbackRefusal(a, to); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		message := fmt.Sprintf("rolled back from %s to %s by %s", d.p.Stable, to, attribution(a))
		d.rollBack(to, v1alpha1.ReasonRolledBack, message)
		d.applied(a, message)
	}
}

// returnToPrevious gives the previous revision its place back when the spec is back at
// its template: it carried all traffic a moment ago, and is kept ready.
func (d *decision) returnToPrevious() {
	if !d.maySpecStart() || d.p.After == nil || d.o.Spec.Revision != d.p.After.Previous {
		return
	}
	d.rollBack(d.p.After.Previous, v1alpha1.ReasonRolledBack, fmt.Sprintf(
		"the spec is back at the template of %s, which %s replaced: it returns without steps", d.p.After.Previous, d.p.Stable))
	d.clearCanary()
}

// rollbackRefusal returns why stable cannot give its place back, or nil.
func (d *decision) rollbackRefusal(a Action, to string) *Problem {
	switch {
	case d.p.releasing():
		return &Problem{v1alpha1.ReasonReleaseInProgress, fmt.Sprintf(
			"revision %s is being released: abort it, and stable revision %s keeps all traffic", d.p.Canary, d.p.Stable)}
	case a.Revision != d.p.Stable:
		return &Problem{v1alpha1.ReasonRevisionMismatch, fmt.Sprintf("the action is for revision %s, stable is %s", a.Revision, d.p.Stable)}
	case to == "":
		return &Problem{v1alpha1.ReasonRevisionNotFound, "no earlier revision is kept ready: name one in toRevision"}
	case to == d.p.Stable:
		return &Problem{v1alpha1.ReasonNothingInProgress, fmt.Sprintf("revision %s is stable already", to)}
	case d.o.replicaSet(to).Name == "":
		return &Problem{v1alpha1.ReasonRevisionNotFound, fmt.Sprintf("there is no ReplicaSet of revision %s", to)}
	}
	return nil
}

// rollBack makes another revision stable. The one that was counts as aborted from then
// on, so that it does not come back by itself; traffic follows as fast as the other
// can take it.
func (d *decision) rollBack(to, reason, message string) {
	from, proven := d.p.Stable, max(1, d.o.Spec.Replicas)
	if d.p.After != nil && d.p.After.Previous == to {
		proven = max(1, d.p.After.Proven)
	}
	d.transition(v1alpha1.TransitionRolledBack, to, AfterPromotionStep, reason, message)
	if d.p.Canary == "" {
		d.p.Canary = from
		d.p.Abort = &Abort{Reason: reason, Message: shorten(message), Step: AfterPromotionStep, At: d.o.Now}
	}
	d.p.Stable, d.p.Proven, d.p.After = to, proven, nil
}

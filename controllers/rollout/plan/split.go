package plan

import (
	"fmt"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// splitStep is the next safe routing, and what it waits for.
type splitStep struct {
	next trafficrouting.Split
	wait string
}

// planSplit takes one safe step from the routing that is seen to the one that is
// wanted.
func (d *decision) planSplit() {
	if !d.o.Routing.usable() || d.p.Stable == "" {
		return
	}
	goal := d.goal()
	d.split = d.nextSplit(goal)
	if d.split.wait != "" {
		d.note("routing", d.split.wait)
	}
	if d.o.Routing.State.Is(d.split.next) {
		return
	}
	next := d.split.next
	d.plan.Split = &next
	d.plan.Raises = !d.onlyLowers(next)
	d.note("routing", fmt.Sprintf("%s on the way to %s", next, goal))
}

// goal is the routing that the position wants.
func (d *decision) goal() trafficrouting.Split {
	goal := trafficrouting.Split{Stable: d.p.Stable}
	if !d.p.releasing() {
		return goal
	}
	goal.Canary, goal.Weight = d.p.Canary, d.p.Step.Weight
	if d.o.promoting(&d.p) && d.p.Step.InForceSince != nil && !d.o.Spec.Paused && d.o.Spec.Problem == nil {
		goal.Stable = d.p.Canary
	}
	return goal
}

// onlyLowers reports whether next does nothing but take weight from the canary
// destination.
func (d *decision) onlyLowers(next trafficrouting.Split) bool {
	state := d.o.Routing.State
	return next.Stable == state.Stable && next.Canary == state.Canary && next.Weight <= state.MinWeight
}

// nextSplit returns the routing to have next. A destination is bound to another
// revision only while it has no weight, and each change that builds on an earlier
// one waits until that one has reached every proxy.
func (d *decision) nextSplit(goal trafficrouting.Split) splitStep {
	state := d.o.Routing.State
	switch {
	case state.MinWeight != state.MaxWeight:
		target := goal.Weight
		if goal.Canary != state.Canary {
			target = 0
		}
		return d.shift(target)
	case state.Stable != goal.Stable:
		return d.bindStable(goal)
	case goal.Canary != "" && state.Canary != goal.Canary:
		return d.bindCanary(goal.Canary)
	default:
		return d.shift(goal.Weight)
	}
}

// seen is the routing as it is.
func (d *decision) seen() trafficrouting.Split {
	state := d.o.Routing.State
	return trafficrouting.Split{Stable: state.Stable, Canary: state.Canary, Weight: state.MaxWeight}
}

// bindStable leads to a stable destination that selects goal.Stable.
func (d *decision) bindStable(goal trafficrouting.Split) splitStep {
	state, bound := d.o.Routing.State, d.seen()
	bound.Stable = goal.Stable
	switch {
	case state.MinWeight == 100:
		return d.whenSettled(bound)
	case state.Stable == "":
		// It selects every pod so far, ours included: narrowing it is safe once
		// ours can carry what it gets.
		if !d.carries(goal.Stable, 100-state.MinWeight) {
			return splitStep{next: d.seen(), wait: fmt.Sprintf("revision %s cannot carry the traffic yet", goal.Stable)}
		}
		return splitStep{next: bound}
	case state.Canary == goal.Stable:
		return d.shift(100)
	default:
		return d.bindCanary(goal.Stable)
	}
}

// bindCanary leads to a canary destination that selects revision.
func (d *decision) bindCanary(revision string) splitStep {
	if d.o.Routing.State.MaxWeight > 0 {
		return d.shift(0)
	}
	bound := d.seen()
	bound.Canary = revision
	return d.whenSettled(bound)
}

// whenSettled takes next once the routing has been as it is for long enough.
func (d *decision) whenSettled(next trafficrouting.Split) splitStep {
	if d.o.settled() {
		return splitStep{next: next}
	}
	d.wakeAt(d.o.settlesAt())
	return splitStep{next: d.seen(), wait: "waiting for the routing to reach every proxy"}
}

// shift moves the canary destination's weight towards target, as far as the pods
// on either side can carry it. Lowering it waits for nothing else.
func (d *decision) shift(target int32) splitStep {
	state, step := d.o.Routing.State, splitStep{next: d.seen()}
	if state.Canary != "" && state.Canary == state.Stable {
		step.next.Weight = target
		return step
	}
	weight := target
	if target > state.MinWeight {
		if wait := d.raiseBlocked(target); wait != "" {
			weight, step.wait = min(target, state.MaxWeight), wait
		}
	}
	step.next.Weight = d.bearable(weight)
	if step.next.Weight != weight {
		step.wait = fmt.Sprintf("weight %d%% instead of %d%%: too few pods are available", step.next.Weight, weight)
	}
	return step
}

// raiseBlocked returns why the weight of the canary destination must not rise to
// target yet, or nothing. A pause and an unusable spec hold a release; they do not
// hold traffic back that is on its way to stable through that destination.
func (d *decision) raiseBlocked(target int32) string {
	state := d.o.Routing.State
	release := d.p.releasing() && state.Canary == d.p.Canary
	switch {
	case release && d.o.Spec.Paused:
		return "paused: the canary's weight does not rise"
	case release && d.o.Spec.Problem != nil:
		return "the spec cannot be carried out: the canary's weight does not rise"
	case !d.carries(state.Canary, target):
		return fmt.Sprintf("revision %s cannot carry %d%% yet", state.Canary, target)
	case target > state.MaxWeight && !d.o.settled():
		d.wakeAt(d.o.settlesAt())
		return "waiting for the routing to reach every proxy"
	}
	return ""
}

// bearable returns the weight nearest to the wanted one that both sides can
// bear. What the canary cannot bear goes to stable whatever its state; what
// stable cannot take back stays.
func (d *decision) bearable(weight int32) int32 {
	state := d.o.Routing.State
	for weight < state.MaxWeight && !d.holds(state.Stable, 100-weight) {
		weight++
	}
	for weight > 0 && !d.holds(state.Canary, weight) {
		weight--
	}
	return weight
}

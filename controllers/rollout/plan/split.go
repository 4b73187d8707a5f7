package plan

import (
	"fmt"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// splitStep is the next safe routing, nil to leave it as it is, and what it waits
// for.
type splitStep struct {
	next *trafficrouting.Split
	wait string
}

// planSplit takes one safe step from the routing that is seen to the one that is
// wanted.
func (d *decision) planSplit() {
	if d.o.Routing.Problem != nil {
		d.planRetreat()
		return
	}
	if !d.o.Routing.usable() || d.p.Stable == "" {
		return
	}
	goal := d.goal()
	step := d.nextSplit(goal)
	if step.wait != "" {
		d.note("routing", step.wait)
	}
	if step.next == nil || d.o.Routing.State.Is(*step.next) {
		return
	}
	d.plan.Split, d.plan.Raises = step.next, !d.onlyLowers(*step.next)
	if goal.Canary == "" {
		goal.Canary = step.next.Canary
	}
	text := step.next.String()
	if *step.next != goal {
		text += " on the way to " + goal.String()
	}
	d.note("routing", text)
}

// goal is the routing that the position wants.
func (d *decision) goal() trafficrouting.Split {
	goal := trafficrouting.Split{Stable: d.p.Stable}
	if d.p.After != nil {
		goal.Canary = d.p.After.Previous // Its return is one change of weight then.
	}
	if !d.p.releasing() {
		return goal
	}
	goal.Canary, goal.Weight = d.p.Canary, d.p.Step.Weight
	if d.o.promoting(&d.p) && d.p.Step.InForceSince != nil && d.held() == nil && d.o.Spec.Problem == nil {
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
	case state.Stable != goal.Stable:
		return d.bindStable(goal)
	case goal.Canary != "" && state.Canary != goal.Canary:
		return d.bindCanary(goal.Canary)
	default:
		return d.shift(goal.Weight)
	}
}

// split is the routing as it is with another weight.
func (d *decision) split(weight int32) trafficrouting.Split {
	state := d.o.Routing.State
	return trafficrouting.Split{Stable: state.Stable, Canary: state.Canary, Weight: weight}
}

// bindStable leads to a stable destination that selects goal.Stable.
func (d *decision) bindStable(goal trafficrouting.Split) splitStep {
	state := d.o.Routing.State
	switch {
	case state.Stable == "" || d.o.replicaSet(state.Stable).Available == 0:
		return d.narrowStable(goal)
	case state.MinWeight == 100 && state.Canary != state.Stable && state.Canary != d.p.Stable && !d.holds(state.Canary, 100):
		return d.shift(100) // As much of it as can be borne.
	case state.MinWeight == 100:
		bound := d.split(100)
		bound.Stable = goal.Stable
		return d.whenSettled(bound)
	case state.Canary == goal.Stable:
		return d.shift(max(state.MaxWeight, d.carriable(goal.Stable)))
	case state.MaxWeight > 0 && !d.holds(state.Stable, 100):
		return d.narrowStable(goal) // It could not take what the way round would give it.
	default:
		return d.bindCanary(goal.Stable)
	}
}

// narrowStable binds a stable destination that so far selects every pod, ours
// included, or none that serves, or too few. No request is worse off for it, so it
// waits for nothing but that ours can carry what the destination gets.
func (d *decision) narrowStable(goal trafficrouting.Split) splitStep {
	state := d.o.Routing.State
	weight := state.MinWeight
	if state.Canary != goal.Stable {
		weight = min(weight, d.weightFor(goal))
	}
	if !d.carries(goal.Stable, 100-state.MinWeight) {
		step := d.shift(weight)
		step.wait = fmt.Sprintf("revision %s cannot carry the traffic yet", goal.Stable)
		return step
	}
	bound := d.split(d.bearable(weight, goal.Stable))
	bound.Stable = goal.Stable
	return splitStep{next: &bound}
}

// weightFor is the weight that goal has for the canary destination as it is bound.
func (d *decision) weightFor(goal trafficrouting.Split) int32 {
	if goal.Canary != d.o.Routing.State.Canary {
		return 0
	}
	return goal.Weight
}

// bindCanary leads to a canary destination that selects revision.
func (d *decision) bindCanary(revision string) splitStep {
	if d.o.Routing.State.MaxWeight > 0 {
		return d.shift(0)
	}
	bound := d.split(0)
	bound.Canary = revision
	return d.whenSettled(bound)
}

// whenSettled takes next once the routing has been as it is for long enough.
func (d *decision) whenSettled(next trafficrouting.Split) splitStep {
	if d.o.settled() || d.o.Routing.State.Is(next) {
		return splitStep{next: &next}
	}
	d.wakeAt(d.o.settlesAt())
	return splitStep{wait: d.waitForProxies()}
}

func (d *decision) waitForProxies() string {
	if d.o.recovering() {
		return "waiting for proxies to catch up: the API server was away"
	}
	return "waiting for the routing to reach every proxy"
}

// shift moves the canary destination's weight towards target, as far as the pods
// on either side can carry it. Lowering it waits for nothing else, unless both
// sides are the same pods: a proxy that does not know so yet may still take stable
// for others.
func (d *decision) shift(target int32) splitStep {
	state := d.o.Routing.State
	if state.Canary != "" && state.Canary == state.Stable {
		return d.whenSettled(d.split(target))
	}
	var step splitStep
	weight := target
	if target > state.MinWeight {
		if step.wait = d.raiseBlocked(target); step.wait != "" {
			weight = min(target, state.MaxWeight)
		}
	}
	borne := d.bearable(weight, state.Stable)
	if borne != weight {
		step.wait = fmt.Sprintf("weight %d%% instead of %d%%: too few pods are available", borne, weight)
	}
	if borne > weight && borne > state.MinWeight && state.MinWeight != state.MaxWeight {
		// One weight for all routes would raise some of them.
		if d.holds(state.Canary, state.MaxWeight) {
			return step
		}
		borne = state.MinWeight
	}
	next := d.split(borne)
	step.next = &next
	return step
}

// carriable is the greatest weight that revision can take.
func (d *decision) carriable(revision string) int32 {
	weight := int32(100)
	for weight > 0 && !d.carries(revision, weight) {
		weight--
	}
	return weight
}

// isReleased reports whether revision is the canary of a release in progress.
func (d *decision) isReleased(revision string) bool {
	return d.p.releasing() && revision == d.p.Canary
}

// raiseBlocked returns why the weight of the canary destination must not rise to
// target yet, or nothing. A pause and an unusable spec hold a release; they do not
// hold traffic back that is on its way to stable through that destination.
func (d *decision) raiseBlocked(target int32) string {
	state := d.o.Routing.State
	release := d.isReleased(state.Canary)
	switch {
	case release && d.held() != nil:
		return d.held().Message + ": the canary's weight does not rise"
	case release && d.o.Spec.Problem != nil:
		return "the spec cannot be carried out: the canary's weight does not rise"
	case !d.carries(state.Canary, target):
		return fmt.Sprintf("revision %s cannot carry %d%% yet", state.Canary, target)
	case target > state.MaxWeight && !d.o.settled():
		d.wakeAt(d.o.settlesAt())
		return d.waitForProxies()
	}
	return ""
}

// bearable returns the weight nearest to the wanted one that the canary destination
// and stable can bear. What the canary cannot bear goes to stable, however few pods
// that has, if any; what stable cannot take back stays. Between the same pods any
// will do.
func (d *decision) bearable(weight int32, stable string) int32 {
	state := d.o.Routing.State
	if state.Canary == stable {
		return weight
	}
	for weight < state.MaxWeight && !d.holds(stable, 100-weight) {
		weight++
	}
	if stable != "" && d.o.replicaSet(stable).Available == 0 && d.o.replicaSet(state.Canary).Available > 0 {
		return weight
	}
	for weight > 0 && !d.holds(state.Canary, weight) {
		weight--
	}
	return weight
}

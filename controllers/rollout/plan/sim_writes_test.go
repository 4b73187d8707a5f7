package plan

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// write is one write of a plan.
type write struct {
	name string
	do   func()
	// routing is true for writes of routing objects, failsAlone for a route: it
	// keeps no other from being written. free writes have no place in the order.
	routing, failsAlone, free bool
}

// splits changes the routing as the controller does, which then waits to see it
// again.
func (w *world) splits(change func(n *simNet)) {
	w.seen = nil
	w.route(false, change)
}

// writes lists a plan's writes in the documented order, without the ones that
// depend on no other.
func (w *world) writes(p Plan) []write {
	position := []write{{name: "position", do: func() { w.writePosition(p) }}}
	order := slices.Concat(w.splitWrites(p.Split), position)
	if p.Raises {
		order = slices.Concat(position, w.splitWrites(p.Split))
	}
	if p.Run != nil && !slices.Contains(w.runs, *p.Run) {
		order = append(order, write{name: "run", do: func() { w.runs = append(w.runs, *p.Run) }})
	}
	for _, outcome := range p.Actions {
		order = append(order, write{name: "action", do: func() { w.endAction(outcome) }})
	}
	for _, name := range p.Forget {
		order = append(order, write{name: "forget " + name, do: func() {
			w.sets = slices.DeleteFunc(w.sets, func(s *simSet) bool { return "app-"+s.revision == name })
		}})
	}
	if p.Release {
		order = append(order, write{name: "release", do: w.release})
	}
	return order
}

// scaleWrites are the plan's writes that are free of any order.
func (w *world) scaleWrites(p Plan) []write {
	var out []write
	for _, intent := range p.Scale {
		out = append(out, write{name: fmt.Sprintf("scale %s to %d", intent.Revision, intent.Replicas), free: true, do: func() { w.scale(intent) }})
	}
	return out
}

// splitWrites writes what differs, as a router does: destinations before weights.
func (w *world) splitWrites(split *trafficrouting.Split) []write {
	if split == nil {
		return nil
	}
	var out []write
	now := w.net()
	if split.Stable != "" && split.Stable != now.stable {
		out = append(out, write{name: "bind stable", routing: true, do: func() { w.splits(func(n *simNet) { n.stable = split.Stable }) }})
	}
	if split.Canary != "" && split.Canary != now.canary {
		out = append(out, write{name: "bind canary", routing: true, do: func() { w.splits(func(n *simNet) { n.canary = split.Canary }) }})
	}
	for i := range now.weights {
		if now.weights[i] == split.Weight || i > 0 && w.problem != nil {
			continue
		}
		out = append(out, write{name: fmt.Sprintf("route %d", i), routing: true, failsAlone: true, do: func() {
			w.splits(func(n *simNet) { n.weights[i] = split.Weight })
		}})
	}
	return out
}

func (w *world) writePosition(p Plan) {
	overdue := !reflect.DeepEqual(w.position, w.written) && w.now.Sub(w.lateSince) >= lateness
	if reflect.DeepEqual(w.position, w.written) {
		w.lateSince = w.now
	}
	w.position = p.Position.clone()
	if overdue || !reflect.DeepEqual(withoutMoments(w.position), withoutMoments(w.written)) {
		w.written = w.position.clone()
	}
	w.history = append(w.history, p.Transitions...)
	w.verdict = p.Verdict
}

// withoutMoments is a position without what the controller may write a moment late.
func withoutMoments(p Position) Position {
	p = p.clone()
	if p.Step != nil {
		p.Step.InForceSince, p.Step.Progress, p.Step.ProgressAt = nil, 0, time.Time{}
	}
	return p
}

func (w *world) endAction(outcome ActionOutcome) {
	for _, a := range w.actions {
		if a.UID == outcome.UID && a.outcome == nil {
			a.outcome = &outcome
		}
	}
}

func (w *world) release() {
	w.released = true
	if stable := w.position.Stable; stable != "" && w.problem == nil && w.net().stable == stable {
		w.route(false, func(n *simNet) { clear(n.weights) })
	}
}

// act adds a command for the revision and the step that the world is at.
func (w *world) act(kind v1alpha1.ActionType, revision string) {
	n := len(w.actions) + len(w.history)
	w.actions = append(w.actions, &simAction{Action: Action{
		UID: fmt.Sprintf("uid-%d-%d", n, w.now.Unix()), Name: fmt.Sprintf("action-%d", len(w.actions)+1), Type: kind,
		Revision: revision, By: "ann", CreatedAt: w.now, TimeToLive: time.Hour,
	}})
}

// changes lists the future times at which the world changes by itself.
func (w *world) changes() []time.Time {
	var out []time.Time
	for _, s := range w.sets {
		for _, p := range s.pods {
			if p.availableAt.After(w.now) {
				out = append(out, p.availableAt)
			}
		}
	}
	if after := w.position.After; after != nil {
		if at := after.PromotedAt.Add(w.measure); at.After(w.now) {
			out = append(out, at)
		}
	}
	if p := w.position; p.releasing() && p.Step.InForceSince != nil {
		if at := p.Step.InForceSince.Add(w.measure); at.After(w.now) {
			out = append(out, at)
		}
	}
	return out
}

// span is when a state of the routing objects may be what some proxy goes by.
type span struct {
	net      simNet
	from, to time.Time
	// foreign counts the edits by somebody else up to it.
	foreign int
}

// spans lists the states that some proxy may have gone by since a time: a proxy is
// late by up to the propagation time. What somebody else did and undid unseen is
// left out.
func (w *world) spans(since time.Time) []span {
	var out []span
	foreign := 0
	for i, n := range w.nets {
		if n.foreign {
			foreign++
		}
		to := w.now.Add(time.Nanosecond)
		if i+1 < len(w.nets) {
			to = w.keptUntil(w.nets[i+1].at)
		}
		if to.After(since) && (!n.foreign || n.observed) {
			out = append(out, span{n, n.at, to, foreign})
		}
	}
	return out
}

// keptUntil is how long some proxy may go by what was replaced at a time.
func (w *world) keptUntil(replaced time.Time) time.Time {
	to := replaced.Add(w.spec.Propagation)
	for _, o := range w.outages {
		if to.After(o.from) && replaced.Before(o.until) {
			to = later(to, o.until)
		}
	}
	return to
}

// mayHaveReceived reports whether a request may have been routed to a revision
// since a time. Bindings and weights spread apart from each other: any of ours that
// some proxy may have had at one time may have met.
func (w *world) mayHaveReceived(revision string, since time.Time) bool {
	spans := w.spans(since)
	for _, bound := range spans {
		for _, weighted := range spans {
			if !bound.from.Before(weighted.to) || !weighted.from.Before(bound.to) || bound.foreign != weighted.foreign {
				continue
			}
			state := weighted.net.state()
			if (bound.net.stable == revision || bound.net.stable == "") && state.MinWeight < 100 ||
				(bound.net.canary == revision || bound.net.canary == "") && state.MaxWeight > 0 {
				return true
			}
		}
	}
	return false
}

// possibleWeights returns the least and the greatest weight that a proxy may go by now.
func (w *world) possibleWeights() (least, most int32) {
	least, most = 100, 0
	for _, s := range w.spans(w.now) {
		state := s.net.state()
		least, most = min(least, state.MinWeight), max(most, state.MaxWeight)
	}
	return least, most
}

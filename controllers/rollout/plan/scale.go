package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// planScale gives each revision the pods that it needs, and takes them from the
// revisions that nobody needs once their traffic is gone and drained.
func (d *decision) planScale() {
	wanted := d.wantedPods()
	draining := map[string]time.Time{}
	for _, rs := range d.byAge() {
		pods, ok := wanted[rs.Revision]
		delete(wanted, rs.Revision)
		switch {
		case ok && pods != rs.Desired:
			d.scale(rs.Revision, pods)
		case !ok && rs.Desired > 0:
			d.drain(rs, draining)
		case !ok:
			d.keepDrained(rs.Revision, draining)
		}
	}
	// What is left has no ReplicaSet. Only the spec's template is at hand.
	if pods, ok := wanted[d.o.Spec.Revision]; ok && d.o.Spec.DeletedAt == nil {
		d.scale(d.o.Spec.Revision, pods)
	}
	d.p.Draining = draining
	for revision := range d.o.Position.Draining {
		// The drain time that is remembered is not true any more. It must not be
		// found again once the split has taken that traffic away.
		d.plan.Raises = d.plan.Raises || d.plan.Split != nil && d.hasTraffic(revision)
	}
	d.forgetHistory()
}

func (d *decision) scale(revision string, pods int32) {
	d.plan.Scale = append(d.plan.Scale, ScaleIntent{Revision: revision, Replicas: pods})
	d.note("scale", fmt.Sprintf("revision %s gets %d pods", revision, pods))
}

// wantedPods returns the pods of the revisions that are needed.
func (d *decision) wantedPods() map[string]int32 {
	wanted := map[string]int32{}
	if d.p.Stable != "" {
		wanted[d.p.Stable] = d.o.Spec.Replicas
	}
	if d.p.After != nil {
		wanted[d.p.After.Previous] = d.o.Spec.Replicas
	}
	if d.p.releasing() {
		wanted[d.p.Canary] = d.canaryPods()
		if has := d.o.replicaSet(d.p.Canary).Desired; has > wanted[d.p.Canary] && !d.canaryMayShrink() {
			wanted[d.p.Canary] = has
		}
	}
	return wanted
}

// canaryMayShrink reports whether no proxy gives the canary more than the current
// step's pods are there for.
func (d *decision) canaryMayShrink() bool {
	if !d.o.Routing.usable() {
		return false
	}
	d.wakeAt(d.o.settlesAt())
	weight := d.weightInForce()
	return d.o.settled() && (weight <= d.p.Step.Weight || d.o.Routing.State.Uniform(d.p.Step.Weight))
}

// drain takes the pods of an unwanted revision once it has had no traffic for the
// drain time, as far as the routing can be read. The last request can be routed to
// it a propagation time after the routing says that none is.
func (d *decision) drain(rs ReplicaSet, draining map[string]time.Time) {
	if !d.o.Routing.usable() {
		// Unread, it may be as it was. Without the route, requests go where they like.
		if since, ok := d.p.Draining[rs.Revision]; ok && d.o.Routing.Problem == nil {
			draining[rs.Revision] = since
		}
		return
	}
	if d.hasTraffic(rs.Revision) || d.o.Routing.State.Programmed == trafficrouting.ProgrammedNo {
		return
	}
	since, ok := d.p.Draining[rs.Revision]
	if !ok {
		since = d.o.Now
	}
	draining[rs.Revision] = since
	end := later(since.Add(d.o.Spec.Propagation), d.o.Routing.UnsettledUntil).Add(d.o.Spec.Drain)
	if d.o.Now.Before(end) {
		d.wakeAt(end)
		return
	}
	d.scale(rs.Revision, 0)
}

// keepDrained goes on remembering when a revision that has no pods any more lost its
// traffic, until the next release begins: dropping it now would be a write of its own.
func (d *decision) keepDrained(revision string, draining map[string]time.Time) {
	since, ok := d.p.Draining[revision]
	if !ok || d.p.Attempt != d.o.Position.Attempt || d.o.Routing.Problem != nil {
		return
	}
	if !d.o.Routing.Known || !d.hasTraffic(revision) {
		draining[revision] = since
	}
}

// hasTraffic reports whether any route may send requests to revision. What the
// stable destination selects may get all of them at any time. A destination that is
// bound to no revision may send to all.
func (d *decision) hasTraffic(revision string) bool {
	state := d.o.Routing.State
	return state.Stable == revision || state.Stable == "" && state.MinWeight < 100 ||
		(state.Canary == revision || state.Canary == "") && state.MaxWeight > 0
}

// byAge returns the ReplicaSets, oldest first.
func (d *decision) byAge() []ReplicaSet {
	sets := slices.Clone(d.o.ReplicaSets)
	slices.SortFunc(sets, func(a, b ReplicaSet) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Revision, b.Revision)
	})
	return sets
}

// forgetHistory names the idle ReplicaSets beyond the limit, oldest first.
func (d *decision) forgetHistory() {
	var idle []string
	for _, rs := range d.byAge() {
		needed := rs.Revision == d.p.Stable || rs.Revision == d.p.Canary || rs.Revision == d.o.Spec.Revision
		if !needed && rs.Desired == 0 && rs.Replicas == 0 {
			idle = append(idle, rs.Name)
		}
	}
	if excess := len(idle) - d.o.Spec.HistoryLimit; excess > 0 && d.o.Spec.DeletedAt == nil {
		d.plan.Forget = idle[:excess]
	}
}

// planRelease lets a deleted Rollout go: as soon as stable has all traffic and
// the others' pods are gone, when there is nothing to give back, and at the
// latest after the progress deadline.
func (d *decision) planRelease() {
	if d.o.Spec.DeletedAt == nil {
		return
	}
	state, deadline := d.o.Routing.State, d.o.Spec.DeletedAt.Add(d.o.Spec.ProgressDeadline)
	others := slices.ContainsFunc(d.o.ReplicaSets, func(rs ReplicaSet) bool {
		return rs.Revision != d.p.Stable && (rs.Desired > 0 || rs.Replicas > 0)
	})
	switch {
	case d.p.Proven == 0, d.o.Routing.Problem != nil, !d.o.Now.Before(deadline):
	case d.o.Routing.Known && state.MaxWeight == 0 && (state.Stable == d.p.Stable || state.Stable == "") && d.o.settled() && !others:
	default:
		d.wakeAt(deadline)
		d.wakeAt(d.o.settlesAt())
		return
	}
	d.plan.Release, d.plan.Split, d.plan.Scale = true, nil, nil
	d.note("deletion", "the routing is given back")
}

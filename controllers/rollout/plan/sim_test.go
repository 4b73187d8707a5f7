package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// The world that plans are tried on: objects, pods that take their time, proxies
// that lag behind the routing objects, people, and a controller that carries out
// one write at a time.

var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// never is the start-up time of pods that do not become available.
const never = time.Duration(-1)

// simPod is one pod of a revision.
type simPod struct{ availableAt time.Time }

func (p simPod) available(now time.Time) bool {
	return !p.availableAt.IsZero() && !now.Before(p.availableAt)
}

// simSet is a ReplicaSet with its pods.
type simSet struct {
	revision  string
	pods      []simPod
	createdAt time.Time
}

// simNet is what the routing objects say from a time on.
type simNet struct {
	at             time.Time
	stable, canary string
	weights        []int32
	// foreign is true when somebody else made it so, and observed when the
	// controller saw it.
	foreign, observed bool
}

func (n simNet) state() trafficrouting.State {
	return trafficrouting.State{
		Stable: n.stable, Canary: n.canary,
		MinWeight: slices.Min(n.weights), MaxWeight: slices.Max(n.weights),
		Programmed: trafficrouting.ProgrammedUnknown,
	}
}

// simAction is a command and whether its object says what became of it.
type simAction struct {
	Action
	outcome *ActionOutcome
}

// world is everything.
type world struct {
	now      time.Time
	spec     Spec
	position Position
	sets     []*simSet
	// nets is the history of the routing, the last one in force.
	nets []simNet
	// unreadable and problem spoil the routing: it cannot be read, or the second
	// route is gone.
	unreadable bool
	problem    *Problem
	actions    []*simAction
	runs       []RunIntent
	history    []v1alpha1.Transition
	verdict    Verdict
	released   bool

	// startup is how long a revision's pods take; the default is 5 s.
	startup map[string]time.Duration
	// measure is how long a verdict takes once the step is in force, and bad are
	// the revisions that fail.
	measure time.Duration
	bad     map[string]bool

	// seen and since are the controller's memory of the routing.
	seen  *trafficrouting.State
	since time.Time
}

func newWorld(replicas int32, steps ...Step) *world {
	return &world{
		now: epoch,
		spec: Spec{
			Revision: "a", Replicas: replicas, Steps: steps,
			ProgressDeadline: 10 * time.Minute, Propagation: time.Second, Drain: 30 * time.Second, HistoryLimit: 2,
		},
		nets:    []simNet{{at: epoch.Add(-time.Hour), weights: []int32{0, 0}}},
		startup: map[string]time.Duration{},
		bad:     map[string]bool{},
	}
}

func (w *world) net() simNet { return w.nets[len(w.nets)-1] }

// route changes the routing; foreign tells that somebody else does.
func (w *world) route(foreign bool, change func(n *simNet)) {
	n := w.net()
	n.weights = slices.Clone(n.weights)
	change(&n)
	n.at, n.foreign, n.observed = w.now, foreign, false
	last := w.net()
	if n.stable == last.stable && n.canary == last.canary && slices.Equal(n.weights, last.weights) {
		return
	}
	w.nets = append(w.nets, n)
}

func (w *world) set(revision string) *simSet {
	for _, s := range w.sets {
		if s.revision == revision {
			return s
		}
	}
	return nil
}

func (w *world) available(revision string) int32 {
	s, n := w.set(revision), int32(0)
	if s == nil {
		return 0
	}
	for _, p := range s.pods {
		if p.available(w.now) {
			n++
		}
	}
	return n
}

func (w *world) desired(revision string) int32 {
	if s := w.set(revision); s != nil {
		return int32(len(s.pods))
	}
	return 0
}

// scale carries out one intent as the ReplicaSet controller would: unavailable
// pods go first.
func (w *world) scale(intent ScaleIntent) {
	s := w.set(intent.Revision)
	if s == nil {
		s = &simSet{revision: intent.Revision, createdAt: w.now}
		w.sets = append(w.sets, s)
	}
	slices.SortStableFunc(s.pods, func(a, b simPod) int {
		return compareBool(b.available(w.now), a.available(w.now))
	})
	for int32(len(s.pods)) < intent.Replicas {
		s.pods = append(s.pods, w.newPod(intent.Revision))
	}
	s.pods = s.pods[:intent.Replicas]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (w *world) newPod(revision string) simPod {
	takes, ok := w.startup[revision]
	if !ok {
		takes = 5 * time.Second
	}
	if takes == never {
		return simPod{}
	}
	return simPod{availableAt: w.now.Add(takes)}
}

// lose makes n available pods of a revision unavailable until others replace them.
func (w *world) lose(revision string, n int) {
	s := w.set(revision)
	for i := range s.pods {
		if n > 0 && s.pods[i].available(w.now) {
			s.pods[i] = w.newPod(revision)
			n--
		}
	}
}

// observe is what the controller sees, with its memory of the routing.
func (w *world) observe() Observed {
	o := Observed{Now: w.now, Spec: w.spec, Position: w.position.clone(), Analysis: w.analysis()}
	for _, s := range w.sets {
		n := int32(len(s.pods))
		o.ReplicaSets = append(o.ReplicaSets, ReplicaSet{
			Revision: s.revision, Name: "app-" + s.revision, CreatedAt: s.createdAt,
			Desired: n, Replicas: n, Available: w.available(s.revision),
		})
	}
	for _, a := range w.actions {
		seen := a.Action
		seen.Done = a.outcome != nil
		o.Actions = append(o.Actions, seen)
	}
	for _, run := range w.runs {
		o.LastAttempt = max(o.LastAttempt, run.Attempt)
	}
	o.Routing = w.observeRouting(w.net())
	if o.Routing.usable() {
		w.nets[len(w.nets)-1].observed = true
	}
	return o
}

func (w *world) observeRouting(n simNet) Routing {
	if w.unreadable {
		return Routing{}
	}
	if w.problem != nil {
		w.seen, n.weights = nil, n.weights[:1]
		return Routing{State: n.state(), Problem: w.problem}
	}
	state := n.state()
	if w.seen == nil || *w.seen != state {
		w.seen, w.since = &state, w.now
	}
	return Routing{Known: true, State: state, Since: w.since}
}

// restart loses what the controller keeps in memory.
func (w *world) restart() { w.seen = nil }

// analysis judges the position's step, as an AnalysisRun of its attempt would.
func (w *world) analysis() Analysis {
	p, pending := w.position, Analysis{Verdict: v1alpha1.VerdictPending, Reason: v1alpha1.ReasonAnalysing, Message: "0 of 3 measurements"}
	run := RunIntent{Stable: p.Stable, Canary: p.Canary, Attempt: p.Attempt}
	if !p.releasing() || p.Step.InForceSince == nil || !slices.Contains(w.runs, run) ||
		w.now.Before(p.Step.InForceSince.Add(w.measure)) {
		return pending
	}
	if w.bad[p.Canary] {
		return Analysis{Verdict: v1alpha1.VerdictFailure, Abort: true, Reason: v1alpha1.ReasonAnalysisFailed,
			Message: "metric error-ratio: 0.31 fails 'canary <= 0.01'"}
	}
	return Analysis{Verdict: v1alpha1.VerdictSuccess, Reason: v1alpha1.ReasonPassing, Message: "metric error-ratio: 3 of 3 measurements passed"}
}

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
	for _, uid := range p.Forget.Actions {
		order = append(order, write{name: "forget action", do: func() {
			w.actions = slices.DeleteFunc(w.actions, func(a *simAction) bool { return a.UID == uid })
		}})
	}
	for _, name := range p.Forget.ReplicaSets {
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
	w.position = p.Position.clone()
	w.history = append(w.history, p.Transitions...)
	w.verdict = p.Verdict
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
			to = w.nets[i+1].at.Add(w.spec.Propagation)
		}
		if to.After(since) && (!n.foreign || n.observed) {
			out = append(out, span{n, n.at, to, foreign})
		}
	}
	return out
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

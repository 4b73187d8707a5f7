package plan

import (
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

	// alerts are what is known of alerts.
	alerts Alerts

	// seen and since are the controller's memory of the routing.
	seen  *trafficrouting.State
	since time.Time
	// outages are when nobody could read the routing, and until when proxies may be
	// behind for it.
	outages []simOutage
	// written is the position as a new process finds it, but for what has not been
	// written since lateSince.
	written   Position
	lateSince time.Time
}

// simOutage is a time from which proxies may have kept what they had.
type simOutage struct{ from, until time.Time }

// recovery is for how long after an outage.
const recovery = 2 * time.Minute

// outage takes the API server away for a time, after which the controller starts
// over.
func (w *world) outage(takes time.Duration) {
	from := w.now
	w.now = w.now.Add(takes)
	w.outages = append(w.outages, simOutage{from, w.now.Add(recovery)})
	w.restart()
}

// lateness is how late a position may be written in which only a moment changed.
const lateness = 5 * time.Second

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
	o := Observed{Now: w.now, Spec: w.spec, Position: w.position.clone(), Analysis: w.analysis(), Alerts: w.alerts}
	for _, s := range w.sets {
		n := int32(len(s.pods))
		o.ReplicaSets = append(o.ReplicaSets, ReplicaSet{
			Revision: s.revision, Name: "app-" + s.revision, CreatedAt: s.createdAt,
			Desired: n, Replicas: n, Available: w.available(s.revision),
		})
	}
	for _, a := range w.actions {
		if a.outcome == nil {
			o.Actions = append(o.Actions, a.Action)
		}
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
	r := Routing{Known: true, State: state, Since: w.since}
	if n := len(w.outages); n > 0 {
		r.UnsettledUntil = w.outages[n-1].until
	}
	return r
}

// restart loses what the controller keeps in memory.
func (w *world) restart() {
	w.seen = nil
	if w.now.Sub(w.lateSince) < lateness {
		w.position = w.written.clone()
	}
}

// analysis judges the position's step, as an AnalysisRun of its attempt would.
func (w *world) analysis() Analysis {
	if after := w.position.After; after != nil && after.BakedAt == nil && w.spec.Analysed && w.bad[w.position.Stable] &&
		!w.now.Before(after.PromotedAt.Add(w.measure)) {
		return Analysis{Verdict: v1alpha1.VerdictFailure, Abort: true, Reason: v1alpha1.ReasonAnalysisFailed,
			Message: "metric error-ratio: 0.31 fails 'canary <= 0.01'"}
	}
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

package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// What must hold of every plan and after every write, said a second time and in
// other words than the plan's own. The numbers are those of the design's list.

// fail ends the test with what led to it.
func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s %s\n  %s", m.clock(), fmt.Sprintf(format, args...), m.line())
}

// oracle says what an observation and a plan mean.
type oracle struct {
	o Observed
	p Plan
}

func (x oracle) available(revision string) int32 { return x.o.replicaSet(revision).Available }

// share is weight percent of the pods that carry everything.
func (x oracle) share(replicas, weight int32) int32 {
	return max(1, int32((int64(replicas)*int64(weight)+99)/100))
}

// stepPods is what the user asked for in the plan's step; without a usable spec,
// what there is.
func (x oracle) stepPods() int32 {
	step := x.p.Position.Step
	for i, s := range x.o.Spec.Steps {
		if x.o.Spec.Problem != nil || i != step.Index || s.Name != step.Name || s.Weight != step.Weight {
			continue
		}
		switch {
		case s.Pods != nil:
			return *s.Pods
		case s.Percent != nil:
			return int32((int64(x.o.Spec.Replicas)*int64(*s.Percent) + 99) / 100)
		}
		return min(x.o.Spec.Replicas, x.share(x.o.Spec.Replicas, s.Weight))
	}
	if step.Name == PromotionStep && x.o.Spec.Problem == nil {
		return x.o.Spec.Replicas
	}
	return x.o.replicaSet(x.p.Position.Canary).Desired
}

func (x oracle) isCanary(revision string) bool {
	return x.p.Position.releasing() && revision == x.p.Position.Canary
}

// wants is how many pods a revision should have for a weight.
func (x oracle) wants(revision string, weight int32) int32 {
	if weight == 0 || x.o.Spec.Replicas == 0 {
		return 0
	}
	replicas := x.o.Spec.Replicas
	if revision == x.p.Position.Stable && x.p.Position.Proven > 0 {
		replicas = min(replicas, x.p.Position.Proven)
	}
	n := x.share(replicas, weight)
	if x.isCanary(revision) && weight <= x.p.Position.Step.Weight {
		n = max(1, min(n, x.stepPods()))
	}
	return n
}

// bears reports whether a revision may keep a weight, or take it back: three
// quarters of what it should have, or of what has carried it, are available.
func (x oracle) bears(revision string, weight int32) bool {
	n := x.wants(revision, weight)
	if revision == "" || n == 0 {
		return true
	}
	if x.isCanary(revision) {
		carried := x.p.Position.Step.Progress
		if was := x.o.Position.Step; was != nil && x.o.Position.Canary == revision {
			carried = max(carried, was.Progress)
		}
		n = min(n, max(1, carried))
	}
	return x.available(revision) > 0 && 4*int64(x.available(revision)) >= 3*int64(n)
}

// decide decides and asserts what must hold of the plan.
func (m *machine) decide(o Observed) Plan {
	before := asJSON(o)
	p := Decide(o)
	again := o
	again.ReplicaSets = slices.Clone(o.ReplicaSets)
	slices.Reverse(again.ReplicaSets)
	if diff := cmp.Diff(p, Decide(again)); diff != "" {
		m.fail("12: same observation, another plan: %s", diff)
	}
	if asJSON(o) != before {
		m.fail("12: the observation was changed")
	}
	for _, w := range p.Why {
		m.t.Logf("  %s: %s", w.Topic, w.Text)
	}
	x := oracle{o, p}
	m.checkVerdict(p)
	m.checkSplit(x)
	m.checkBorne(x)
	m.checkReturn(x)
	m.checkAbortFirst(x)
	m.checkRollback(x)
	m.checkStart(x)
	m.checkAdvance(x)
	m.checkTimers(x)
	return p
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (m *machine) checkVerdict(p Plan) {
	v := p.Verdict
	switch {
	case v.Reconciling != nil && v.Stalled != nil:
		m.fail("Reconciling and Stalled are both true")
	case v.Ready.Status == "" || v.Ready.Reason == "" || v.Routing.Status == "" || v.Routing.Reason == "":
		m.fail("a condition without status or reason: %+v", v)
	case v.Ready.Status == "True" && (v.Reconciling != nil || v.Stalled != nil):
		m.fail("Ready is true with %+v", v)
	}
}

// checkSplit asserts capacity (1), bounds (2) and make before break (7) of what is
// asked of the routing.
func (m *machine) checkSplit(x oracle) {
	split, state := x.p.Split, x.o.Routing.State
	if split == nil {
		return
	}
	lowers := split.Stable == state.Stable && split.Canary == state.Canary && split.Weight < state.MinWeight
	if !x.o.Routing.usable() && (x.o.Routing.Problem == nil || !lowers) {
		m.fail("6: a split %s on a routing that is not known", split)
	}
	if split.Weight < 0 || split.Weight > 100 {
		m.fail("2: weight %d", split.Weight)
	}
	pos := x.p.Position
	if x.isCanary(split.Canary) && split.Canary != pos.Stable && split.Stable != split.Canary && split.Stable == state.Stable &&
		split.Weight > pos.Step.Weight && x.bears(split.Stable, 100-split.Weight+1) {
		m.fail("2: weight %d in a step of %d, and stable could take more", split.Weight, pos.Step.Weight)
	}
	if split.Canary != "" && split.Canary != split.Stable && split.Weight > state.MaxWeight {
		switch {
		case split.Canary != state.Canary:
			m.fail("7: the canary destination is bound and raised in one write: %s", split)
		case x.available(split.Canary) < x.wants(split.Canary, split.Weight):
			m.fail("1: raised to %d with %d pods of %d", split.Weight, x.available(split.Canary), x.wants(split.Canary, split.Weight))
		case x.isCanary(split.Canary) && (x.o.Spec.Paused || x.o.Spec.Problem != nil):
			m.fail("raised while paused or invalid: %s", split)
		case !x.isCanary(split.Canary) && split.Canary != pos.Stable:
			m.fail("4: raised %s, which is neither stable nor released", split)
		}
	}
	if split.Stable != state.Stable && x.available(state.Stable)+x.available(state.Canary) > 0 && x.wants(split.Stable, 100-split.Weight) > 0 && !x.bears(split.Stable, 100-split.Weight) {
		m.fail("1: the stable destination is bound to %s, which cannot bear it", split)
	}
}

// checkBorne asserts that what the canary destination cannot bear is taken from it
// (1), as long as stable has any pod.
func (m *machine) checkBorne(x oracle) {
	if !x.o.Routing.usable() || x.p.Position.Stable == "" || x.p.Release {
		return
	}
	stable, canary, weight := x.result()
	if stable != "" && x.available(stable) == 0 && x.available(canary) > 0 {
		return // Few pods are better than none.
	}
	if state := x.o.Routing.State; state.Stable == state.Canary && stable != state.Stable {
		return // They are told apart first.
	}
	if canary != "" && canary != stable && canary != x.p.Position.Stable && weight > 0 && !x.bears(canary, weight) {
		m.fail("1: %s keeps %d%% with %d pods", canary, weight, x.available(canary))
	}
}

// checkReturn asserts that stable is given no more than it can take back (1), but
// for what the canary destination cannot bear.
func (m *machine) checkReturn(x oracle) {
	split, state := x.p.Split, x.o.Routing.State
	if split == nil || split.Stable == split.Canary || split.Weight >= state.MaxWeight || split.Canary != state.Canary ||
		x.bears(split.Stable, 100-split.Weight) {
		return
	}
	next := split.Weight + 1
	if state.MinWeight != state.MaxWeight && split.Weight == state.MinWeight {
		next = state.MaxWeight // Anything in between would raise some routes.
	}
	if x.bears(split.Canary, next) {
		m.fail("1: stable is given %d%% with %d pods, and %s could keep %d%%", 100-split.Weight, x.available(split.Stable), split.Canary, next)
	}
}

// result is the routing that the plan leads to; the weight is the greatest.
func (x oracle) result() (stable, canary string, weight int32) {
	state := x.o.Routing.State
	stable, canary, weight = state.Stable, state.Canary, state.MaxWeight
	if split := x.p.Split; split != nil {
		stable, canary, weight = split.Stable, split.Canary, split.Weight
	}
	return stable, canary, weight
}

// checkAbortFirst asserts that an abort is in the same plan as what asks for it, and
// takes the weight to 0 or as low as stable can take it (3).
func (m *machine) checkAbortFirst(x oracle) {
	was := x.o.Position
	if !was.releasing() {
		return
	}
	asked := x.o.Analysis.Abort
	for _, a := range x.o.Actions {
		retries := a.Type == v1alpha1.ActionRetry && a.Revision == was.Canary
		if retries {
			return
		}
		live := x.o.Now.Before(a.CreatedAt.Add(a.TimeToLive)) && !slices.Contains(was.Applied, a.UID)
		asked = asked || live && a.Type == v1alpha1.ActionAbort && a.Revision == was.Canary && x.alertCounts(a)
	}
	if !asked {
		return
	}
	now := x.p.Position
	if now.releasing() && now.Canary == was.Canary && now.Attempt == was.Attempt {
		m.fail("3: the release goes on")
	}
	if !slices.ContainsFunc(x.p.Transitions, func(t v1alpha1.Transition) bool {
		return t.Type == v1alpha1.TransitionAborted && t.Revision == was.Canary
	}) {
		m.fail("3: nobody is told of the abort")
	}
	if !x.o.Routing.usable() && x.o.Routing.Problem == nil || x.p.Release {
		return
	}
	stable, canary, weight := x.result()
	if canary != was.Canary || canary == stable || canary == now.Stable || weight == 0 {
		return
	}
	if x.o.Routing.State.MinWeight != x.o.Routing.State.MaxWeight && x.p.Split == nil {
		weight = x.o.Routing.State.MinWeight + 1 // Some routes cannot be lowered without raising others.
	}
	if x.bears(stable, 100-weight+1) && !m.rebinding(x) {
		m.fail("3: the aborted canary keeps %d%%, and stable can take more", weight)
	}
}

// checkRollback asserts that a revision that fails after its promotion gives its place
// back in the same plan (3), as fast as the other can take the traffic (1), and once.
func (m *machine) checkRollback(x oracle) {
	was, now := x.o.Position, x.p.Position
	if !x.rollbackAsked() {
		return
	}
	previous := was.After.Previous
	switch {
	case now.Stable != previous || now.After != nil:
		m.fail("3: %s failed after its promotion, and %s is not given its place", was.Stable, previous)
	case !slices.ContainsFunc(x.p.Transitions, func(t v1alpha1.Transition) bool { return t.Type == v1alpha1.TransitionRolledBack }):
		m.fail("3: nobody is told of the rollback")
	}
	state := x.o.Routing.State
	if !x.o.Routing.usable() || x.p.Release || state.Canary != previous || state.Stable != was.Stable || !x.o.settled() || was.Stable == previous {
		return
	}
	stable, canary, weight := x.result()
	switch previous {
	case canary: // by its weight, or over both destinations
		if stable == previous {
			weight = 100
		}
	case stable:
		weight = 100 - weight
	default:
		weight = 0
	}
	if weight < 100 && x.o.Spec.Replicas > 0 && x.available(previous) >= x.wants(previous, weight+1) && state.MinWeight == state.MaxWeight {
		m.fail("3: %s gets %d%% back with %d pods", previous, weight, x.available(previous))
	}
}

// rollbackAsked reports whether analysis or an alert says that a revision is bad after
// its promotion, and no person may have said otherwise.
func (x oracle) rollbackAsked() bool {
	was := x.o.Position
	if was.After == nil || was.releasing() || slices.ContainsFunc(x.o.Actions, func(a Action) bool { return a.Alert == nil }) {
		return false
	}
	if was.After.BakedAt == nil && x.o.Analysis.Abort {
		return true
	}
	return was.Canary == "" && slices.ContainsFunc(x.o.Actions, func(a Action) bool {
		live := x.o.Now.Before(a.CreatedAt.Add(a.TimeToLive)) && !slices.Contains(was.Applied, a.UID)
		return live && a.Type == v1alpha1.ActionAbort && a.Revision == was.Stable && x.alertCounts(a)
	})
}

// rebinding reports whether all traffic is at the canary destination because the
// stable destination is bound to the wrong pods and must be bound anew first.
func (m *machine) rebinding(x oracle) bool {
	state := x.o.Routing.State
	return state.MinWeight == 100 && state.Stable != x.p.Position.Stable
}

// checkStart asserts that a new revision, or attempt, starts at the first step (5)
// and under a number of its own.
func (m *machine) checkStart(x oracle) {
	was, now := x.o.Position, x.p.Position
	if now.Attempt < was.Attempt {
		m.fail("the attempt fell from %d to %d", was.Attempt, now.Attempt)
	}
	if !now.releasing() || now.Attempt == was.Attempt && now.Canary == was.Canary && was.releasing() {
		return
	}
	if now.Attempt <= was.Attempt || now.Attempt <= x.o.LastAttempt {
		m.fail("5: attempt %d of %s is not new", now.Attempt, now.Canary)
	}
	promoted := slices.ContainsFunc(x.p.Actions, func(a ActionOutcome) bool { return a.Applied })
	if now.Step.Index != 0 && !promoted {
		m.fail("5: %s starts at step %d", now.Canary, now.Step.Index)
	}
}

// checkAdvance asserts that a step is passed with every gate open, or by a person
// (6).
func (m *machine) checkAdvance(x oracle) {
	was, now := x.o.Position, x.p.Position
	entered, commanded := 0, 0
	for _, t := range x.p.Transitions {
		if t.Type == v1alpha1.TransitionStepEntered && !strings.Contains(t.Message, "were edited") {
			entered++
		}
	}
	for _, a := range x.p.Actions {
		if a.Applied && strings.Contains(a.Message, "was promoted by") {
			commanded++
		}
	}
	started := x.p.Position.Step != nil && entered < len(x.p.Transitions)
	if entered > max(1, commanded) || entered > commanded && started {
		m.fail("6: %d steps were entered at once", entered)
	}
	if !was.releasing() || !now.releasing() || now.Attempt != was.Attempt || now.Canary != was.Canary ||
		now.Step.Name == was.Step.Name && now.Step.Weight == was.Step.Weight {
		return
	}
	applied := slices.ContainsFunc(x.p.Actions, func(a ActionOutcome) bool { return a.Applied })
	edited := slices.ContainsFunc(x.p.Transitions, func(t v1alpha1.Transition) bool { return strings.Contains(t.Message, "were edited") })
	if applied {
		return
	}
	i := slices.IndexFunc(x.o.Spec.Steps, func(s Step) bool { return s.Name == was.Step.Name && s.Weight == was.Step.Weight })
	if edited {
		if i >= 0 || x.o.Spec.Problem != nil || !x.o.Routing.usable() {
			m.fail("the steps were not edited, or cannot be read")
		}
		return
	}
	since := was.Step.InForceSince
	if since == nil && x.inPlace(*was.Step) && x.o.settled() {
		since = &x.o.Now
	}
	if i < 0 || since == nil || !x.o.Routing.usable() || x.o.Spec.Problem != nil || x.o.Spec.Paused {
		m.fail("6: step %s was passed", was.Step.Name)
	}
	step := x.o.Spec.Steps[i]
	if step.Approval || x.o.Now.Before(since.Add(step.Bake)) ||
		x.o.Spec.Analysed && !x.o.Spec.Advisory && step.Weight > 0 && x.o.Analysis.Verdict != v1alpha1.VerdictSuccess {
		m.fail("6: step %s was passed before its time", was.Step.Name)
	}
}

// checkTimers asserts that no timer that runs is started again (10).
func (m *machine) checkTimers(x oracle) {
	was, now := x.o.Position, x.p.Position
	for revision, since := range now.Draining {
		if before, ok := was.Draining[revision]; ok && !since.Equal(before) {
			m.fail("10: the drain time of %s starts again", revision)
		}
	}
	if !was.releasing() || !now.releasing() || now.Attempt != was.Attempt || !was.Step.EnteredAt.Equal(now.Step.EnteredAt) ||
		was.Step.Name != now.Step.Name || was.Step.Weight != now.Step.Weight || was.Step.InForceSince == nil || x.o.Routing.Problem != nil {
		return
	}
	if (!x.o.Routing.usable() || x.inPlace(*was.Step)) && (now.Step.InForceSince == nil || !now.Step.InForceSince.Equal(*was.Step.InForceSince)) {
		m.fail("10: the time of step %s starts again", now.Step.Name)
	}
}

// inPlace reports whether the routing says what a step says.
func (x oracle) inPlace(step StepPosition) bool {
	state := x.o.Routing.State
	return state.Stable == x.p.Position.Stable && state.Canary == x.p.Position.Canary && state.Uniform(step.Weight)
}

package plan

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// machine drives a world at random: people, pods, proxies, faults and crashes. The
// invariants are asserted on every plan and after every write.
type machine struct {
	*world
	t *rapid.T
	// wake is when the controller asked to look again.
	wake time.Time
	// stale is what an out-of-date cache of ReplicaSets says, if any.
	stale []ReplicaSet
	// staleNet is true while an edit of the routing by somebody else is not seen.
	staleNet bool
	// attempts tells to which canary each attempt belongs.
	attempts map[int32]string
}

func newMachine(t *rapid.T) *machine {
	w := newWorld(rapid.SampledFrom([]int32{1, 3, 10, 10, 0, 100}).Draw(t, "replicas"), drawSteps(t)...)
	w.spec.Analysed, w.spec.Advisory = rapid.Bool().Draw(t, "analysed"), rapid.Bool().Draw(t, "advisory")
	w.spec.Propagation = rapid.SampledFrom([]time.Duration{time.Second, 0, time.Minute}).Draw(t, "propagation")
	w.spec.Drain = rapid.SampledFrom([]time.Duration{30 * time.Second, 0, time.Second}).Draw(t, "drain")
	w.measure = rapid.SampledFrom([]time.Duration{0, 20 * time.Second}).Draw(t, "measure")
	drawAfter(w, t)
	return &machine{world: w, t: t, attempts: map[int32]string{}}
}

func drawAfter(w *world, t *rapid.T) {
	w.spec.AfterBake = rapid.SampledFrom([]time.Duration{0, 10 * time.Second, 5 * time.Minute}).Draw(t, "after bake")
	w.spec.KeepPrevious = rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "keep previous")
}

// promoteFirst gets a revision promoted that is watched from then on, before anything
// happens at random: by chance alone few get there.
func (m *machine) promoteFirst() {
	m.spec.AfterBake = 5 * time.Minute
	m.spec.Replicas = max(1, m.spec.Replicas)
	m.until(func() bool { return m.position.Proven > 0 })
	m.spec.Revision = "b"
	m.until(func() bool { return m.position.Canary == "b" })
	m.act(v1alpha1.ActionPromoteFull, "b")
	m.until(func() bool { return m.position.Stable == "b" && m.net().canary == "a" })
}

// until lets the controller work, and time pass, until something is so.
func (m *machine) until(so func() bool) {
	for range 200 {
		if so() {
			return
		}
		before := m.fingerprint()
		if m.carryOut(false); m.fingerprint() == before {
			m.toNextEvent()
		}
	}
	m.fail("a release without disturbance does not get there")
}

func drawSteps(t *rapid.T) []Step {
	weights := rapid.SampledFrom([]int32{0, 1, 5, 20, 50, 99, 100})
	names := []string{"p", "q", "r", "s"}
	n, first := rapid.IntRange(1, 4).Draw(t, "steps"), rapid.IntRange(0, 3).Draw(t, "first name")
	steps := make([]Step, n)
	for i := range steps {
		s := Step{Name: names[(first+i)%len(names)], Weight: weights.Draw(t, "weight")}
		s.Bake = rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second, time.Minute}).Draw(t, "bake")
		s.Approval = rapid.IntRange(0, 9).Draw(t, "approval") == 9
		switch number := rapid.Int32Range(1, 20).Draw(t, "number"); rapid.IntRange(0, 7).Draw(t, "scale") {
		case 6:
			s.Pods = &number
		case 7:
			number *= 5
			s.Percent = &number
		}
		steps[i] = s
	}
	return steps
}

var revisions = []string{"a", "b", "c", "d"}

// disturbances are what people, pods and third parties do. Each is done by itself.
var disturbances = []struct {
	name string
	do   func(m *machine)
}{
	{"push", func(m *machine) { m.spec.Revision = m.revision() }},
	{"push", func(m *machine) { m.spec.Revision = m.revision() }},
	{"steps", func(m *machine) { m.spec.Steps = drawSteps(m.t) }},
	{"replicas", func(m *machine) { m.spec.Replicas = rapid.SampledFrom([]int32{0, 1, 2, 4, 10, 100}).Draw(m.t, "to") }},
	{"after promotion", func(m *machine) { drawAfter(m.world, m.t) }},
	{"pause", func(m *machine) { m.spec.Paused = !m.spec.Paused }},
	{"analysed", func(m *machine) { m.spec.Analysed = !m.spec.Analysed }},
	{"advisory", func(m *machine) { m.spec.Advisory = !m.spec.Advisory }},
	{"invalid", func(m *machine) {
		m.spec.Problem = toggled(m.spec.Problem, v1alpha1.ReasonInvalidSpec)
	}},
	{"startup", func(m *machine) {
		m.startup[m.revision()] = rapid.SampledFrom([]time.Duration{0, 5 * time.Second, 40 * time.Second, never}).Draw(m.t, "takes")
	}},
	{"lose pods", func(m *machine) {
		if s := m.set(m.revision()); s != nil {
			m.lose(s.revision, rapid.IntRange(1, 10).Draw(m.t, "n"))
		}
	}},
	{"all pods well", func(m *machine) { m.heal() }},
	{"bad", func(m *machine) { r := m.revision(); m.bad[r] = !m.bad[r] }},
	{"drift", func(m *machine) { m.drift() }},
	{"unreadable", func(m *machine) { m.unreadable = !m.unreadable }},
	{"routing problem", func(m *machine) { m.problem = toggled(m.problem, v1alpha1.ReasonObjectMissing) }},
	{"command", func(m *machine) { m.command() }},
	{"command", func(m *machine) { m.command() }},
	{"alert rules", func(m *machine) { m.spec.Alerts = drawAlertRules(m.t) }},
	{"alert seen", func(m *machine) { m.alerts = drawAlerts(m.t, m.now) }},
	{"alert command", func(m *machine) { m.alertCommand() }},
	{"restart", func(m *machine) { m.restart(); m.stale, m.staleNet = nil, false }},
	{"outage", func(m *machine) {
		m.outage(rapid.SampledFrom([]time.Duration{10 * time.Second, time.Minute, time.Hour}).Draw(m.t, "takes"))
		m.stale, m.staleNet = nil, false
	}},
	{"stale pods", func(m *machine) { m.stale = m.observe().ReplicaSets }},
	{"delete", func(m *machine) {
		if m.spec.DeletedAt == nil && rapid.IntRange(0, 3).Draw(m.t, "really") == 0 {
			at := m.now
			m.spec.DeletedAt = &at
		}
	}},
	{"lose status", func(m *machine) {
		if rapid.IntRange(0, 3).Draw(m.t, "really") == 0 {
			m.position, m.written = Position{}, Position{}
		}
	}},
}

func toggled(p *Problem, reason string) *Problem {
	if p != nil {
		return nil
	}
	return &Problem{reason, "broken"}
}

func (m *machine) revision() string { return rapid.SampledFrom(revisions).Draw(m.t, "revision") }

func (m *machine) disturb(*rapid.T) {
	d := disturbances[rapid.IntRange(0, len(disturbances)-1).Draw(m.t, "disturbance")]
	m.t.Logf("%s disturbance: %s", m.clock(), d.name)
	d.do(m)
	m.t.Logf("  %s", m.line())
}

func (m *machine) clock() string { return m.now.Sub(epoch).String() }

// line shows the world in short.
func (m *machine) line() string {
	p, step := m.position, "-"
	if p.Step != nil {
		step = fmt.Sprintf("%d:%s:%d%% since %v", p.Step.Index, p.Step.Name, p.Step.Weight, p.Step.InForceSince != nil)
	}
	var pods []string
	for _, s := range m.sets {
		pods = append(pods, fmt.Sprintf("%s %d/%d", s.revision, m.available(s.revision), len(s.pods)))
	}
	n := m.net()
	return fmt.Sprintf("spec %s x%d; stable %s proven %d canary %s step %s aborted %v; routing %s %s %v; pods %v",
		m.spec.Revision, m.spec.Replicas, p.Stable, p.Proven, p.Canary, step, p.Abort != nil, n.stable, n.canary, n.weights, pods)
}

func (m *machine) heal() {
	clear(m.startup)
	for _, s := range m.sets {
		for i := range s.pods {
			if !s.pods[i].available(m.now) {
				s.pods[i] = m.newPod(s.revision)
			}
		}
	}
}

// drift is an edit of the routing by somebody else, seen or not.
func (m *machine) drift() {
	m.staleNet = rapid.IntRange(0, 3).Draw(m.t, "unseen") == 0
	to := rapid.SampledFrom([]string{"a", "b", "c", "d", "x", ""})
	m.route(true, func(n *simNet) {
		switch rapid.IntRange(0, 4).Draw(m.t, "edit") {
		case 0:
			n.stable = to.Draw(m.t, "stable")
		case 1:
			n.canary = to.Draw(m.t, "canary")
		case 2:
			w := rapid.Int32Range(0, 100).Draw(m.t, "weight")
			n.weights[0], n.weights[1] = w, w
		default:
			n.weights[rapid.IntRange(0, 1).Draw(m.t, "route")] = rapid.SampledFrom([]int32{0, 1, 50, 90, 100}).Draw(m.t, "weight")
		}
	})
}

func (m *machine) command() {
	kinds := []v1alpha1.ActionType{v1alpha1.ActionAbort, v1alpha1.ActionPromote, v1alpha1.ActionPromote,
		v1alpha1.ActionPromoteFull, v1alpha1.ActionRetry, v1alpha1.ActionRollback, v1alpha1.ActionPause}
	revision := m.position.Canary
	if revision == "" && rapid.Bool().Draw(m.t, "stable") {
		revision = m.position.Stable
	}
	if revision == "" || rapid.IntRange(0, 4).Draw(m.t, "other") == 0 {
		revision = m.revision()
	}
	if m.position.Abort != nil {
		kinds = append(kinds, v1alpha1.ActionRetry, v1alpha1.ActionRetry, v1alpha1.ActionRetry)
	}
	kind := rapid.SampledFrom(kinds).Draw(m.t, "kind")
	m.act(kind, revision)
	if kind == v1alpha1.ActionRollback && rapid.Bool().Draw(m.t, "to") {
		m.actions[len(m.actions)-1].ToRevision = m.revision()
	}
}

// tick lets time pass: to the next event, or further.
func (m *machine) tick(*rapid.T) {
	next := m.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 5 * time.Minute, 2 * time.Hour}).Draw(m.t, "for"))
	if rapid.IntRange(0, 3).Draw(m.t, "to the next event") > 0 {
		for _, t := range append(m.changes(), m.wake) {
			if t.After(m.now) && t.Before(next) {
				next = t
			}
		}
	}
	m.now = next
}

// see is an observation through caches that may lag.
func (m *machine) see() Observed {
	n := m.net()
	if m.staleNet && n.foreign && len(m.nets) > 1 {
		m.nets = m.nets[:len(m.nets)-1]
		defer func() { m.nets = append(m.nets, n) }()
	}
	o := m.observe()
	for i := range o.ReplicaSets {
		for _, old := range m.stale {
			if old.Revision == o.ReplicaSets[i].Revision {
				o.ReplicaSets[i].Available, o.ReplicaSets[i].Replicas = old.Available, old.Replicas
			}
		}
	}
	return o
}

// livesOn lets anything happen, and then everything heal.
func (m *machine) livesOn(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"disturb":   m.disturb,
		"tick":      m.tick,
		"reconcile": m.reconcile,
		"falter":    m.falter,
		"work":      m.work,
	})
	m.comesToRest()
}

// reconcile carries out one plan, whole.
func (m *machine) reconcile(*rapid.T) { m.carryOut(false) }

// falter carries out one plan in part: writes fail, and the process may die.
func (m *machine) falter(*rapid.T) { m.carryOut(true) }

// work lets the controller go on for a while.
func (m *machine) work(*rapid.T) {
	for range rapid.IntRange(1, 12).Draw(m.t, "rounds") {
		m.carryOut(false)
		if m.wake.After(m.now) || len(m.changes()) > 0 {
			m.toNextEvent()
		}
	}
}

func (m *machine) toNextEvent() {
	next := time.Time{}
	for _, t := range append(m.changes(), m.wake) {
		if t.After(m.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !next.IsZero() {
		m.now = next
	}
}

func (m *machine) carryOut(faults bool) {
	if m.released {
		return
	}
	o := m.see()
	p := m.decide(o)
	m.wake = time.Time{}
	if p.RequeueAfter > 0 {
		m.wake = m.now.Add(p.RequeueAfter)
	}
	stale := m.staleNet && m.net().foreign
	scales, rest := m.scaleWrites(p), m.writes(p)
	for i := 0; len(scales)+len(rest) > 0; i++ {
		if faults && rapid.IntRange(0, 5).Draw(m.t, "crash") == 0 {
			m.t.Logf("  crash")
			m.restart()
			break
		}
		var x write
		if len(rest) == 0 || len(scales) > 0 && (!faults || rapid.Bool().Draw(m.t, "scale first")) {
			x, scales = scales[0], scales[1:]
		} else {
			x, rest = rest[0], rest[1:]
		}
		fails := faults && rapid.IntRange(0, 4).Draw(m.t, "fails") == 0 || stale && x.routing
		if !fails {
			m.doWrite(o, p, x)
			continue
		}
		m.t.Logf("  fails: %s", x.name)
		m.seen = nil
		rest = m.afterFailure(x, p, rest)
	}
	m.stale, m.staleNet = nil, false
}

// afterFailure returns what is still tried after a write failed: of the documented
// order nothing but the other routes, and the position where the split would have
// taken traffic away.
func (m *machine) afterFailure(x write, p Plan, rest []write) []write {
	if x.free {
		return rest
	}
	keep := x.routing && !p.Raises && rapid.Bool().Draw(m.t, "position all the same")
	return slices.DeleteFunc(rest, func(y write) bool {
		return !(x.failsAlone && y.failsAlone) && !(keep && y.name == "position")
	})
}

// comesToRest lets everything that is broken heal and asserts that a bounded number
// of rounds then leads to rest (9), with the spec's revision promoted or aborted.
func (m *machine) comesToRest() {
	m.spec.Problem, m.problem, m.unreadable, m.spec.Paused, m.stale, m.staleNet = nil, nil, false, false, nil, false
	m.alerts = Alerts{}
	for i := range m.spec.Steps {
		m.spec.Steps[i].Approval = false
	}
	m.heal()
	if m.spec.Replicas == 0 && m.spec.Analysed {
		m.spec.Replicas = 1
	}
	m.t.Logf("%s everything heals: %s", m.clock(), m.line())
	rounds := 0
	for ; ; rounds++ {
		if rounds > 400 {
			m.fail("9: no rest after %d rounds", rounds)
		}
		before, at := m.fingerprint(), m.now
		m.carryOut(false)
		if m.released {
			return
		}
		if m.fingerprint() != before {
			continue
		}
		m.toNextEvent()
		if m.now.Equal(at) && m.position.Pause != nil {
			m.act(v1alpha1.ActionPromoteFull, m.position.Canary)
			continue
		}
		if m.now.Equal(at) {
			break
		}
	}
	o := m.see()
	p := m.decide(o)
	if p.Split != nil || len(p.Scale)+len(p.Transitions)+len(p.Actions) > 0 || p.RequeueAfter != 0 || asJSON(p.Position) != asJSON(o.Position) {
		m.fail("9: something is asked for at rest: %+v", p)
	}
	m.checkRest(p)
}

func (m *machine) checkRest(p Plan) {
	pos, n := m.position, m.net()
	promoted := pos.Stable == m.spec.Revision && pos.Canary == "" && p.Verdict.Ready.Status == "True"
	aborted := pos.Canary == m.spec.Revision && pos.Abort != nil && p.Verdict.Stalled != nil
	switch {
	case m.spec.DeletedAt != nil:
		m.fail("9: the Rollout was never let go")
	case !promoted && !aborted:
		m.fail("9: at rest half way: %+v", p.Verdict)
	case n.stable != pos.Stable || slices.Max(n.weights) != 0:
		m.fail("9: at rest with the wrong routing")
	}
	for _, s := range m.sets {
		switch n := int32(len(s.pods)); {
		case s.revision == pos.Stable && n != m.spec.Replicas, s.revision != pos.Stable && n != 0:
			m.fail("9: at rest with %d pods of %s", n, s.revision)
		}
	}
}

package plan

import (
	"slices"
)

// doWrite carries out one write and asserts what must hold after it (8).
func (m *machine) doWrite(o Observed, p Plan, x write) {
	net, desired := m.net(), map[string]int32{}
	for _, s := range m.sets {
		desired[s.revision] = int32(len(s.pods))
	}
	least, most := m.possibleWeights()
	x.do()
	m.t.Logf("  write: %s; %s", x.name, m.line())
	if x.routing {
		m.checkBound(oracle{o, p}, net, least, most)
		m.checkRaised(o, net)
	}
	for revision, n := range desired {
		if m.desired(revision) < n {
			m.checkShrunk(oracle{o, p}, revision)
		}
	}
	if x.name == "run" {
		run := *p.Run
		if canary, ok := m.attempts[run.Attempt]; ok && canary != run.Canary || run.Attempt != m.position.Attempt {
			m.fail("attempt %d of %s was taken", run.Attempt, run.Canary)
		}
		m.attempts[run.Attempt] = run.Canary
	}
}

// checkBound asserts that a destination is bound to other pods only while no proxy
// sends it anything (7), unless it selected every pod, or fewer than can serve.
func (m *machine) checkBound(x oracle, was simNet, least, most int32) {
	is := m.net()
	if is.stable != was.stable && was.stable != "" && x.bears(was.stable, 100) && x.available(was.stable) > 0 && least < 100 {
		m.fail("7: the stable destination was bound to %s while proxies gave it %d%%", is.stable, 100-least)
	}
	if is.canary != was.canary && was.canary != "" && most > 0 {
		m.fail("7: the canary destination was bound to %s while proxies gave it %d%%", is.canary, most)
	}
}

// checkRaised asserts that the weight of a route rises only to what the position
// that was written says (2, 8), never after an abort (4), and only when every proxy
// knows which pods the destination selects (7).
func (m *machine) checkRaised(o Observed, was simNet) {
	is, p := m.net(), m.position
	raised := false
	for i := range is.weights {
		raised = raised || is.weights[i] > was.weights[i]
	}
	if !raised || is.canary == is.stable {
		return
	}
	most := slices.Max(is.weights)
	if p.releasing() && is.canary == p.Canary && most > max(p.Step.Weight, slices.Max(was.weights)) {
		m.fail("2: a route rose to %d%% in a step of %d%%", most, p.Step.Weight)
	}
	if !p.releasing() && is.canary != p.Stable {
		m.fail("4: a route rose for %s, which is not released", is.canary)
	}
	if most <= o.Routing.State.MaxWeight {
		return
	}
	for _, s := range m.spans(m.now) {
		if s.net.canary != is.canary {
			m.fail("7: a route rose while a proxy may take %q for %s", s.net.canary, is.canary)
		}
	}
}

// checkShrunk asserts that pods go only when nobody needs them (1, 7).
func (m *machine) checkShrunk(x oracle, revision string) {
	now := x.p.Position
	switch {
	case revision == now.Stable:
		if m.desired(revision) != x.o.Spec.Replicas {
			m.fail("1: stable was scaled to %d of %d", m.desired(revision), x.o.Spec.Replicas)
		}
	case now.After != nil && revision == now.After.Previous:
		if m.desired(revision) != x.o.Spec.Replicas {
			m.fail("1: %s, which is kept ready to return, was scaled to %d of %d", revision, m.desired(revision), x.o.Spec.Replicas)
		}
	case x.isCanary(revision):
		if m.desired(revision) < x.stepPods() {
			m.fail("1: the canary was scaled to %d, its step wants %d", m.desired(revision), x.stepPods())
		}
		for _, s := range m.spans(m.now) {
			if s.net.canary == revision && s.net.state().MaxWeight > now.Step.Weight {
				m.fail("7: the canary lost pods while a proxy may give it %d%%", s.net.state().MaxWeight)
			}
		}
	default:
		if m.mayHaveReceived(revision, m.now.Add(-x.o.Spec.Drain)) {
			m.fail("7: %s was scaled down within %s of a request", revision, x.o.Spec.Drain)
		}
	}
}

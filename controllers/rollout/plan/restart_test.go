package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRestartsChangeNothing releases twice, once with the controller restarted
// between rounds at will, and asserts that both come to the same end by the same
// steps (10), and that no restart makes a step shorter or starts its time again.
func TestRestartsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := drawSteps(t)
		for i := range steps {
			steps[i].Approval = false
		}
		bad := rapid.Bool().Draw(t, "bad")
		restarts := rapid.SliceOfN(rapid.IntRange(1, 60), 0, 10).Draw(t, "restart after rounds")
		calm, shaken := released(t, steps, bad, nil), released(t, steps, bad, restarts)
		if a, b := outline(calm), outline(shaken); a != b {
			t.Fatalf("without restarts:\n%s\nwith restarts:\n%s", a, b)
		}
		late := shaken.now.Sub(calm.now)
		if most := time.Duration(len(restarts)+1) * calm.spec.Propagation; late < 0 || late > most {
			t.Fatalf("%d restarts made a release take %s longer, at most %s is due", len(restarts), late, most)
		}
	})
}

// released releases b over a and returns the world at rest.
func released(t *rapid.T, steps []Step, bad bool, restarts []int) *machine {
	w := newWorld(10, steps...)
	w.spec.Analysed, w.measure, w.bad["b"] = true, 20*time.Second, bad
	m := &machine{world: w, t: t, attempts: map[int32]string{}}
	m.comesToRest()
	m.spec.Revision = "b"
	for round := range 400 {
		for _, r := range restarts {
			if r == round {
				m.restart()
			}
		}
		before := m.fingerprint()
		at := m.now
		m.carryOut(false)
		if m.fingerprint() != before {
			continue
		}
		if m.toNextEvent(); m.now.Equal(at) {
			return m
		}
	}
	t.Fatal("no rest")
	return nil
}

// outline is what happened, without the times.
func outline(m *machine) string {
	text := ""
	for _, h := range m.history {
		text += string(h.Type) + " " + h.Revision + " " + h.Step + " " + h.Reason + "\n"
	}
	return text + m.line()
}

// TestRecoveryWithAWrongBinding holds that what serves is stable after the status was
// lost, also while the stable destination selects a revision that is not there.
func TestRecoveryWithAWrongBinding(t *testing.T) {
	w := newWorld(4, Step{Name: "half", Weight: 50})
	w.spec.Revision = "b"
	w.nets = []simNet{{at: epoch.Add(-time.Hour), stable: "gone", canary: "b", weights: []int32{25, 25}}}
	w.scale(ScaleIntent{"a", 4})
	w.scale(ScaleIntent{"b", 1})
	for _, set := range w.sets {
		for i := range set.pods {
			set.pods[i].availableAt = epoch.Add(-time.Hour)
		}
	}
	if p := Decide(w.observe()); p.Position.Stable != "a" {
		t.Errorf("stable is %q: %v", p.Position.Stable, p.Why)
	}
}

package plan

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestSequences tells whole releases, a line a change. Read the golden files.
func TestSequences(t *testing.T) {
	for name, tell := range sequences {
		t.Run(name, func(t *testing.T) { tell(t).check() })
	}
}

var sequences = map[string]func(t *testing.T) *story{
	"first deploy": func(t *testing.T) *story {
		s := newStory(t, newWorld(3, defaultSteps()...))
		s.does("somebody creates the Rollout with revision a", func() {})
		s.rests()
		return s
	},
	"first deploy that never works": func(t *testing.T) *story {
		w := newWorld(3, defaultSteps()...)
		w.startup["a"] = never
		s := newStory(t, w)
		s.does("somebody creates the Rollout with revision a, whose pods crash", func() {})
		s.passes(time.Hour)
		s.push("b")
		s.rests()
		return s
	},
	"good release": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.rests()
		return s
	},
	"bad release": func(t *testing.T) *story {
		s := deployed(t)
		s.bad["b"] = true
		s.push("b")
		s.rests()
		return s
	},
	"approval": func(t *testing.T) *story {
		one := int32(1)
		s := deployed(t, Step{Name: "smoke", Weight: 0, Pods: &one, Approval: true}, Step{Name: "half", Weight: 50})
		s.push("b")
		s.passes(time.Hour)
		s.command(v1alpha1.ActionPromote, "b")
		s.rests()
		return s
	},
	"abort": func(t *testing.T) *story {
		s := halfway(t)
		s.command(v1alpha1.ActionAbort, "b")
		s.rests()
		return s
	},
	"retry": func(t *testing.T) *story {
		s := halfway(t)
		s.command(v1alpha1.ActionAbort, "b")
		s.passes(10 * time.Second)
		s.command(v1alpha1.ActionRetry, "b")
		s.rests()
		return s
	},
	"promote full": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.passes(20 * time.Second)
		s.command(v1alpha1.ActionPromoteFull, "b")
		s.rests()
		return s
	},
	"pause": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.passes(20 * time.Second)
		s.does("somebody sets paused", func() { s.spec.Paused = true })
		s.passes(time.Hour)
		s.does("somebody clears paused", func() { s.spec.Paused = false })
		s.rests()
		return s
	},
	"alert aborts": func(t *testing.T) *story {
		s := halfway(t)
		s.alert(v1alpha1.ActionAbort, AlertAction{Rule: "abort"})
		s.rests()
		return s
	},
	"alert that lasts aborts": func(t *testing.T) *story {
		s := halfway(t)
		s.alert(v1alpha1.ActionAbort, AlertAction{Rule: "abort", NotBefore: s.now.Add(20 * time.Second)})
		s.rests()
		return s
	},
	"alert pauses until somebody promotes": func(t *testing.T) *story {
		s := halfway(t)
		s.alert(v1alpha1.ActionPause, AlertAction{Rule: "pause"})
		s.passes(time.Hour)
		s.command(v1alpha1.ActionPromote, "b")
		s.rests()
		return s
	},
	"alert holds while it fires": func(t *testing.T) *story {
		s := halfway(t)
		s.does("an alert fires", func() {
			s.spec.Alerts = alertRules()
			s.alerts.Holding = []HoldingAlert{{Rule: "hold", Message: "alert Incident fires"}}
		})
		s.passes(time.Hour)
		s.does("Prometheus is away", func() { s.alerts = Alerts{Unknown: "Prometheus does not answer"} })
		s.passes(time.Hour)
		s.does("the alert is resolved", func() { s.alerts = Alerts{} })
		s.rests()
		return s
	},
	"too many alerts pause instead of aborting": func(t *testing.T) *story {
		s := halfway(t)
		s.alert(v1alpha1.ActionAbort, AlertAction{Rule: "abort", Barred: "5 releases were aborted by alerts within 10m0s"})
		s.passes(time.Hour)
		s.command(v1alpha1.ActionAbort, "b")
		s.rests()
		return s
	},
	"revision pushed mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.push("c")
		s.rests()
		return s
	},
	"rollback to stable's template mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.push("a")
		s.rests()
		return s
	},
	"scale up mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.does("the autoscaler sets 20 replicas", func() { s.spec.Replicas = 20 })
		s.rests()
		return s
	},
	"scale down mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.does("the autoscaler sets 4 replicas", func() { s.spec.Replicas = 4 })
		s.rests()
		return s
	},
	"steps edited mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.does("somebody makes the steps 5, 20, 60, 80", func() {
			s.spec.Steps = []Step{{Name: "five", Weight: 5}, {Name: "twenty", Weight: 20}, {Name: "sixty", Weight: 60}, {Name: "eighty", Weight: 80}}
		})
		s.rests()
		return s
	},
	"steps edited to less mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.does("somebody makes the only step 20", func() {
			s.spec.Steps = []Step{{Name: "twenty", Weight: 20, Bake: time.Minute}}
		})
		s.rests()
		return s
	},
	"never-ready canary": func(t *testing.T) *story {
		s := deployed(t)
		s.startup["b"] = never
		s.push("b")
		s.rests()
		return s
	},
	"stable loses pods mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.startup["a"] = 20 * time.Second
		s.does("seven of stable's pods are lost with their node", func() { s.lose("a", 7) })
		s.passes(5 * time.Second)
		s.command(v1alpha1.ActionAbort, "b")
		s.rests()
		return s
	},
	"canary loses pods mid-flight": func(t *testing.T) *story {
		s := halfway(t)
		s.startup["b"] = 20 * time.Second
		s.does("one of the canary's pods restarts", func() { s.lose("b", 1) })
		s.passes(5 * time.Second)
		s.does("three more of the canary's pods are lost", func() { s.lose("b", 3) })
		s.rests()
		return s
	},
	"drift": func(t *testing.T) *story {
		s := halfway(t)
		s.does("somebody edits one route's weight to 90", func() { s.route(true, func(n *simNet) { n.weights[1] = 90 }) })
		s.passes(10 * time.Second)
		s.does("somebody makes the stable destination select c", func() { s.route(true, func(n *simNet) { n.stable = "c" }) })
		s.rests()
		return s
	},
	"routing missing mid-step": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.passes(20 * time.Second)
		s.does("somebody deletes the VirtualService", func() {
			s.problem = &Problem{v1alpha1.ReasonObjectMissing, "VirtualService app does not exist"}
		})
		s.passes(5 * time.Minute)
		s.does("somebody creates it again, all to stable", func() {
			s.problem = nil
			s.route(true, func(n *simNet) { clear(n.weights) })
		})
		s.rests()
		return s
	},
	"abort while a route is missing": func(t *testing.T) *story {
		s := halfway(t)
		s.does("somebody deletes the second route", func() {
			s.problem = &Problem{v1alpha1.ReasonRouteMissing, "VirtualService app has no route second"}
		})
		s.passes(10 * time.Second)
		s.command(v1alpha1.ActionAbort, "b")
		s.passes(time.Minute)
		s.does("somebody puts it back as it was, half to the canary", func() { s.problem = nil })
		s.rests()
		return s
	},
	"routing unreadable mid-step": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.passes(20 * time.Second)
		s.does("the routing objects cannot be read", func() { s.unreadable = true })
		s.passes(5 * time.Minute)
		s.does("they can be read again", func() { s.unreadable = false })
		s.rests()
		return s
	},
	"deletion mid-step": func(t *testing.T) *story {
		s := halfway(t)
		s.does("somebody deletes the Rollout", func() { s.deleteNow() })
		s.rests()
		return s
	},
	"explicit replicas": func(t *testing.T) *story {
		two := int32(2)
		s := deployed(t, Step{Name: "smoke", Weight: 0, Pods: &two, Bake: 10 * time.Second}, Step{Name: "half-on-two", Weight: 50, Pods: &two},
			Step{Name: "all-on-two", Weight: 100, Pods: &two})
		s.push("b")
		s.rests()
		return s
	},
	"status lost": func(t *testing.T) *story {
		s := halfway(t)
		s.does("a restore from a backup loses the status", func() { s.position, s.written = Position{}, Position{} })
		s.rests()
		return s
	},
	"restart mid-step": func(t *testing.T) *story {
		s := halfway(t)
		s.does("the controller restarts", func() { s.restart() })
		s.rests()
		return s
	},
	"watched after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.rests()
		return s
	},
	"bad after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.bad["b"] = true
		s.passes(time.Hour)
		s.command(v1alpha1.ActionRetry, "b")
		s.rests()
		return s
	},
	"bad after the promotion while the previous revision lacks pods": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.startup["a"] = 20 * time.Second
		s.does("six of the previous revision's pods are lost", func() { s.lose("a", 6) })
		s.does("b turns out to be bad", func() { s.bad["b"] = true })
		s.rests()
		return s
	},
	"abort after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.command(v1alpha1.ActionAbort, "b")
		s.passes(time.Minute)
		s.push("a")
		s.rests()
		return s
	},
	"alert after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.passes(20 * time.Minute)
		s.alert(v1alpha1.ActionAbort, AlertAction{Rule: "abort"})
		s.rests()
		return s
	},
	"previous template right after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.push("a")
		s.rests()
		return s
	},
	"next revision right after the promotion": func(t *testing.T) *story {
		s := promotedAndWatched(t)
		s.push("c")
		s.rests()
		return s
	},
	"rollback to an older revision": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.rests()
		s.begins("revision b replaced a long ago")
		s.command(v1alpha1.ActionRollback, "b")
		s.does("ann commands a rollback of b to a", func() {
			s.act(v1alpha1.ActionRollback, "b")
			s.actions[len(s.actions)-1].ToRevision = "a"
		})
		s.rests()
		return s
	},
	"outage mid-step": func(t *testing.T) *story {
		s := halfway(t)
		s.does("the API server is away for two minutes", func() { s.outage(2 * time.Minute) })
		s.rests()
		return s
	},
	"abort after an outage": func(t *testing.T) *story {
		s := halfway(t)
		s.does("the API server is away for a minute", func() { s.outage(time.Minute) })
		s.command(v1alpha1.ActionAbort, "b")
		s.rests()
		return s
	},
	"invalid spec mid-flight": func(t *testing.T) *story {
		s := deployed(t)
		s.push("b")
		s.passes(20 * time.Second)
		steps := s.spec.Steps
		s.does("somebody makes the spec invalid", func() {
			s.spec.Steps, s.spec.Problem = nil, &Problem{v1alpha1.ReasonInvalidSpec, "strategy.canary.steps: no step"}
		})
		s.passes(time.Hour)
		s.does("somebody mends the spec", func() { s.spec.Steps, s.spec.Problem = steps, nil })
		s.rests()
		return s
	},
	"scaled to zero and back": func(t *testing.T) *story {
		s := deployed(t)
		s.does("somebody sets 0 replicas", func() { s.spec.Replicas = 0 })
		s.rests()
		s.push("b")
		s.passes(time.Minute)
		s.does("somebody sets 10 replicas", func() { s.spec.Replicas = 10 })
		s.rests()
		return s
	},
}

// promotedAndWatched is a story that begins right after the promotion of b, which is
// watched for ten minutes; a is kept for half an hour.
func promotedAndWatched(t *testing.T) *story {
	s := deployed(t)
	s.spec.AfterBake, s.spec.KeepPrevious = 10*time.Minute, 30*time.Minute
	s.push("b")
	s.passes(4 * time.Minute)
	return s.begins("revision b replaced a half a minute ago")
}

func (s *story) deleteNow() {
	at := s.now
	s.spec.DeletedAt = &at
}

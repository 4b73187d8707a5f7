package rollout

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/internal/alerts"
)

// ear is a Teller that remembers what it was told, over the life of several processes.
type ear struct{ happened []v1alpha1.Transition }

func (e *ear) Tell(_ *v1alpha1.Rollout, happened []v1alpha1.Transition) {
	e.happened = append(e.happened, happened...)
}

// listen has the reconciler tell an ear.
func (w *world) listen(e *ear) *ear {
	w.r.teller = e
	return e
}

// reasoned are types whose reason says more than they do.
var reasoned = []v1alpha1.TransitionType{v1alpha1.TransitionAborted, v1alpha1.TransitionRolledBack, v1alpha1.TransitionPaused, "Stalled"}

// short lists transitions as "type step" or "type step reason".
func short(all []v1alpha1.Transition) []string {
	var out []string
	for i := range all {
		t := &all[i]
		text := string(t.Type)
		if t.Step != "" {
			text += " " + t.Step
		}
		if slices.Contains(reasoned, t.Type) {
			text += " " + t.Reason
		}
		out = append(out, text)
	}
	return out
}

// wantTold holds what was told, and that each of the history's transitions was, in its
// order. What a step waits for is in no history.
func (w *world) wantTold(e *ear, want ...string) {
	w.t.Helper()
	w.Expect(short(e.happened)).To(gomega.Equal(want))
	transitions := slices.DeleteFunc(slices.Clone(e.happened), func(t v1alpha1.Transition) bool { return t.Type == v1alpha1.TransitionPaused })
	recorded := w.get("app").Status.History
	w.Expect(short(recorded)).To(gomega.Equal(short(transitions)))
	for i := range recorded {
		w.Expect(recorded[i].Message).To(gomega.Equal(transitions[i].Message))
		w.Expect(recorded[i].At.UnixMicro()).To(gomega.Equal(transitions[i].At.UnixMicro()))
	}
}

func approved(r *v1alpha1.Rollout) {
	r.Spec.Strategy.Canary.Steps[0].Approval = v1alpha1.ApprovalRequired
}

// TestEachTransitionIsToldOnce plays a release that waits for approval, passes, and is
// rolled back after its promotion, by the analysis.
func TestEachTransitionIsToldOnce(t *testing.T) {
	w := newWorld(t)
	told := w.listen(&ear{})
	w.create("app", watched, measured, approved)
	w.settle("app")
	w.wantTold(told, "Deployed")

	w.push("app", "v2")
	w.settle("app", func() bool { return len(told.happened) > 2 })
	for range 5 { // it goes on waiting
		_, err := w.reconcile("app")
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.clock.Step(time.Minute)
	}
	w.wantTold(told, "Deployed", "Started first", "Paused first Paused")
	w.Expect(told.happened[2].Message).To(gomega.Equal("step first waits for somebody to promote it"))
	w.Expect(told.happened[2].Revision).To(gomega.Equal(w.get("app").Status.Canary.Revision))
	w.restart()
	w.listen(told)
	w.settle("app")
	w.wantTold(told, "Deployed", "Started first", "Paused first Paused") // another process waits on

	w.promoteFully("app")
	w.fail("app", w.get("app").Status.Stable.Revision)
	w.settle("app")
	all := []string{
		"Deployed", "Started first", "Paused first Paused", "StepEntered promotion", "Promoted", "RolledBack after-promotion AnalysisFailed",
	}
	w.wantTold(told, all...)
	w.Expect(told.happened[5].Message).To(gomega.ContainSubstring("errors: value 0.3"))
	w.Expect(told.happened[5].Revision).To(gomega.Equal(w.get("app").Status.Stable.Revision))

	w.restart()
	w.listen(told)
	w.settle("app")
	w.wantTold(told, all...) // another process tells nothing again
}

// TestRollbackByCommandIsTold rolls back after a promotion, by a command, which is told
// once and not as an abort or a stall, too.
func TestRollbackByCommandIsTold(t *testing.T) {
	w := newWorld(t)
	w.create("app", watched)
	w.settle("app")
	w.push("app", "v2")
	w.promoteFully("app")
	told := w.listen(&ear{})
	w.command("app", v1alpha1.ActionRollback, w.get("app").Status.Stable.Revision)
	w.settle("app")
	w.Expect(short(told.happened)).To(gomega.Equal([]string{"RolledBack after-promotion RolledBack"}))
	w.Expect(told.happened[0].Message).To(gomega.ContainSubstring("by ada"))
}

// sees is an AlertWatch to which nothing fires.
type sees struct{}

func (sees) See(*v1alpha1.Rollout, []alerts.Rule) plan.Alerts { return plan.Alerts{} }

func (sees) OnChange(func(types.NamespacedName)) {}

// alertRules has one alert pause and another abort releases.
func alertRules(r *v1alpha1.Rollout) {
	r.Spec.Alerts = []v1alpha1.AlertRule{
		{Name: "slow", Matchers: []string{`alertname="Slow"`}, Action: v1alpha1.AlertActionPause},
		{Name: "errors", Matchers: []string{`alertname="HighErrors"`}, Action: v1alpha1.AlertActionAbort},
	}
}

// fire gives the command that an alert stands for.
func (w *world) fire(rule, alert string, action v1alpha1.ActionType) {
	w.t.Helper()
	w.command("app", action, w.get("app").Status.Canary.Revision, func(a *v1alpha1.RolloutAction) {
		now := metav1.NewMicroTime(w.clock.Now())
		a.Spec.RequestedBy = "alertmanager"
		a.Spec.Reason = "rule " + rule + ": alert " + alert + `{severity="page"} fires since ` + now.UTC().Format(time.RFC3339)
		a.Spec.Alert = &v1alpha1.AlertOrigin{Rule: rule, Fingerprint: "f" + rule, StartsAt: now, ReceivedAt: now}
	})
}

// TestAlertsAreToldByName holds that who is told of what an alert did learns which
// alert it was.
func TestAlertsAreToldByName(t *testing.T) {
	w := newWorld(t)
	w.r.alerts = sees{}
	w.create("app", alertRules)
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	told := w.listen(&ear{})
	w.clock.Step(time.Second)

	w.fire("slow", "Slow", v1alpha1.ActionPause)
	w.settle("app")
	w.wantLast(told, "Paused half Paused", `rule slow: alert Slow{severity="page"} fires since`)
	w.Expect(told.happened).To(gomega.HaveLen(1), "the condition is not told, too")

	w.fire("errors", "HighErrors", v1alpha1.ActionAbort)
	w.settle("app")
	w.wantLast(told, "Aborted half AlertFiring", `rule errors: alert HighErrors{severity="page"} fires since`)
	w.Expect(told.happened).To(gomega.HaveLen(2))
}

func (w *world) wantLast(e *ear, what, message string) {
	w.t.Helper()
	w.Expect(e.happened).NotTo(gomega.BeEmpty())
	last := e.happened[len(e.happened)-1:]
	w.Expect(short(last)).To(gomega.Equal([]string{what}))
	w.Expect(last[0].Message).To(gomega.ContainSubstring(message))
}

// TestWhatWaitsForAPersonIsToldOnce has a release paused by its spec, which then has a
// template that cannot be used.
func TestWhatWaitsForAPersonIsToldOnce(t *testing.T) {
	w := newWorld(t)
	told := w.listen(&ear{})
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	w.edit("app", func(r *v1alpha1.Rollout) { r.Spec.Paused = true })
	w.settle("app")
	w.Expect(short(told.happened)).To(gomega.Equal([]string{"Deployed", "Started first", "StepEntered half", "Paused half Paused"}))
	w.Expect(told.happened[3].Message).To(gomega.ContainSubstring("by spec.paused"))

	told.happened = nil
	w.edit("app", func(r *v1alpha1.Rollout) {
		r.Spec.Workload.Template.Raw = []byte(`{"metadata":{"labels":{"app":"other"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	})
	w.settle("app")
	w.settle("app")
	w.wantLast(told, "Stalled half InvalidSpec", "selector")
	w.Expect(told.happened).To(gomega.HaveLen(1))
}

// TestNothingUnwrittenIsTold has the status's write fail: what did not happen is not
// told, and what happens then is told once.
func TestNothingUnwrittenIsTold(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	told := w.listen(&ear{})
	w.command("app", v1alpha1.ActionAbort, w.get("app").Status.Canary.Revision)
	w.fault = func(int, bool) error { return errors.New("the API server is away") }
	for range 3 {
		_, err := w.reconcile("app")
		w.Expect(err).To(gomega.HaveOccurred())
		w.clock.Step(time.Second)
	}
	w.Expect(told.happened).To(gomega.BeEmpty())
	w.fault = nil
	w.settle("app")
	w.Expect(short(told.happened)).To(gomega.Equal([]string{"Aborted half Aborted"}))
	w.Expect(told.happened[0].At.UnixMicro()).To(gomega.Equal(w.get("app").Status.LastTransition.At.UnixMicro()))
}

// TestWritesWithoutAnAnswerAreTold has the answer to a status's write get lost: when the
// process sees that it went through, it tells of it, once.
func TestWritesWithoutAnAnswerAreTold(t *testing.T) {
	w := newWorld(t)
	told := w.listen(&ear{})
	w.create("app", approved)
	w.settle("app")
	w.push("app", "v2")
	lost := 0
	w.fault = func(_ int, written bool) error {
		if written && len(told.happened) < len(w.get("app").Status.History) {
			lost++
			return errors.New("the answer is lost")
		}
		return nil
	}
	w.settle("app")
	w.fault = nil
	w.wantTold(told, "Deployed", "Started first", "Paused first Paused")
	w.command("app", v1alpha1.ActionAbort, w.get("app").Status.Canary.Revision)
	w.fault = func(_ int, written bool) error {
		if written && w.get("app").Status.Abort != nil && lost < 10 {
			lost++
			return errors.New("the answer is lost")
		}
		return nil
	}
	w.settle("app")
	w.fault = nil
	w.wantTold(told, "Deployed", "Started first", "Paused first Paused", "Aborted first Aborted")
	w.Expect(lost).To(gomega.BeNumerically(">=", 2))
}

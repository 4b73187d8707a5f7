package rollout

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/internal/alerts"
)

// fakeWatch knows what it is told of alerts.
type fakeWatch struct{ known plan.Alerts }

func (f *fakeWatch) See(*v1alpha1.Rollout, []alerts.Rule) plan.Alerts { return f.known }
func (f *fakeWatch) OnChange(func(types.NamespacedName))              {}

func withAlerts(r *v1alpha1.Rollout) {
	r.Spec.Alerts = []v1alpha1.AlertRule{
		{Name: "abort", Matchers: []string{`severity="page"`}},
		{Name: "pause", Matchers: []string{`severity="warn"`}, Action: v1alpha1.AlertActionPause},
		{Name: "hold", Matchers: []string{`incident="yes"`}, Action: v1alpha1.AlertActionHold},
	}
}

// toldOfAlerts has a Rollout take alerts' commands while nobody asks which fire.
func toldOfAlerts(r *v1alpha1.Rollout) {
	withAlerts(r)
	for i := range r.Spec.Alerts {
		r.Spec.Alerts[i].WhenUnknown = v1alpha1.AlertsUnknownIgnore
	}
}

// alerted is a Rollout with alert rules, halfway in a release.
func (w *world) alerted(name string, watch AlertWatch) string {
	w.t.Helper()
	w.r.alerts = watch
	w.create(name, withAlerts)
	w.settle(name)
	w.push(name, "v2")
	w.settle(name, w.at(name, "half"))
	return w.get(name).Status.Canary.Revision
}

// alert gives a command as the receiver does.
func (w *world) alert(rollout, rule, revision string, kind v1alpha1.ActionType) *v1alpha1.RolloutAction {
	w.t.Helper()
	now := metav1.NewMicroTime(w.clock.Now())
	a := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "alert-"},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout: rollout, Action: kind, Revision: revision, Reason: "alert ErrorRate fires", RequestedBy: "alert receiver",
			Alert: &v1alpha1.AlertOrigin{Rule: rule, Fingerprint: "f", StartsAt: now, ReceivedAt: now, Matched: 1},
		},
	}
	w.Expect(w.direct.Create(w.ctx, a)).To(gomega.Succeed())
	w.awaitCache(a)
	return a
}

// TestAlertAborts holds that the weight is 0 after the reconcile that sees the
// alert's command, and that the Rollout says why.
func TestAlertAborts(t *testing.T) {
	w := newWorld(t)
	canary := w.alerted("app", &fakeWatch{})
	w.Expect(w.get("app").Status.Alerts.Attempt).To(gomega.Equal(w.get("app").Status.Attempt))
	a := w.alert("app", "abort", canary, v1alpha1.ActionAbort)
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{0}))
	status := w.get("app").Status
	w.Expect(status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(status.Abort.Message).To(gomega.ContainSubstring("alert ErrorRate fires"))
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(w.outcome(a)).To(gomega.Equal("Applied Applied"))
	w.settle("app")
	w.Expect(w.get("app").Status.Alerts).To(gomega.BeNil())
}

// TestAlertTakesBackAfterThePromotion holds that an alert about a revision that was
// promoted gives all traffic back to the one before in the reconcile that sees the
// command, long after the metrics' bake, and once.
func TestAlertTakesBackAfterThePromotion(t *testing.T) {
	w := newWorld(t)
	w.r.alerts = &fakeWatch{}
	w.create("app", withAlerts, func(r *v1alpha1.Rollout) {
		r.Spec.AfterPromotion = &v1alpha1.AfterPromotion{KeepPrevious: &metav1.Duration{Duration: 2 * time.Hour}}
		r.Spec.Alerts[0].During = &v1alpha1.AlertWindow{AfterPromotion: &metav1.Duration{Duration: 90 * time.Minute}}
	})
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.promoteFully("app")
	second := w.get("app").Status.Stable.Revision
	w.Expect(second).NotTo(gomega.Equal(first))
	w.Expect(w.get("app").Status.Alerts.Attempt).To(gomega.Equal(w.get("app").Status.Attempt), "what fired before does not count")
	w.clock.Step(10 * time.Minute) // The API server's clock stands still for it: not as long as commands live.

	a := w.alert("app", "abort", second, v1alpha1.ActionAbort)
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{100}), "the canary destination selects the previous revision")
	status := w.get("app").Status
	w.Expect(status.Stable.Revision).To(gomega.Equal(first))
	w.Expect(status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(status.Abort.Message).To(gomega.ContainSubstring("after its promotion by alert receiver"))
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(w.outcome(a)).To(gomega.Equal("Applied Applied"))
	w.settle("app")
	again := w.alert("app", "abort", first, v1alpha1.ActionAbort)
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(first))
	w.Expect(w.outcome(again)).To(gomega.HavePrefix("Refused"))
	w.Expect(w.get("app").Spec.Workload.Template.Raw).To(gomega.ContainSubstring("v2"), "the spec is the user's")
}

// TestAlertPauses holds that a pause outlives its alert and a restart, and that a
// person ends it.
func TestAlertPauses(t *testing.T) {
	w := newWorld(t)
	canary := w.alerted("app", &fakeWatch{})
	w.alert("app", "pause", canary, v1alpha1.ActionPause)
	w.settle("app")
	w.restart()
	w.r.alerts = &fakeWatch{}
	w.clock.Step(10 * time.Minute) // The API server's clock stands still for it: not as long as commands live.
	w.settle("app")
	status := w.get("app").Status
	w.Expect(status.Step.Name).To(gomega.Equal("half"))
	w.Expect(status.Pause.Message).To(gomega.ContainSubstring("alert ErrorRate fires"))
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonPaused))
	w.command("app", v1alpha1.ActionPromote, canary)
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(canary))
	w.Expect(w.get("app").Status.Pause).To(gomega.BeNil())
}

// TestAlertHolds holds that a release waits while an alert fires, or nobody knows,
// and not longer.
func TestAlertHolds(t *testing.T) {
	w := newWorld(t)
	watch := &fakeWatch{}
	canary := w.alerted("app", watch)
	for _, step := range []struct {
		known plan.Alerts
		want  string
	}{
		{plan.Alerts{Holding: []plan.HoldingAlert{{Rule: "hold", Message: "alert Incident fires"}}}, v1alpha1.ReasonAlertFiring},
		{plan.Alerts{Unknown: "nobody answers"}, v1alpha1.ReasonAlertsUnknown},
	} {
		watch.known = step.known
		w.clock.Step(time.Hour)
		w.settle("app")
		w.Expect(w.get("app").Status.Step.Name).To(gomega.Equal("half"))
		w.Expect(w.ready("app").Reason).To(gomega.Equal(step.want))
	}
	watch.known = plan.Alerts{}
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(canary))
}

// TestAlertBreakerPauses holds that a fleet is not aborted without a person, that a
// new leader knows what the one before did, and that a person may still abort.
func TestAlertBreakerPauses(t *testing.T) {
	w := newWorld(t)
	canaries := map[string]string{}
	for i := range 4 {
		name := fmt.Sprintf("app-%d", i)
		canaries[name] = w.alerted(name, &fakeWatch{})
	}
	reader := inNamespace{w.direct, w.namespace}
	w.r.breaker = alerts.NewBreaker(alerts.Limits{Fleet: 2, Window: time.Hour}, w.clock, reader)
	commands := map[string]*v1alpha1.RolloutAction{}
	reasonAfter := func(name string) string {
		t.Helper()
		commands[name] = w.alert(name, "abort", canaries[name], v1alpha1.ActionAbort)
		_, err := w.reconcile(name)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		return w.ready(name).Reason
	}
	w.Expect(reasonAfter("app-0")).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(reasonAfter("app-1")).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(reasonAfter("app-2")).To(gomega.Equal(v1alpha1.ReasonAlertBreakerOpen))
	w.Expect(w.router.Get(w.key("app-2")).Weights).To(gomega.Equal([]int32{50}))
	for _, name := range []string{"app-0", "app-1"} {
		w.Expect(w.outcome(commands[name])).To(gomega.Equal("Applied Applied"))
	}
	w.r.breaker = alerts.NewBreaker(alerts.Limits{Fleet: 2, Window: time.Hour}, w.clock, reader)
	w.Expect(reasonAfter("app-3")).To(gomega.Equal(v1alpha1.ReasonAlertBreakerOpen))
	w.command("app-3", v1alpha1.ActionAbort, canaries["app-3"])
	w.settle("app-3")
	w.Expect(w.get("app-3").Status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAborted))
}

// inNamespace keeps other tests' commands apart.
type inNamespace struct {
	client.Reader
	namespace string
}

func (r inNamespace) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return r.Reader.List(ctx, list, append(opts, client.InNamespace(r.namespace))...)
}

// TestBrokenAlertRuleStalls holds that a mistake in a rule is told at once, and that
// the other rules still count.
func TestBrokenAlertRuleStalls(t *testing.T) {
	w := newWorld(t)
	canary := w.alerted("app", &fakeWatch{})
	w.edit("app", func(r *v1alpha1.Rollout) { r.Spec.Alerts[1].Matchers = []string{`a=~"("`} })
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonInvalidSpec))
	w.Expect(w.ready("app").Message).To(gomega.ContainSubstring(`alerts: rule pause: matcher "a=~\"(\""`))
	w.edit("app", func(r *v1alpha1.Rollout) {
		r.Spec.Alerts[1].Matchers, r.Spec.Alerts[1].During = []string{"a=b"}, &v1alpha1.AlertWindow{Steps: []string{"halv"}}
	})
	_, err = w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.ready("app").Message).To(gomega.ContainSubstring("alerts: rule pause: during.steps: there is no step halv"))
	w.alert("app", "abort", canary, v1alpha1.ActionAbort)
	_, err = w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.get("app").Status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
}

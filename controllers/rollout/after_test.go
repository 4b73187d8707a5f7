package rollout

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/resources"
)

// watched has a Rollout watch what it promoted for ten minutes, and keep what that
// replaced for as long.
func watched(r *v1alpha1.Rollout) {
	r.Spec.AfterPromotion = &v1alpha1.AfterPromotion{Bake: &metav1.Duration{Duration: 10 * time.Minute}}
}

func measured(r *v1alpha1.Rollout) {
	r.Spec.Analysis = &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "errors", Query: "errors", SuccessWhen: "value < 0.01"}}}
}

// keepsPrevious returns a condition for settle: a revision was promoted, and the one
// before is bound, ready to return.
func (w *world) keepsPrevious(name string) func() bool {
	return func() bool {
		after := w.get(name).Status.AfterPromotion
		return after != nil && w.router.Get(w.key(name)).Canary == after.Previous
	}
}

// promoteFully gets the canary promoted, past all steps.
func (w *world) promoteFully(name string) {
	w.t.Helper()
	w.settle(name, func() bool { return w.get(name).Status.Step != nil })
	w.command(name, v1alpha1.ActionPromoteFull, w.get(name).Status.Canary.Revision)
	w.settle(name, w.keepsPrevious(name))
	_, err := w.reconcile(name) // which sees the binding
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.clock.Step(time.Minute)
}

// fail makes the analysis of a Rollout's latest attempt fail, as the analysis would
// hand it over.
func (w *world) fail(name, revision string) {
	w.t.Helper()
	rollout := w.get(name)
	run := resources.MakeAnalysisRun(rollout, "previous", revision, rollout.Status.Attempt)
	run.UID = "run"
	run.Status = v1alpha1.AnalysisRunStatus{Verdict: v1alpha1.VerdictFailure, Message: "errors: value 0.3", Metrics: []v1alpha1.MetricStatus{
		{Name: "errors", Verdict: v1alpha1.VerdictFailure},
	}}
	w.r.runs.Publish(w.key(run.Name), run.UID, run)
}

func TestFailureAfterThePromotionRollsBackOnce(t *testing.T) {
	w := newWorld(t)
	w.create("app", watched, measured)
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.promoteFully("app")
	second := w.get("app").Status.Stable.Revision
	w.Expect(second).NotTo(gomega.Equal(first))
	w.Expect(w.pods()).To(gomega.Equal(map[string]int32{first: 4, second: 4}))
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonWatching))

	w.fail("app", second)
	_, err := w.reconcile("app")

	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{100}), "all traffic for the previous revision, in the same reconcile")
	w.settle("app")
	rollout := w.get("app")
	w.Expect(rollout.Status.Stable.Revision).To(gomega.Equal(first))
	w.Expect(rollout.Status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAnalysisFailed))
	w.Expect(rollout.Status.Abort.Step).To(gomega.Equal(v1alpha1.AfterPromotionStep))
	w.Expect(rollout.Status.LastTransition.Type).To(gomega.Equal(v1alpha1.TransitionRolledBack))
	stalled := meta.FindStatusCondition(rollout.Status.Conditions, v1alpha1.ConditionStalled)
	w.Expect(stalled).To(gomega.HaveField("Message", gomega.ContainSubstring("errors: value 0.3")))
	w.Expect(string(rollout.Spec.Workload.Template.Raw)).To(gomega.ContainSubstring("image:v2"), "the spec is the user's")
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{0}))
	w.Expect(w.pods()).To(gomega.Equal(map[string]int32{first: 4, second: 0}))

	w.fail("app", second)
	w.restart()
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(first), "it does not change places again")

	w.push("app", "v1")
	w.settle("app")
	w.Expect(w.ready("app").Status).To(gomega.Equal(metav1.ConditionTrue))
}

func TestPreviousIsLetGoInTime(t *testing.T) {
	w := newWorld(t)
	w.create("app", func(r *v1alpha1.Rollout) {
		watched(r)
		r.Spec.AfterPromotion.KeepPrevious = &metav1.Duration{Duration: 20 * time.Minute}
	})
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app", w.keepsPrevious("app"))
	w.settle("app", func() bool { return w.ready("app").Status == metav1.ConditionTrue })
	after := w.get("app").Status.AfterPromotion
	w.Expect(after.BakedAt.Sub(after.PromotedAt.Time)).To(gomega.BeNumerically("~", 10*time.Minute, 5*time.Second))
	w.Expect(w.pods()[first]).To(gomega.Equal(int32(4)), "kept for longer than the bake")
	w.settle("app")
	w.Expect(w.get("app").Status.AfterPromotion).To(gomega.BeNil())
	w.Expect(w.pods()[first]).To(gomega.BeZero())
}

func TestRollbackToAnOlderRevision(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app")
	second := w.get("app").Status.Stable.Revision

	nowhere := w.command("app", v1alpha1.ActionRollback, second)
	other := w.command("app", v1alpha1.ActionRollback, first)
	w.settle("app")
	w.Expect(w.outcome(nowhere)).To(gomega.Equal("Refused RevisionNotFound"))
	w.Expect(w.outcome(other)).To(gomega.Equal("Refused RevisionMismatch"))

	back := w.command("app", v1alpha1.ActionRollback, second, func(a *v1alpha1.RolloutAction) { a.Spec.ToRevision = first })
	w.settle("app")
	w.Expect(w.outcome(back)).To(gomega.Equal("Applied Applied"))
	status := w.get("app").Status
	w.Expect(status.Stable.Revision).To(gomega.Equal(first))
	w.Expect(status.Abort.Message).To(gomega.ContainSubstring("by ada"))
	w.Expect(w.pods()).To(gomega.Equal(map[string]int32{first: 4, second: 0}))
	w.Expect(meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled)).To(gomega.BeTrue())

	w.push("app", "v3")
	w.settle("app", w.at("app", "half"))
	busy := w.command("app", v1alpha1.ActionRollback, first, func(a *v1alpha1.RolloutAction) { a.Spec.ToRevision = second })
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.outcome(busy)).To(gomega.Equal("Refused ReleaseInProgress"))
}

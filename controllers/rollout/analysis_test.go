package rollout

import (
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/resources"
)

// runs returns the AnalysisRuns of a world, by the revision that they judge.
func (w *world) runs() map[string]v1alpha1.AnalysisRun {
	w.t.Helper()
	var list v1alpha1.AnalysisRunList
	w.Expect(w.direct.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	out := map[string]v1alpha1.AnalysisRun{}
	for _, r := range list.Items {
		out[r.Spec.Subject.CanaryRevision] = r
	}
	return out
}

func TestRolloutWithoutAnalysisIsNotMeasured(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app")
	w.Expect(w.runs()).To(gomega.BeEmpty())
}

func TestDefaultAnalysisHoldsNoStep(t *testing.T) {
	w := newWorld(t)
	w.r.analysed = true
	w.create("app")
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	second := w.get("app").Status.Canary.Revision
	run := w.runs()[second]
	w.Expect(run.Spec.Subject.StableRevision).To(gomega.Equal(first))
	w.Expect(run.Spec.Metrics).To(gomega.HaveLen(2))
	w.Expect(run.Spec.Metrics[1].Builtin.Kind).To(gomega.Equal(v1alpha1.BuiltinLatencyDistribution))
	w.Expect(run.Spec.Alpha).To(gomega.Equal("0.01"), "defaults are the API server's")

	w.settle("app")

	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(second), "nothing was measured, and nobody asked for it")
	w.Expect(w.get("app").Spec.Analysis).To(gomega.BeNil(), "the spec is the user's")
}

func TestDefaultAnalysisAbortsWhatIsBad(t *testing.T) {
	w := newWorld(t)
	w.r.analysed = true
	w.create("app")
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	rollout := w.get("app")
	run := resources.MakeAnalysisRun(w.r.withAnalysis(rollout), first, rollout.Status.Canary.Revision, rollout.Status.Attempt)
	run.UID = "run"
	run.Status = v1alpha1.AnalysisRunStatus{Verdict: v1alpha1.VerdictFailure, Message: "latency: canary 3.0x stable's odds", Metrics: []v1alpha1.MetricStatus{
		{Name: "latency", Verdict: v1alpha1.VerdictFailure},
	}}
	w.r.runs.Publish(w.key(run.Name), run.UID, run)

	_, err := w.reconcile("app")

	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.settle("app")
	status := w.get("app").Status
	w.Expect(status.Abort).NotTo(gomega.BeNil())
	w.Expect(status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAnalysisFailed))
	w.Expect(status.Abort.Message).To(gomega.ContainSubstring("latency: canary 3.0x"))
	w.Expect(status.Stable.Revision).To(gomega.Equal(first))
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{0}))
}

func TestDefaultAnalysisIsForIstio(t *testing.T) {
	r := &Reconciler{analysed: true}
	asked := &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "own"}}}
	istio := v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{}}
	for name, tc := range map[string]struct {
		spec    v1alpha1.RolloutSpec
		metrics int
		advises bool
	}{
		"nothing asked":            {v1alpha1.RolloutSpec{Traffic: istio}, 2, true},
		"asked":                    {v1alpha1.RolloutSpec{Traffic: istio, Analysis: asked}, 1, false},
		"routed by something else": {v1alpha1.RolloutSpec{}, 0, false},
	} {
		got, advises := r.analysisOf(&v1alpha1.Rollout{Spec: tc.spec})
		if (got == nil) != (tc.metrics == 0) || got != nil && len(got.Metrics) != tc.metrics || advises != tc.advises {
			t.Errorf("%s: %+v, %v", name, got, advises)
		}
	}
}

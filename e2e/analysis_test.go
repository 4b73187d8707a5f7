//go:build e2e

package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// compared has a service's canary compared with stable, on what Prometheus has of the
// callers, and passed on evidence alone.
func compared(s *service) {
	d := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	s.Metrics = []v1alpha1.Metric{{
		Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio}, Interval: d(2 * time.Second),
	}}
	s.Comparisons = v1alpha1.ComparisonPolicy{Settle: d(time.Second), Lag: d(2 * time.Second), MaxDuration: d(5 * time.Minute), OnTimeout: v1alpha1.TimeoutPause}
	s.patience = 2 * time.Minute
}

// comparedLatency has a service's canary compared by how long requests take.
func comparedLatency(s *service) {
	compared(s)
	s.Metrics[0].Name, s.Metrics[0].Builtin.Kind = "latency", v1alpha1.BuiltinLatencyDistribution
}

// evidence returns the message of the AnalysisRun of an attempt.
func (s *service) evidence(ctx SpecContext) string {
	GinkgoHelper()
	var runs v1alpha1.AnalysisRunList
	Expect(kube.List(ctx, &runs, client.InNamespace(s.Namespace))).To(Succeed())
	Expect(runs.Items).NotTo(BeEmpty())
	var all []string
	for i := range runs.Items {
		all = append(all, runs.Items[i].Status.Message)
	}
	return strings.Join(all, "; ")
}

// hasSent waits until stable has had so many requests, to choose bounds from.
func (s *service) hasSent(ctx SpecContext, requests int64) {
	GinkgoHelper()
	Eventually(func() int64 { return s.traffic.Snapshot().Total().Requests }).WithContext(ctx).
		WithTimeout(30 * time.Second).Should(BeNumerically(">=", requests))
}

var _ = Describe("Comparison", func() {
	It("condemns a canary that fails more often than stable", func(ctx SpecContext) {
		s := newService("compare-bad", bake(50, time.Second))
		s.Version = "v1-errors-5"
		compared(s)
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		began := time.Now()
		s.release(ctx, "v2-errors-30")
		r := s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonAnalysisFailed))
		AddReportEntry("comparison", "aborted "+time.Since(began).String()+" after the push: "+r.Status.Abort.Message, ReportEntryVisibilityAlways)
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		// The odds are told unless one of the two had no errors at all.
		Expect(r.Status.Abort.Message).To(MatchRegexp(`^errors: canary .*\d+/\d+ .*; p = \S+ < 0\.01$`))
		s.eventuallyWeight(ctx, 0)
		rest(ctx, s)
		// The same data say the same once more, no later than they did.
		run, replayed := s.replayed(ctx)
		Expect(run.Status.Verdict).To(Equal(v1alpha1.VerdictFailure))
		Expect(replayed.Verdict).To(Equal(v1alpha1.VerdictFailure), replayed.Message)
		Expect(replayed.Aborts).To(BeTrue())
	}, SpecTimeout(3*time.Minute))

	It("passes a canary that fails no more often, though both fail often", func(ctx SpecContext) {
		s := newService("compare-alike", bake(50, time.Second))
		s.Version = "v1-errors-20"
		compared(s)
		deploy(ctx, s)
		began := time.Now()
		revision := s.release(ctx, "v2-errors-20")
		s.eventually(ctx, "promoted", serves(revision))
		AddReportEntry("comparison", "promoted "+time.Since(began).String()+" after the push: "+s.evidence(ctx), ReportEntryVisibilityAlways)
		rest(ctx, s)
	}, SpecTimeout(4*time.Minute))

	It("condemns a canary that is slower than stable", func(ctx SpecContext) {
		s := newService("compare-slow", bake(50, time.Second))
		s.Version = "v1-latency-20ms"
		comparedLatency(s)
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		s.hasSent(ctx, 100)
		began := time.Now()
		s.release(ctx, "v2-latency-150ms")
		r := s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonAnalysisFailed))
		AddReportEntry("comparison", "aborted "+time.Since(began).String()+" after the push: "+r.Status.Abort.Message, ReportEntryVisibilityAlways)
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		// The odds are told unless one of the two had no slow requests at all.
		Expect(r.Status.Abort.Message).To(MatchRegexp(`^latency: canary .*over \d+ ms,? .*; p = \S+ < 0\.01$`))
		s.eventuallyWeight(ctx, 0)
		rest(ctx, s)
	}, SpecTimeout(3*time.Minute))

	It("rolls nothing back when both revisions become slow together", func(ctx SpecContext) {
		s := newService("compare-slow-both", bake(50, 20*time.Second))
		s.Version = "v1-latency-20ms"
		comparedLatency(s)
		deploy(ctx, s)
		s.hasSent(ctx, 100)
		began := time.Now()
		revision := s.release(ctx, "v2-latency-20ms")
		s.eventually(ctx, "at half", inForce(stepName(0)))
		cluster.SlowDown(s.Namespace, 130*time.Millisecond, 0.4)
		r := s.eventually(ctx, "promoted", serves(revision))
		Expect(r.Status.Abort).To(BeNil())
		slow := s.traffic.Snapshot().Revisions[revision].Mean()
		AddReportEntry("comparison", "promoted "+time.Since(began).String()+" after the push, the canary at "+slow.String()+": "+s.evidence(ctx), ReportEntryVisibilityAlways)
		Expect(slow).To(BeNumerically(">", 50*time.Millisecond), "the slow-down was not felt")
		cluster.SlowDown(s.Namespace, 0, 0)
		rest(ctx, s)
	}, SpecTimeout(4*time.Minute))
})

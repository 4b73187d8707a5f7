//go:build e2e

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/egress"
)

// replayed judges again, on what Prometheus has, what the operator judged: the one
// stay in a step of a service's only AnalysisRun.
func (s *service) replayed(ctx SpecContext) (*v1alpha1.AnalysisRun, *replay.Report) {
	GinkgoHelper()
	var runs v1alpha1.AnalysisRunList
	Expect(kube.List(ctx, &runs, client.InNamespace(s.Namespace))).To(Succeed())
	Expect(runs.Items).To(HaveLen(1))
	run := &runs.Items[0]
	Expect(run.Status.Step).NotTo(BeNil())
	Expect(run.Status.Metrics).NotTo(BeEmpty())
	Expect(run.Status.Metrics[0].LastMeasuredAt).NotTo(BeNil())
	p, err := prometheus.New(analysis.Endpoint{Address: cluster.PrometheusURL()}, prometheus.Options{Options: egress.Options{AllowLoopback: true}})
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(p.Close()).To(Succeed()) }()
	report, err := replay.Run(ctx, &replay.Input{
		Namespace: s.Namespace, Spec: run.Spec, Steps: []v1alpha1.AnalysisStep{*run.Status.Step}, To: run.Status.Metrics[0].LastMeasuredAt.Time,
	}, replay.Past{Server: p})
	Expect(err).NotTo(HaveOccurred())
	AddReportEntry("replay", "live: "+run.Status.Message+"; replayed: "+report.Message, ReportEntryVisibilityAlways)
	return run, report
}

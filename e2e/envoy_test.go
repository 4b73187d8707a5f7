//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// ingress is the cluster's Envoy, once a scenario wanted it.
var ingress *localcluster.Gateway

// startIngress starts the gateway unless it runs.
func startIngress(ctx context.Context) {
	GinkgoHelper()
	if ingress != nil {
		return
	}
	var err error
	ingress, err = cluster.StartGateway(ctx)
	Expect(err).NotTo(HaveOccurred())
}

// newEdgeService describes a service that is called by gRPC in the mesh, and by
// HTTP/1.1 and HTTP/2 through the gateway.
func newEdgeService(namespace string, steps ...v1alpha1.Step) *service {
	s := newService(namespace, steps...)
	s.Gateway = true
	// Pods end as soon as they are told to. What Envoy still sends there is lost.
	s.Annotations = map[string]string{localcluster.AnnotationDrain: "0s"}
	return s
}

// callGateway begins to send requests for a host through the gateway.
func (s *service) callGateway(ctx context.Context, host string, http2 bool) *localcluster.Traffic {
	GinkgoHelper()
	name := "web-" + s.Namespace
	if http2 {
		name = "web2-" + s.Namespace
	}
	t, err := cluster.NewTraffic(localcluster.TrafficOptions{
		Name: name, Target: s.Target(), RPS: rps, Gateway: ingress, Host: host, HTTP2: http2,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(t.Stop)
	Expect(t.Start(ctx)).To(Succeed())
	return t
}

// ended ends the requests of clients and asserts that none was lost.
func ended(namespace string, clients map[string]*localcluster.Traffic) {
	GinkgoHelper()
	for how, t := range clients {
		t.Stop()
		total := t.Snapshot().Total()
		AddReportEntry("requests", fmt.Sprintf("%s by %s: %d sent, %d lost, %d failed as the version is told to",
			namespace, how, total.Requests, total.Lost, total.Injected), ReportEntryVisibilityAlways)
		Expect(total.Requests).To(BeNumerically(">", 0))
		Expect(t.Losses()).To(BeEmpty(), "lost requests in %s by %s", namespace, how)
	}
}

// accepted asserts that Envoy took everything that istiod sent.
func accepted(ctx context.Context) {
	GinkgoHelper()
	rejected, err := ingress.Rejected(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(rejected).To(BeEmpty(), "what Envoy refused to take: see %s", ingress.Process().LogPath())
}

// The data plane is Envoy itself, programmed by istiod as an ingress gateway.
var _ = Describe("Envoy", Ordered, func() {
	BeforeAll(func(ctx SpecContext) { startIngress(ctx) }, NodeTimeout(time.Minute))

	It("promotes a good version without a failed request, by HTTP/1.1, HTTP/2 and gRPC", func(ctx SpecContext) {
		subsets := newEdgeService("edge-subsets", bake(25, time.Second), bake(50, time.Second))
		services := newEdgeService("edge-services", bake(25, time.Second), bake(50, time.Second))
		services.Services = true
		both := []*service{subsets, services}
		for _, s := range both {
			s.Metrics = errorRatio()
		}
		deploy(ctx, both...)
		olds, revisions := map[*service]string{}, map[*service]string{}
		clients := map[*service]map[string]*localcluster.Traffic{}
		for _, s := range both {
			clients[s] = map[string]*localcluster.Traffic{
				"HTTP/1.1": s.callGateway(ctx, s.Host(), false), "HTTP/2": s.callGateway(ctx, s.Host(), true),
			}
			olds[s] = s.get(ctx).Status.Stable.Revision
			revisions[s] = s.release(ctx, "v2")
		}
		for _, s := range both {
			old, revision := olds[s], revisions[s]
			s.within(ctx, time.Minute, "promoted", serves(revision))
			s.eventuallyWeight(ctx, 0)
			Eventually(s.pods).WithArguments(ctx).Should(Equal(map[string]int32{old: 0, revision: 4}))
		}
		// Until the old pods are gone.
		for _, s := range both {
			Eventually(s.podsOf).WithArguments(ctx, olds[s]).Should(BeEmpty())
		}
		rest(ctx, both...)
		for _, s := range both {
			ended(s.Namespace, clients[s])
			for how, t := range clients[s] {
				Expect(t.Snapshot().Total().Failed()).To(BeZero(), "failed requests in %s by %s", s.Namespace, how)
				Expect(t.Snapshot().ByVersion("v2").Requests).To(BeNumerically(">", 0), "by %s", how)
			}
		}
		accepted(ctx)
	}, SpecTimeout(3*time.Minute))

	It("divides HTTP requests as the VirtualService says, and rolls a bad version back", func(ctx SpecContext) {
		s := newEdgeService("edge-bad", bake(0, time.Second), approve(25), bake(50, time.Second))
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		clients := map[string]*localcluster.Traffic{
			"HTTP/1.1": s.callGateway(ctx, s.Host(), false), "HTTP/2": s.callGateway(ctx, s.Host(), true),
		}
		// What fails is HTTP alone: no metric but that of the gateway's requests tells.
		Eventually(func() int64 { return s.traffic.Snapshot().Total().Requests }).Should(BeNumerically(">", 0))
		s.traffic.SetRPS(0)
		revision := s.release(ctx, "v2-errors-60")
		since := s.eventually(ctx, "in force", inForce(stepName(1))).Status.Step.InForceSince.Time
		for how, t := range clients {
			Eventually(func() (float64, error) {
				window := t.Window(since, time.Now())
				if window.Requests < 400 {
					return 0, fmt.Errorf("only %d requests so far", window.Requests)
				}
				return window.Share(revision), nil
			}).WithTimeout(20*time.Second).Should(BeNumerically("~", 0.25, 0.08), "the canary's share by %s", how)
		}
		s.edit(ctx, func(r *v1alpha1.Rollout) { r.Spec.Analysis = &v1alpha1.Analysis{Metrics: errorRatio()} })
		r := s.within(ctx, time.Minute, "rolled back", stalled(v1alpha1.ReasonAnalysisFailed))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		s.eventuallyWeight(ctx, 0)
		Eventually(s.podsOf).WithArguments(ctx, revision).Should(BeEmpty())
		rest(ctx, s)
		ended(s.Namespace, clients)
		for how, t := range clients {
			good, bad := t.Snapshot().ByVersion("v1"), t.Snapshot().ByVersion("v2-errors-60")
			Expect(good.Failed()).To(BeZero(), "failures of the stable version by %s", how)
			Expect(bad.Injected).To(BeNumerically(">", 0), "by %s", how)
		}
		accepted(ctx)
	}, SpecTimeout(2*time.Minute))

	It("carries out the sample of a service behind the ingress gateway", func(ctx SpecContext) {
		s := newService("sample")
		s.Name = "storefront"
		applySample(ctx, s.Namespace, "../config/samples/ingress/storefront.yaml")
		DeferCleanup(s.cleanUp)
		s.eventually(ctx, "deployed", ready)
		clients := map[string]*localcluster.Traffic{"HTTP/1.1": s.callGateway(ctx, "storefront.example.com", false)}
		s.edit(ctx, func(r *v1alpha1.Rollout) {
			template := r.Spec.Workload.Template
			template.Raw = bytes.Replace(template.Raw, []byte(demo.DemoImage+":v1"), []byte(demo.DemoImage+":v2"), 1)
		})
		s.eventually(ctx, "released", func(r *v1alpha1.Rollout) bool { return r.Status.Canary != nil })
		r := s.within(ctx, time.Minute, "promoted", func(r *v1alpha1.Rollout) bool { return ready(r) && r.Status.Canary == nil })
		share := func() float64 {
			now := time.Now()
			return clients["HTTP/1.1"].Window(now.Add(-time.Second), now).Share(r.Status.Stable.Revision)
		}
		Eventually(share).Should(BeNumerically("==", 1))
		rest(ctx, s)
		ended(s.Namespace, clients)
		accepted(ctx)
	}, SpecTimeout(2*time.Minute))
})

// minutes are the times of the sample that a scenario has no time for.
var minutes = regexp.MustCompile(`(bake|interval|initialDelay): [0-9]+[ms]`)

// applySample applies a sample as it is, but for its image, and for its times: each
// is a second.
func applySample(ctx context.Context, namespace, path string) {
	GinkgoHelper()
	Expect(cluster.ApplyYAML(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")).To(Succeed())
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	text = minutes.ReplaceAll(text, []byte("$1: 1s"))
	text = regexp.MustCompile(`image: \S+`).ReplaceAll(text, []byte("image: "+demo.DemoImage+":v1"))
	var objects []*unstructured.Unstructured
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal(document, &object.Object)).To(Succeed())
		object.SetNamespace(namespace)
		objects = append(objects, object)
	}
	Expect(cluster.ApplyObjects(ctx, objects...)).To(Succeed())
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
)

// routeWeight reads the canary's weight from the HTTPRoute or GRPCRoute.
func (s *service) routeWeight(ctx context.Context) (int32, error) {
	var weights []*int32
	switch s.Route {
	case v1alpha1.GatewayAPIHTTPRoute:
		route := &gatewayv1.HTTPRoute{}
		if err := kube.Get(ctx, s.key(), route); err != nil {
			return 0, err
		}
		for _, b := range route.Spec.Rules[0].BackendRefs {
			weights = append(weights, b.Weight)
		}
	case v1alpha1.GatewayAPIGRPCRoute:
		route := &gatewayv1.GRPCRoute{}
		if err := kube.Get(ctx, s.key(), route); err != nil {
			return 0, err
		}
		for _, b := range route.Spec.Rules[0].BackendRefs {
			weights = append(weights, b.Weight)
		}
	}
	if len(weights) != 2 {
		return 0, fmt.Errorf("%s %s has %d backends, want two", s.Route, s.key(), len(weights))
	}
	return ptr.Deref(weights[1], 1), nil
}

// installGatewayAPI installs the Gateway API's resource definitions, while the
// operator and istiod run.
func installGatewayAPI(ctx context.Context) {
	GinkgoHelper()
	folder, err := envtest.GatewayCRDs()
	Expect(err).NotTo(HaveOccurred())
	files, err := filepath.Glob(filepath.Join(folder, "gateway.networking.k8s.io_*s.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(files).NotTo(BeEmpty())
	Expect(cluster.Apply(ctx, files...)).To(Succeed())
}

// Routes of a Service in the mesh: the callers are gRPC clients that take them from
// istiod.
var _ = Describe("Gateway API", Ordered, func() {
	BeforeAll(func(ctx SpecContext) { installGatewayAPI(ctx) }, NodeTimeout(time.Minute))

	It("promotes a good version without a failed request, by HTTPRoute and by GRPCRoute", func(ctx SpecContext) {
		http := newService("good-httproute", bake(25, time.Second), bake(50, time.Second))
		http.Route = v1alpha1.GatewayAPIHTTPRoute
		grpc := newService("good-grpcroute", bake(25, time.Second), bake(50, time.Second))
		grpc.Route = v1alpha1.GatewayAPIGRPCRoute
		both := []*service{http, grpc}
		deploy(ctx, both...)
		olds, revisions := map[*service]string{}, map[*service]string{}
		for _, s := range both {
			olds[s] = s.get(ctx).Status.Stable.Revision
			revisions[s] = s.release(ctx, "v2")
		}
		for _, s := range both {
			old, revision := olds[s], revisions[s]
			s.within(ctx, time.Minute, "promoted", serves(revision))
			s.eventuallyWeight(ctx, 0)
			Eventually(s.pods).WithArguments(ctx).Should(Equal(map[string]int32{old: 0, revision: 4}))
		}
		rest(ctx, both...)
		for _, s := range both {
			total := s.traffic.Snapshot().Total()
			Expect(total.Failed()).To(BeZero(), "failed requests in %s", s.Namespace)
			Expect(s.traffic.Snapshot().ByVersion("v2").Requests).To(BeNumerically(">", 0))
		}
	}, SpecTimeout(3*time.Minute))

	It("divides requests as the route says, and takes them back at an abort", func(ctx SpecContext) {
		s := newService("abort-grpcroute", approve(25))
		s.Route = v1alpha1.GatewayAPIGRPCRoute
		deploy(ctx, s)
		s.release(ctx, "v2")
		r := s.eventually(ctx, "in force", inForce("step-1"))
		since := r.Status.Step.InForceSince.Time
		Eventually(func() (float64, error) {
			window := s.traffic.Window(since, time.Now())
			if window.Requests < 400 {
				return 0, fmt.Errorf("only %d requests so far", window.Requests)
			}
			return window.Share(r.Status.Canary.Revision), nil
		}).WithTimeout(20 * time.Second).Should(BeNumerically("~", 0.25, 0.08))
		applied(ctx, s.command(ctx, v1alpha1.ActionAbort))
		s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonAborted))
		s.eventuallyWeight(ctx, 0)
		Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(r.Status.Canary.Revision, int32(0)))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("is stalled while what carries a route out refuses it, and goes on when it does not", func(ctx SpecContext) {
		s := newService("refused-httproute", approve(25))
		s.Route = v1alpha1.GatewayAPIHTTPRoute
		deploy(ctx, s)
		edit := func(change func(parents []gatewayv1.ParentReference) []gatewayv1.ParentReference) {
			GinkgoHelper()
			Eventually(func() error {
				route := &gatewayv1.HTTPRoute{}
				if err := kube.Get(ctx, s.key(), route); err != nil {
					return err
				}
				route.Spec.ParentRefs = change(route.Spec.ParentRefs)
				return kube.Update(ctx, route)
			}).Should(Succeed())
		}
		edit(func(parents []gatewayv1.ParentReference) []gatewayv1.ParentReference {
			nowhere := parents[0].DeepCopy()
			nowhere.Name = "nowhere"
			return append(parents, *nowhere)
		})
		s.eventually(ctx, "refused", stalled(v1alpha1.ReasonRouteNotAccepted))
		edit(func(parents []gatewayv1.ParentReference) []gatewayv1.ParentReference { return parents[:1] })
		s.eventually(ctx, "ready again", ready)
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

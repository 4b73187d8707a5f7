//go:build e2e

package e2e

import (
	"context"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	networkingv1 "istio.io/api/networking/v1"
	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// virtualService reads the VirtualService.
func (s *service) virtualService(ctx context.Context) *istionetworking.VirtualService {
	GinkgoHelper()
	vs := &istionetworking.VirtualService{}
	Expect(kube.Get(ctx, s.key(), vs)).To(Succeed())
	return vs
}

// reroute edits the VirtualService as somebody else would.
func (s *service) reroute(ctx context.Context, change func(*istionetworking.VirtualService)) {
	GinkgoHelper()
	Eventually(func() error {
		vs := &istionetworking.VirtualService{}
		if err := kube.Get(ctx, s.key(), vs); err != nil {
			return err
		}
		change(vs)
		return kube.Update(ctx, vs)
	}).Should(Succeed())
}

var _ = Describe("Routing", func() {
	It("heals weights that somebody else moved, and keeps a route that they added", func(ctx SpecContext) {
		s := newService("drift", approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce(stepName(0)))
		s.reroute(ctx, func(vs *istionetworking.VirtualService) {
			primary := vs.Spec.Http[0]
			primary.Route[0].Weight, primary.Route[1].Weight = 90, 10
			vs.Spec.Http = append([]*networkingv1.HTTPRoute{{
				Name: "theirs",
				Match: []*networkingv1.HTTPMatchRequest{{Headers: map[string]*networkingv1.StringMatch{
					"x-theirs": {MatchType: &networkingv1.StringMatch_Exact{Exact: "yes"}},
				}}},
				Route: []*networkingv1.HTTPRouteDestination{{Destination: &networkingv1.Destination{Host: "app", Subset: "stable"}}},
			}}, vs.Spec.Http...)
			vs.Labels = map[string]string{"theirs": "yes"}
		})
		s.eventuallyWeight(ctx, 50)
		vs := s.virtualService(ctx)
		Expect(vs.Spec.Http).To(HaveLen(2))
		Expect(vs.Spec.Http[0].Name).To(Equal("theirs"))
		Expect(vs.Labels).To(HaveKeyWithValue("theirs", "yes"))
		s.eventually(ctx, "half again", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
		Expect(s.virtualService(ctx).Spec.Http[0].Name).To(Equal("theirs"))
	}, SpecTimeout(2*time.Minute))

	It("stands still while a route or the VirtualService is gone, and goes on when it is back", func(ctx SpecContext) {
		s := newService("missing", approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce(stepName(0)))
		pods := s.pods(ctx)

		whole := s.virtualService(ctx)
		s.reroute(ctx, func(vs *istionetworking.VirtualService) { vs.Spec.Http[0].Name = "renamed" })
		s.eventually(ctx, "stalled", stalled(v1alpha1.ReasonRouteMissing))
		s.keeps(ctx, 3*time.Second, "no pods are taken away", func(*v1alpha1.Rollout) bool { return samePods(pods, s.pods(ctx)) })
		s.reroute(ctx, func(vs *istionetworking.VirtualService) { vs.Spec.Http[0].Name = "primary" })
		s.eventually(ctx, "half again", inForce(stepName(0)))

		Expect(kube.Delete(ctx, s.virtualService(ctx))).To(Succeed())
		s.eventually(ctx, "stalled", stalled(v1alpha1.ReasonObjectMissing))
		s.keeps(ctx, 3*time.Second, "no pods are taken away", func(*v1alpha1.Rollout) bool { return samePods(pods, s.pods(ctx)) })
		whole.ObjectMeta = metav1.ObjectMeta{Namespace: whole.Namespace, Name: whole.Name}
		Expect(kube.Create(ctx, whole)).To(Succeed())
		s.eventually(ctx, "half again", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("gives the routing back when the Rollout is deleted mid-step, and traffic goes on", func(ctx SpecContext) {
		s := newService("deleted", approve(50))
		deploy(ctx, s)
		s.release(ctx, "v2")
		r := s.eventually(ctx, "half", inForce(stepName(0)))
		Expect(kube.Delete(ctx, r)).To(Succeed())
		Eventually(func() bool { return apierrors.IsNotFound(kube.Get(ctx, s.key(), &v1alpha1.Rollout{})) }).
			WithTimeout(30*time.Second).Should(BeTrue(), "the Rollout goes")
		Expect(s.weight(ctx)).To(BeZero())
		rule := &istionetworking.DestinationRule{}
		Expect(kube.Get(ctx, s.key(), rule)).To(Succeed())
		for _, subset := range rule.Spec.Subsets {
			Expect(subset.Labels).To(Equal(map[string]string{"app": "app"}), "subset %s", subset.Name)
		}
		sent := s.traffic.Snapshot().Total().Requests
		Eventually(func() int64 { return s.traffic.Snapshot().Total().Requests }).Should(BeNumerically(">", sent+3*rps))
		Expect(s.pods(ctx)).To(HaveKeyWithValue(r.Status.Stable.Revision, int32(4)))
		Expect(s.pods(ctx)).NotTo(HaveKeyWithValue(r.Status.Canary.Revision, BeNumerically(">", 0)))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("lets the older of two Rollouts have a VirtualService, and nothing flaps", func(ctx SpecContext) {
		s := newService("claimed", approve(50))
		deploy(ctx, s)
		s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce(stepName(0)))
		rival, err := s.Rollout()
		Expect(err).NotTo(HaveOccurred())
		rival.Name = "rival"
		rival.Spec.Selector.MatchLabels = map[string]string{"app": "rival"}
		rival.Spec.Workload.Template.Raw = []byte(`{"metadata":{"labels":{"app":"rival"}},"spec":{"containers":[{"name":"app","image":"localcluster/pause"}]}}`)
		Expect(kube.Create(ctx, rival)).To(Succeed())
		younger := &service{Service: s.Service}
		younger.Name = rival.Name
		younger.eventually(ctx, "stalled", stalled(v1alpha1.ReasonRouteClaimed))
		before := s.virtualService(ctx).ResourceVersion
		s.keeps(ctx, 3*time.Second, "the older one goes on", inForce(stepName(0)))
		Expect(s.virtualService(ctx).ResourceVersion).To(Equal(before), "the VirtualService is left alone")
		Expect(kube.Delete(ctx, rival)).To(Succeed())
		Eventually(func() error { return kube.Get(ctx, younger.key(), rival) }).Should(MatchError(apierrors.IsNotFound, "IsNotFound"))
		Expect(s.weight(ctx)).To(Equal(int32(50)), "what the older one routes is not given back")
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", ready)
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

func samePods(a, b map[string]int32) bool {
	if len(a) != len(b) {
		return false
	}
	for revision, n := range a {
		if b[revision] != n {
			return false
		}
	}
	return true
}

// podsOf returns the names of a revision's pods that are there to stay.
func (s *service) podsOf(ctx context.Context, revision string) []string {
	GinkgoHelper()
	var list corev1.PodList
	Expect(kube.List(ctx, &list)).To(Succeed())
	var out []string
	for i := range list.Items {
		p := &list.Items[i]
		if p.Namespace == s.Namespace && p.Labels[v1alpha1.PodTemplateHashLabel] == revision && p.DeletionTimestamp == nil {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}

//go:build e2e

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

// errorRatio is judged every second on the cluster's Prometheus.
func errorRatio() []v1alpha1.Metric {
	return []v1alpha1.Metric{demo.ErrorRatio("0.05", time.Second, 2)}
}

var _ = Describe("Release", func() {
	It("promotes a good version without a failed request, by subsets and by Services", func(ctx SpecContext) {
		subsets := newService("good-subsets", bake(25, time.Second), bake(50, time.Second))
		services := newService("good-services", bake(25, time.Second), bake(50, time.Second))
		services.Services = true
		both := []*service{subsets, services}
		for _, s := range both {
			s.Metrics = errorRatio()
		}
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

	It("rolls a bad version back, with failures only in the canary's share", func(ctx SpecContext) {
		s := newService("bad", bake(25, time.Second), bake(50, time.Second))
		s.Metrics = errorRatio()
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		s.push(ctx, "v2-errors-60")
		r := s.within(ctx, time.Minute, "rolled back", stalled(v1alpha1.ReasonAnalysisFailed))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		Expect(r.Status.Abort.Step).To(Equal("step-1"))
		s.eventuallyWeight(ctx, 0)
		Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(r.Status.Canary.Revision, int32(0)))
		rest(ctx, s)
		snapshot := s.traffic.Snapshot()
		good, bad := snapshot.ByVersion("v1"), snapshot.ByVersion("v2-errors-60")
		Expect(good.Failed()).To(BeZero(), "failures of the stable version")
		Expect(bad.Injected).To(BeNumerically(">", 0))
		Expect(bad.Requests).To(BeNumerically("<", good.Requests/3), "requests that the bad version got")
	}, SpecTimeout(2*time.Minute))

	It("waits for approval, and goes on when somebody promotes", func(ctx SpecContext) {
		s := newService("approval", approve(0), approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "at rest in the first step", inForce("step-1"))
		Expect(s.weight(ctx)).To(BeZero())
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		held := s.eventually(ctx, "at rest in the second step", inForce("step-2"))
		Expect(s.weight(ctx)).To(Equal(int32(50)))
		Consistently(func() string { return s.get(ctx).Status.Step.Name }).WithTimeout(2 * time.Second).Should(Equal("step-2"))
		Expect(reason(s.get(ctx), v1alpha1.ConditionReconciling)).To(Equal(v1alpha1.ReasonPaused))
		Expect(s.get(ctx).Status.Step.InForceSince.Equal(held.Status.Step.InForceSince)).To(BeTrue())
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("starts a third revision from its first step and drains the second", func(ctx SpecContext) {
		s := newService("third", bake(25, time.Second), approve(50))
		// The second step has its pods when it is entered: its weight follows at once.
		s.Steps[0].Scale = &v1alpha1.StepScale{Replicas: ptr.To[int32](2)}
		deploy(ctx, s)
		second := s.release(ctx, "v2")
		s.eventually(ctx, "the second revision has half", inForce("step-2"))
		third := s.release(ctx, "v3")
		Expect(third).NotTo(Equal(second))
		r := s.eventually(ctx, "the third revision has half", inForce("step-2"))
		Expect(r.Status.Canary.Revision).To(Equal(third))
		Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(second, int32(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromoteFull))
		s.eventually(ctx, "promoted", serves(third))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("Steps", func() {
	It("goes on at the weight in force when they are edited under way", func(ctx SpecContext) {
		s := newService("edited", approve(25), approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "in force", inForce(stepName(0)))
		// As a user edits while the status moves on: a change, not the whole object.
		patch := []byte(`{"spec":{"strategy":{"canary":{"steps":[` +
			`{"name":"tenth","weight":10},{"name":"third","weight":33,"approval":"Required"},{"name":"most","weight":75}]}}}}`)
		Expect(kube.Patch(ctx, s.get(ctx), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
		s.eventually(ctx, "in the first step that has as much", inForce("third"))
		Expect(s.weight(ctx)).To(Equal(int32(33)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("Abort", func() {
	It("takes all traffic back from a promotion that is under way", func(ctx SpecContext) {
		s := newService("abort-promotion", approve(50))
		s.Propagation = 3 * time.Second // The stable destination is bound that long after the weight.
		deploy(ctx, s)
		s.release(ctx, "v2")
		r := s.eventually(ctx, "in force", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventuallyWeight(ctx, 100)
		applied(ctx, s.command(ctx, v1alpha1.ActionAbort))
		aborted := s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonAborted))
		Expect(aborted.Status.Stable.Revision).To(Equal(r.Status.Stable.Revision))
		s.eventuallyWeight(ctx, 0)
		Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(r.Status.Canary.Revision, int32(0)))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("takes all traffic back from every step", func(ctx SpecContext) {
		steps := []v1alpha1.Step{approve(0), approve(25), approve(50), approve(100)}
		var all []*service
		for _, name := range []string{"abort-1", "abort-2", "abort-3", "abort-4"} {
			all = append(all, newService(name, steps...))
		}
		deploy(ctx, all...)
		for _, s := range all {
			s.release(ctx, "v2")
		}
		for i, s := range all {
			stable := s.get(ctx).Status.Stable.Revision
			for j := range steps[:i+1] {
				s.eventually(ctx, "in force", inForce(stepName(j)))
				if j < i {
					applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
				}
			}
			applied(ctx, s.command(ctx, v1alpha1.ActionAbort))
			r := s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonAborted))
			Expect(r.Status.Stable.Revision).To(Equal(stable))
			Expect(r.Status.Abort.Step).To(Equal(stepName(i)))
			Expect(r.Status.Abort.Message).To(ContainSubstring("the scenario says so"))
			s.eventuallyWeight(ctx, 0)
			Expect(s.get(ctx).Spec.Workload).To(Equal(r.Spec.Workload))
		}
		for _, s := range all {
			r := s.get(ctx)
			Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(r.Status.Canary.Revision, int32(0)))
		}
		rest(ctx, all...)
	}, SpecTimeout(3*time.Minute))

	It("is undone by a retry, from the first step", func(ctx SpecContext) {
		s := newService("retry", bake(25, time.Second), approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce("step-2"))
		applied(ctx, s.command(ctx, v1alpha1.ActionAbort))
		s.eventuallyWeight(ctx, 0)
		applied(ctx, s.command(ctx, v1alpha1.ActionRetry))
		s.eventually(ctx, "in the first step again", entered("step-1"))
		r := s.eventually(ctx, "half again", inForce("step-2"))
		Expect(r.Status.Canary.Revision).To(Equal(revision))
		Expect(r.Status.Attempt).To(Equal(int32(2)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

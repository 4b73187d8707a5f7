//go:build e2e

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// watchedFor has a service watch what it promoted for a time.
func watchedFor(d time.Duration) *v1alpha1.AfterPromotion {
	return &v1alpha1.AfterPromotion{Bake: &metav1.Duration{Duration: d}}
}

var _ = Describe("After a promotion", func() {
	It("rolls back a version that turns out bad only with all traffic", func(ctx SpecContext) {
		s := newService("after-bad", approve(0))
		s.Metrics, s.AfterPromotion = errorRatio(), watchedFor(time.Minute)
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		revision := s.release(ctx, "v2-errors-60")
		s.eventually(ctx, "in force", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", func(r *v1alpha1.Rollout) bool {
			return r.Status.AfterPromotion != nil && r.Status.Stable.Revision == revision
		})
		r := s.eventually(ctx, "rolled back", stalled(v1alpha1.ReasonAnalysisFailed))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		Expect(r.Status.Abort.Step).To(Equal(v1alpha1.AfterPromotionStep))
		Expect(r.Status.Abort.Message).To(ContainSubstring("error-ratio"))
		Eventually(s.pods).WithArguments(ctx).WithTimeout(20 * time.Second).Should(And(
			HaveKeyWithValue(stable, int32(4)), HaveKeyWithValue(revision, int32(0))))
		s.eventuallyWeight(ctx, 0)
		s.keeps(ctx, 3*time.Second, "it does not change places again", func(r *v1alpha1.Rollout) bool { return r.Status.Stable.Revision == stable })
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("gives the previous revision its place back when somebody says so, without new pods", func(ctx SpecContext) {
		s := newService("after-rollback", bake(50, time.Second))
		s.AfterPromotion = watchedFor(time.Minute)
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "kept ready", func(r *v1alpha1.Rollout) bool {
			return r.Status.AfterPromotion != nil && r.Status.Stable.Revision == revision && r.Status.Stable.Weight == 100
		})
		s.eventuallyWeight(ctx, 0)
		before := s.podsOf(ctx, stable)
		Expect(before).To(HaveLen(4))
		asked := time.Now()
		a := &v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "rollback-", Namespace: s.Namespace},
			Spec:       v1alpha1.RolloutActionSpec{Rollout: s.Name, Action: v1alpha1.ActionRollback, Revision: revision, Reason: "the scenario says so", RequestedBy: "e2e"},
		}
		Expect(kube.Create(ctx, a)).To(Succeed())
		s.eventuallyWeight(ctx, 100)
		AddReportEntry("rollback", "all traffic given back "+time.Since(asked).String()+" after it was asked for", ReportEntryVisibilityAlways)
		applied(ctx, a)
		r := s.eventually(ctx, "rolled back", stalled(v1alpha1.ReasonRolledBack))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		s.eventuallyWeight(ctx, 0)
		Expect(s.podsOf(ctx, stable)).To(ConsistOf(before), "the pods that were kept")
		Eventually(s.podsOf).WithArguments(ctx, revision).WithTimeout(20 * time.Second).Should(BeEmpty())
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

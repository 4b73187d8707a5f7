//go:build e2e

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/history"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

var _ = Describe("Pods", func() {
	It("aborts a canary that never gets ready at the deadline", func(ctx SpecContext) {
		s := newService("never-ready", bake(25, time.Second), bake(50, time.Second))
		s.ProgressDeadline = 3 * time.Second
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		s.Annotations = map[string]string{localcluster.AnnotationNeverReady: "true"}
		revision := s.release(ctx, "v2")
		r := s.eventually(ctx, "aborted", stalled(v1alpha1.ReasonProgressDeadlineExceeded))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		Expect(r.Status.Canary.Revision).To(Equal(revision))
		Expect(s.weight(ctx)).To(BeZero())
		Eventually(s.pods).WithArguments(ctx).Should(Equal(map[string]int32{stable: 4, revision: 0}))
		rest(ctx, s)
		Expect(s.traffic.Snapshot().ByVersion("v2").Requests).To(BeZero())
	}, SpecTimeout(2*time.Minute))

	It("leaves the canary alone when a pod template is refused mid-flight, and goes on with a good one", func(ctx SpecContext) {
		s := newService("refused", approve(50))
		deploy(ctx, s)
		second := s.release(ctx, "v2")
		before := s.eventually(ctx, "half", inForce(stepName(0)))
		s.edit(ctx, func(r *v1alpha1.Rollout) {
			r.Spec.Workload.Template = &runtime.RawExtension{Raw: []byte(
				`{"metadata":{"labels":{"app":"app"}},"spec":{"restartPolicy":"Sometimes","containers":[{"name":"app","image":"x"}]}}`)}
		})
		s.eventually(ctx, "stalled", stalled(v1alpha1.ReasonPodTemplateRejected))
		s.keeps(ctx, 2*time.Second, "the canary stays", func(r *v1alpha1.Rollout) bool {
			return r.Status.Canary != nil && r.Status.Canary.Revision == second && inForce(stepName(0))(r) &&
				r.Status.Step.InForceSince.Equal(before.Status.Step.InForceSince)
		})
		Expect(s.weight(ctx)).To(Equal(int32(50)))
		third := s.release(ctx, "v3")
		Expect(third).NotTo(Equal(second))
		s.eventually(ctx, "half", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(third))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("scales both revisions mid-canary", func(ctx SpecContext) {
		s := newService("scaled", approve(50))
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce(stepName(0)))
		for _, replicas := range []int32{8, 2} {
			s.edit(ctx, func(r *v1alpha1.Rollout) { r.Spec.Replicas = ptr.To(replicas) })
			Eventually(s.pods).WithArguments(ctx).Should(Equal(map[string]int32{stable: replicas, revision: replicas / 2}))
			s.eventually(ctx, "pods", func(r *v1alpha1.Rollout) bool {
				return r.Status.Stable.Available == replicas && r.Status.Canary.Available == replicas/2 && inForce(stepName(0))(r)
			})
			Expect(s.weight(ctx)).To(Equal(int32(50)))
		}
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		Eventually(s.pods).WithArguments(ctx).Should(Equal(map[string]int32{stable: 0, revision: 2}))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("gives stable what the canary cannot carry when a pod of it becomes unready", func(ctx SpecContext) {
		s := newService("pods-lost", approve(50))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "half", inForce(stepName(0)))
		// What the pods do is this scenario's fault, and the step's time starts again.
		exempt(ctx, s.Namespace, history.Capacity, history.Moves)
		pods := s.podsOf(ctx, revision)
		Expect(pods).To(HaveLen(2))
		Expect(cluster.SetReady(s.Namespace, pods[0], false)).To(Succeed())
		s.eventuallyWeight(ctx, 25)
		Expect(cluster.SetReady(s.Namespace, pods[0], true)).To(Succeed())
		s.eventuallyWeight(ctx, 50)
		s.eventually(ctx, "half again", inForce(stepName(0)))
		exempt(ctx, s.Namespace)
		applied(ctx, s.command(ctx, v1alpha1.ActionAbort))
		s.eventuallyWeight(ctx, 0)
		Eventually(s.pods).WithArguments(ctx).Should(HaveKeyWithValue(revision, int32(0)))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

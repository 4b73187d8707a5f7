//go:build e2e

package e2e

import (
	"os"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var _ = Describe("Restart", Ordered, func() {
	It("skips no step and starts no timer again when the operator is killed at every step", func(ctx SpecContext) {
		const bakes = 6 * time.Second
		s := newService("killed", bake(25, bakes), bake(50, bakes), bake(100, bakes))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		for i := range s.Steps {
			before := s.eventually(ctx, "in force", inForce(stepName(i))).Status.Step
			killOperator(ctx)
			next := s.eventually(ctx, "the next step", func(r *v1alpha1.Rollout) bool {
				if r.Status.Step != nil && r.Status.Step.Name == before.Name {
					Expect(r.Status.Step.EnteredAt.Equal(&before.EnteredAt)).To(BeTrue(), "when step %s was entered", before.Name)
					Expect(r.Status.Step.InForceSince.Equal(before.InForceSince)).To(BeTrue(), "since when step %s is in force", before.Name)
					return false
				}
				return true
			})
			if next.Status.Step == nil {
				continue // Promoted between two looks.
			}
			took := next.Status.Step.EnteredAt.Sub(before.InForceSince.Time)
			// A bake that the new process had begun would end the lease's time later.
			Expect(took).To(And(BeNumerically(">=", bakes), BeNumerically("<", bakes+lease-500*time.Millisecond)), "the bake of %s", before.Name)
		}
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(3*time.Minute))

	It("goes on when the operator is killed while a step is entered", func(ctx SpecContext) {
		s := newService("killed-moving", bake(25, time.Second), bake(50, time.Second))
		deploy(ctx, s)
		revision := s.release(ctx, "v2")
		for _, name := range []string{stepName(0), stepName(1), "promotion"} {
			s.eventually(ctx, "entered "+name, entered(name))
			killOperator(ctx)
		}
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(3*time.Minute))

	It("passes from replica to replica, by a crash and by a stop", func(ctx SpecContext) {
		const bakes = 4 * time.Second
		s := newService("failover", bake(25, bakes), approve(50), approve(100))
		deploy(ctx, s)
		standby := startReplica(ctx, replicaB)
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "the first step", inForce(stepName(0)))
		killed := time.Now()
		Expect(operator.Kill()).To(Succeed())
		s.within(ctx, lease+3*time.Second+bakes, "the standby goes on", entered(stepName(1)))
		AddReportEntry("takeover", "moved on "+time.Since(killed).String()+" after a SIGKILL of the leader, at most "+bakes.String()+" of bake included", ReportEntryVisibilityAlways)

		operator = startReplica(ctx, replicaA)
		stopped := time.Now()
		Expect(standby.Signal(syscall.SIGTERM)).To(Or(Succeed(), MatchError(os.ErrProcessDone)))
		promote := s.command(ctx, v1alpha1.ActionPromote)
		s.within(ctx, 3*time.Second, "the other replica takes over", entered(stepName(2)))
		AddReportEntry("takeover", "moved on "+time.Since(stopped).String()+" after a stop of the leader", ReportEntryVisibilityAlways)
		applied(ctx, promote)
		Eventually(standby.Done()).WithTimeout(20 * time.Second).Should(BeClosed())
		s.eventually(ctx, "in force", inForce(stepName(2)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("outlives the API server's absence", func(ctx SpecContext) {
		outage, bakes := outageTime(), 5*time.Second
		s := newService("outage", bake(25, bakes), bake(50, bakes), approve(100))
		for i := range s.Steps {
			// All pods are there before: the controllers that make them come back later.
			s.Steps[i].Scale = &v1alpha1.StepScale{Percent: ptr.To[int32](100)}
		}
		deploy(ctx, s)
		old := s.get(ctx).Status.Stable.Revision
		revision := s.release(ctx, "v2")
		before := s.eventually(ctx, "the first step", inForce(stepName(0))).Status.Step
		pid := operator.PID()
		Expect(cluster.StopAPIServer()).To(Succeed())
		sent := s.traffic.Snapshot().Total().Requests
		end := time.NewTimer(outage)
		defer end.Stop()
		select {
		case <-end.C:
		case <-operator.Done():
			Fail("the operator ended while the API server was away")
		}
		total := s.traffic.Snapshot().Total()
		Expect(total.Requests-sent).To(BeNumerically(">", int64(outage.Seconds()*rps/2)), "requests while the API server was away")
		Expect(total.Lost).To(BeZero())
		Expect(cluster.StartAPIServer(ctx)).To(Succeed())

		back := time.Now()
		const recovery = 2 * time.Minute // the operator's default
		s.within(ctx, time.Minute, "the second step", entered(stepName(1)))
		Expect(operator.PID()).To(Equal(pid))
		// Istio's control plane and the other controllers, too, take their time to find
		// the API server again, each watch its own. Nothing is built on proxies before.
		second := s.within(ctx, recovery+time.Minute, "the second step in force", inForce(stepName(1))).Status.Step
		Expect(second.EnteredAt.Sub(before.InForceSince.Time)).To(BeNumerically(">=", bakes))
		Expect(second.InForceSince.Sub(back)).To(BeNumerically(">=", recovery-5*time.Second))
		// Time away is no evidence for the next step: it bakes in full.
		third := s.within(ctx, time.Minute, "the third step", inForce(stepName(2))).Status.Step
		Expect(third.EnteredAt.Sub(second.InForceSince.Time)).To(BeNumerically(">=", bakes))
		AddReportEntry("outage", "away for "+outage.String()+", moved traffic again "+second.InForceSince.Sub(back).String()+" after it was back", ReportEntryVisibilityAlways)
		aftermath := newService("aftermath", bake(50, time.Second))
		aftermath.patience = 90 * time.Second
		deploy(ctx, aftermath)
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", serves(revision))
		Eventually(s.podsOf).WithArguments(ctx, old).WithTimeout(90*time.Second).Should(BeEmpty(), "pods of the old revision")
		rest(ctx, s, aftermath)
	}, SpecTimeout(8*time.Minute))
})

// outageTime is how long the API server is away.
func outageTime() time.Duration {
	d, err := time.ParseDuration(os.Getenv("SLUICE_E2E_OUTAGE"))
	if err != nil {
		return time.Minute
	}
	return d
}

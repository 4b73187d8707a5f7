package rollout

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// inForceUnwritten returns a condition for settle: a step is in force, and the status
// does not say so yet.
func (w *world) inForceUnwritten(name, step string) func() bool {
	return func() bool {
		rollout := w.get(name)
		u := w.r.unwritten.Get(w.key(name), rollout.UID)
		return u != nil && u.Newest.Step != nil && u.Newest.Step.Name == step && u.Newest.Step.InForceSince != nil &&
			rollout.Status.Step.InForceSince == nil
	}
}

func TestAStepInForceIsWrittenAMomentLater(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.inForceUnwritten("app", "half"))
	writes := w.writes
	since := w.r.unwritten.Get(w.key("app"), w.get("app").UID).Newest.Step.InForceSince

	// Its time has come: settle let it pass.
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.writes).To(gomega.Equal(writes + 1))
	w.Expect(w.get("app").Status.Step.InForceSince.Equal(since)).To(gomega.BeTrue(), "the moment itself is not late")
	_, err = w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.writes).To(gomega.Equal(writes+1), "written once")
}

func TestLateStatusesAreWrittenAtStop(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.inForceUnwritten("app", "half"))
	w.r.flush(w.ctx)
	step := w.get("app").Status.Step
	w.Expect(step.InForceSince).NotTo(gomega.BeNil())
	w.restart()
	w.settle("app", func() bool { return w.get("app").Status.Step.Name == v1alpha1.PromotionStep })
	promoted := w.get("app").Status.Step.EnteredAt
	w.Expect(promoted.Sub(step.InForceSince.Time).Seconds()).To(gomega.BeNumerically("~", 60, 3), "the bake goes on where it was")
}

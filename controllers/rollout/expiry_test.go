package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func TestEndedCommandsAreDeletedInTime(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	a := w.command("app", v1alpha1.ActionAbort, "other")
	e := &expiry{client: w.client, clock: w.clock}
	look := func() ctrl.Result {
		result, err := e.Reconcile(w.ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a)})
		w.Expect(err).NotTo(gomega.HaveOccurred())
		return result
	}
	w.Expect(look()).To(gomega.Equal(ctrl.Result{}), "a command that nothing became of yet")

	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.outcome(a)).To(gomega.HavePrefix("Refused"))
	w.Expect(look().RequeueAfter).To(gomega.BeNumerically("~", 2*time.Hour, 10*time.Second))
	w.clock.SetTime(a.CreationTimestamp.Add(2 * time.Hour))
	w.Expect(look()).To(gomega.Equal(ctrl.Result{}))
	w.Expect(apierrors.IsNotFound(w.live.Get(w.ctx, client.ObjectKeyFromObject(a), a))).To(gomega.BeTrue())
	w.Expect(look()).To(gomega.Equal(ctrl.Result{}), "it is gone")
}

// TestEndedCommandsCostNothing holds that a Rollout neither is woken by nor looks at
// commands that ended, however many.
func TestEndedCommandsCostNothing(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	for i := range 20 {
		w.command("app", v1alpha1.ActionAbort, fmt.Sprintf("other-%d", i))
	}
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	var all v1alpha1.RolloutActionList
	w.Expect(w.live.List(w.ctx, &all, client.InNamespace(w.namespace))).To(gomega.Succeed())
	w.Expect(all.Items).To(gomega.HaveLen(20))
	for i := range all.Items {
		w.Expect(subjectOfAction(w.ctx, &all.Items[i])).To(gomega.BeEmpty())
		w.awaitCache(&all.Items[i])
	}
	w.settle("app")
	pending, err := w.r.listActions(w.ctx, w.key("app"))
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(pending).To(gomega.BeEmpty())
	result, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(result.RequeueAfter).To(gomega.BeZero(), "an idle Rollout is not woken for them")
}

// TestDeletedCommandIsTakenBack deletes a command that the cache still lists.
func TestDeletedCommandIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	a := w.command("app", v1alpha1.ActionAbort, w.get("app").Status.Canary.Revision)
	w.Expect(w.direct.Delete(w.ctx, a)).To(gomega.Succeed())
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.get("app").Status.Abort).To(gomega.BeNil())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{50}))
}

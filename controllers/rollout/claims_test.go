package rollout

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestClaimsCrossNamespaces has two Rollouts of two namespaces name one
// VirtualService: the younger waits, unless the older may not have it.
func TestClaimsCrossNamespaces(t *testing.T) {
	one, two := newWorld(t), newWorld(t)
	one.create("app")
	two.create("app", func(r *v1alpha1.Rollout) {
		r.Spec.Traffic.Istio.VirtualServices[0].Namespace = one.namespace
	})
	older, younger := one, two
	if comesBefore(two.get("app"), one.get("app")) { // Created within one second: the UID decides.
		older, younger = two, one
	}
	_, err := younger.reconcile("app")
	younger.Expect(err).NotTo(gomega.HaveOccurred())
	younger.Expect(younger.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonRouteClaimed))
	younger.Expect(younger.ready("app").Message).To(gomega.ContainSubstring(older.namespace + "/app"))

	older.edit("app", func(r *v1alpha1.Rollout) { r.Labels = map[string]string{"unpermitted": ""} })
	older.settle("app")
	younger.settle("app")
	younger.Expect(younger.ready("app").Reason).NotTo(gomega.Equal(v1alpha1.ReasonRouteClaimed))
}

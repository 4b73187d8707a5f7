//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// notification is what is read of one here.
type notification struct{ Type, Reason, Rollout, Revision, Step, Message string }

// channel receives notifications.
type channel struct {
	*httptest.Server
	mu  sync.Mutex
	got []notification
	bad []string
}

// listen opens a channel to which whoever has its address and its token may write.
func listen() *channel {
	c := &channel{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n notification
		err := json.NewDecoder(r.Body).Decode(&n)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || r.URL.Path != "/channel" || r.Header.Get("Authorization") != "Bearer e2e-token" {
			c.bad = append(c.bad, r.URL.Path)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c.got = append(c.got, n)
	}))
	DeferCleanup(c.Close)
	return c
}

func (c *channel) types() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, n := range c.got {
		all = append(all, n.Type)
	}
	return all
}

func (c *channel) at(i int) notification {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[i]
}

// notifier tells a channel of what happens to Rollouts of a namespace. The operator
// may read the one Secret that it names.
const notifier = `
apiVersion: v1
kind: Secret
metadata: {name: channel, namespace: NAMESPACE}
stringData: {address: ADDRESS/channel, token: e2e-token}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sluice-channel, namespace: NAMESPACE}
rules:
- {apiGroups: [""], resources: [secrets], resourceNames: [channel], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sluice-channel, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sluice-channel}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaA + `}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaB + `}
---
apiVersion: sluice.dev/v1alpha1
kind: Notifier
metadata: {name: channel, namespace: NAMESPACE}
spec:
  webhook:
    addressFrom: {name: channel, key: address}
    bearer: {name: channel, key: token}
  triggers: [{type: Started}, {type: StepEntered}, {type: Promoted}, {type: Aborted}, {type: RolledBack}]
`

var _ = Describe("Notifications", func() {
	It("tell of a bad version that is taken back, and of one that is rolled back after its promotion, in order and why", func(ctx SpecContext) {
		s := newService("notify", bake(25, time.Second))
		s.Metrics, s.AfterPromotion = errorRatio(), watchedFor(time.Minute)
		deploy(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		c := listen()
		Expect(cluster.ApplyYAML(ctx, strings.NewReplacer("NAMESPACE", s.Namespace, "ADDRESS", c.URL).Replace(notifier))).To(Succeed())
		Eventually(func() ([]metav1.Condition, error) {
			n := &v1alpha1.Notifier{}
			err := kube.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: "channel"}, n)
			return n.Status.Conditions, err
		}).WithTimeout(90*time.Second).Should(ContainElement(HaveField("Reason", v1alpha1.ReasonNotifierUsable)),
			"the Role may be seen a moment after the Notifier, which is then looked at a minute later")

		bad := s.release(ctx, "v2-errors-60")
		s.eventually(ctx, "taken back", stalled(v1alpha1.ReasonAnalysisFailed))
		Eventually(c.types).Should(Equal([]string{"Started", "Aborted"}))
		Expect(c.at(1)).To(And(HaveField("Reason", v1alpha1.ReasonAnalysisFailed), HaveField("Rollout", "app"),
			HaveField("Revision", bad), HaveField("Step", stepName(0)), HaveField("Message", ContainSubstring("error-ratio"))))

		good := s.release(ctx, "v3")
		s.eventually(ctx, "promoted", func(r *v1alpha1.Rollout) bool {
			return r.Status.AfterPromotion != nil && r.Status.Stable.Revision == good && r.Status.Stable.Weight == 100
		})
		a := &v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "rollback-", Namespace: s.Namespace},
			Spec:       v1alpha1.RolloutActionSpec{Rollout: s.Name, Action: v1alpha1.ActionRollback, Revision: good, Reason: "the scenario says so", RequestedBy: "e2e"},
		}
		Expect(kube.Create(ctx, a)).To(Succeed())
		applied(ctx, a)
		Eventually(c.types).Should(Equal([]string{"Started", "Aborted", "Started", "StepEntered", "Promoted", "RolledBack"}))
		Expect(c.at(5)).To(And(HaveField("Revision", stable), HaveField("Message", ContainSubstring("the scenario says so"))))
		Consistently(c.types).WithTimeout(2*time.Second).Should(HaveLen(6), "nothing is told twice")
		Expect(c.bad).To(BeEmpty())
		rest(ctx, s)
	}, SpecTimeout(4*time.Minute))
})

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

// nowhere is an address on which nobody listens.
const nowhere = "127.0.0.1:9"

var _ = Describe("Alerts", Ordered, func() {
	var alerting *demo.Alerting

	// takenIn runs the operator with flags that take alerts in.
	takenIn := func(ctx context.Context, args ...string) {
		GinkgoHelper()
		Expect(operator.Kill()).To(Succeed())
		operator = startReplica(ctx, replicaA, args...)
	}

	BeforeAll(func(ctx SpecContext) {
		var err error
		alerting, err = demo.StartAlerting(ctx, cluster, "..", replicaA, replicaB)
		Expect(err).NotTo(HaveOccurred())
	})
	AfterAll(func(ctx SpecContext) {
		Expect(cluster.StopAlertmanager()).To(Succeed())
		killOperator(ctx)
	})

	// alerted deploys a service whose releases alerts take back.
	alerted := func(ctx context.Context, s *service) {
		GinkgoHelper()
		s.Alerts = append(s.Alerts, demo.AlertRule(s.Name))
		deploy(ctx, s)
		Expect(alerting.AllowSender(ctx, s.Namespace)).To(Succeed())
	}

	It("take a release back as soon as one is pushed", func(ctx SpecContext) {
		takenIn(ctx, alerting.PushArgs()...)
		s := newService("alert-push", bake(50, time.Minute))
		alerted(ctx, s)
		stable := s.get(ctx).Status.Stable.Revision
		revision := s.release(ctx, "v2-errors-60")
		r := s.eventually(ctx, "taken back", stalled(v1alpha1.ReasonAlertFiring))
		s.eventuallyWeight(ctx, 0)
		a := s.alertAction(ctx)
		Expect(a.Spec.Revision).To(Equal(revision))
		Expect(a.Spec.RequestedBy).To(ContainSubstring("system:serviceaccount:monitoring:alertmanager"))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		Expect(r.Status.Abort.Message).To(And(ContainSubstring("rule errors"), ContainSubstring(demo.AlertName), ContainSubstring(revision)))
		s.tellReaction(a, r)
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("take a revision back after its promotion, without new pods", func(ctx SpecContext) {
		takenIn(ctx, alerting.OperatorArgs()...)
		s := newService("alert-after", approve(0))
		s.AfterPromotion = &v1alpha1.AfterPromotion{KeepPrevious: &metav1.Duration{Duration: time.Minute}}
		rule := demo.AlertRule(s.Name)
		rule.Name = "late"
		rule.During = &v1alpha1.AlertWindow{Steps: []string{stepName(0)}, AfterPromotion: &metav1.Duration{Duration: time.Minute}}
		s.Alerts = []v1alpha1.AlertRule{rule}
		deploy(ctx, s)
		Expect(alerting.AllowSender(ctx, s.Namespace)).To(Succeed())
		stable := s.get(ctx).Status.Stable.Revision
		before := s.podsOf(ctx, stable)
		revision := s.release(ctx, "v2-errors-60")
		s.eventually(ctx, "in force", inForce(stepName(0)))
		applied(ctx, s.command(ctx, v1alpha1.ActionPromote))
		s.eventually(ctx, "promoted", func(r *v1alpha1.Rollout) bool {
			return r.Status.AfterPromotion != nil && r.Status.Stable.Revision == revision
		})
		r := s.eventually(ctx, "taken back", stalled(v1alpha1.ReasonAlertFiring))
		Expect(r.Status.Stable.Revision).To(Equal(stable))
		Expect(r.Status.Abort.Step).To(Equal(v1alpha1.AfterPromotionStep))
		Expect(s.podsOf(ctx, stable)).To(ConsistOf(before), "the pods that were kept")
		s.tellReaction(s.alertAction(ctx), r)
		s.keeps(ctx, 3*time.Second, "it does not change places again", func(r *v1alpha1.Rollout) bool { return r.Status.Stable.Revision == stable })
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))

	It("are found when they could not be pushed, but not while they are silenced", func(ctx SpecContext) {
		Expect(cluster.StopAlertmanager()).To(Succeed())
		Expect(alerting.StartAlertmanagerTo(ctx, nowhere)).To(Succeed())
		takenIn(ctx, alerting.OperatorArgs()...)
		s := newService("alert-pull", bake(50, time.Minute))
		alerted(ctx, s)
		silence := silenceNamespace(ctx, s.Namespace)
		s.release(ctx, "v2-errors-60")
		s.eventually(ctx, "in force", inForce(stepName(0)))
		Eventually(suppressed).WithArguments(ctx, s.Namespace).Should(BeNumerically(">", 0), "alerts that are silenced")
		s.keeps(ctx, 3*time.Second, "a silenced alert does nothing", func(r *v1alpha1.Rollout) bool {
			return r.Status.Abort == nil && reason(r, v1alpha1.ConditionReconciling) == v1alpha1.ReasonBaking
		})
		call(ctx, http.MethodDelete, "/api/v2/silence/"+silence, nil, nil)
		s.eventually(ctx, "taken back", stalled(v1alpha1.ReasonAlertFiring))
		Expect(s.alertAction(ctx).Spec.RequestedBy).To(Equal("alert poller"))
		rest(ctx, s)
		Expect(cluster.StopAlertmanager()).To(Succeed())
		Expect(alerting.StartAlertmanager(ctx)).To(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("hold releases while nobody can see them", func(ctx SpecContext) {
		takenIn(ctx, alerting.OperatorArgs()...)
		s := newService("alert-blind", bake(50, 10*time.Second)) // longer than an answer is relied on
		alerted(ctx, s)
		Expect(cluster.StopAlertmanager()).To(Succeed())
		revision := s.release(ctx, "v2")
		unknown := func(r *v1alpha1.Rollout) bool {
			return reason(r, v1alpha1.ConditionReconciling) == v1alpha1.ReasonAlertsUnknown
		}
		s.eventually(ctx, "held", unknown)
		s.keeps(ctx, 3*time.Second, "it stays held", unknown)
		Expect(alerting.StartAlertmanager(ctx)).To(Succeed())
		s.eventually(ctx, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(2*time.Minute))
})

// alertAction is the command that an alert gave.
func (s *service) alertAction(ctx context.Context) *v1alpha1.RolloutAction {
	GinkgoHelper()
	var list v1alpha1.RolloutActionList
	Expect(kube.List(ctx, &list, client.InNamespace(s.Namespace))).To(Succeed())
	for i := range list.Items {
		if list.Items[i].Spec.Alert != nil {
			return &list.Items[i]
		}
	}
	Fail("no alert gave a command in " + s.Namespace)
	return nil
}

// tellReaction reports how long an alert took.
func (s *service) tellReaction(a *v1alpha1.RolloutAction, r *v1alpha1.Rollout) {
	GinkgoHelper()
	began, received, ended := a.Spec.Alert.StartsAt.Time, a.Spec.Alert.ReceivedAt.Time, r.Status.Abort.At.Time
	AddReportEntry("reaction", fmt.Sprintf("%s: began, taken in %s later, decided %s after that",
		s.Namespace, received.Sub(began).Round(time.Millisecond), ended.Sub(received).Round(time.Millisecond)), ReportEntryVisibilityAlways)
	Expect(ended).To(BeTemporally(">=", began))
}

// silenceNamespace silences a service's alerts and returns the silence's ID.
func silenceNamespace(ctx context.Context, namespace string) string {
	GinkgoHelper()
	var made struct {
		SilenceID string `json:"silenceID"`
	}
	call(ctx, http.MethodPost, "/api/v2/silences", map[string]any{
		"matchers":  []any{map[string]any{"name": "destination_workload_namespace", "value": namespace, "isRegex": false, "isEqual": true}},
		"startsAt":  time.Now().UTC(),
		"endsAt":    time.Now().UTC().Add(time.Hour),
		"createdBy": "e2e", "comment": "known",
	}, &made)
	return made.SilenceID
}

// suppressed counts a service's alerts that are silenced.
func suppressed(ctx context.Context, namespace string) int {
	GinkgoHelper()
	var alerts []struct {
		Labels map[string]string `json:"labels"`
		Status struct {
			SilencedBy []string `json:"silencedBy"`
		} `json:"status"`
	}
	call(ctx, http.MethodGet, "/api/v2/alerts", nil, &alerts)
	n := 0
	for _, a := range alerts {
		if a.Labels["destination_workload_namespace"] == namespace && len(a.Status.SilencedBy) > 0 {
			n++
		}
	}
	return n
}

// call asks Alertmanager.
func call(ctx context.Context, method, path string, send, into any) {
	GinkgoHelper()
	body, err := json.Marshal(send)
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, method, cluster.AlertmanagerURL()+path, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.StatusCode).To(Equal(http.StatusOK), "%s %s: %s", method, path, answer)
	if into != nil {
		Expect(json.Unmarshal(answer, into)).To(Succeed(), "%s", answer)
	}
}

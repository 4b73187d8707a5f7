package alerts

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const audience = "sluice-alerts"

// sender makes a service account that may send alerts, and command in namespaces, and
// returns a token of it for audiences.
func (w *world) sender(name string, audiences []string, namespaces ...string) string {
	w.t.Helper()
	token := w.account(name, audiences)
	w.allowSending(rbacv1.Subject{Kind: "ServiceAccount", Namespace: w.namespace, Name: name})
	for _, ns := range namespaces {
		w.allow(ns, rbacv1.Subject{Kind: "ServiceAccount", Namespace: w.namespace, Name: name})
	}
	return token
}

// account makes a service account that may do nothing, and returns a token of it.
func (w *world) account(name string, audiences []string) string {
	w.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.Expect(w.direct.Create(w.ctx, account)).To(gomega.Succeed())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	w.Expect(w.direct.SubResource("token").Create(w.ctx, account, request)).To(gomega.Succeed())
	return request.Status.Token
}

// allow lets somebody abort and pause Rollouts in a namespace, or those with a name.
func (w *world) allow(namespace string, subject rbacv1.Subject, names ...string) {
	w.t.Helper()
	w.allowVerbs(namespace, subject, []string{"abort", "pause"}, names...)
}

func (w *world) allowVerbs(namespace string, subject rbacv1.Subject, verbs []string, names ...string) {
	w.t.Helper()
	w.grant(namespace, subject.Name, subject,
		rbacv1.PolicyRule{APIGroups: []string{"sluice.dev"}, Resources: []string{"rolloutactions"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"sluice.dev"}, Resources: []string{"rollouts"}, Verbs: verbs, ResourceNames: names},
	)
}

// allowSending lets somebody send alerts at all.
func (w *world) allowSending(subject rbacv1.Subject) {
	w.t.Helper()
	w.grant(w.namespace, "send-"+subject.Name, subject, rbacv1.PolicyRule{
		APIGroups: []string{"sluice.dev"}, Resources: []string{"alerts"}, Verbs: []string{"create"},
	})
}

func (w *world) grant(namespace, name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	w.Expect(w.direct.Create(w.ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(gomega.Succeed())
	w.Expect(w.direct.Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: name},
	})).To(gomega.Succeed())
}

func (w *world) receiver() *Receiver {
	return NewReceiver(ReceiverOptions{
		Client: w.client, Clock: w.clock, Audiences: []string{audience}, Namespace: w.namespace, Log: logr.Discard(),
	})
}

// body is a message with alerts.
func body(alerts ...Alert) []byte {
	m := map[string]any{"version": "4", "alerts": []any{}}
	for _, a := range alerts {
		status := "resolved"
		if a.Firing {
			status = "firing"
		}
		m["alerts"] = append(m["alerts"].([]any), map[string]any{ //nolint:forcetypeassert // made above
			"status": status, "labels": a.Labels, "startsAt": a.StartsAt, "fingerprint": a.Fingerprint,
		})
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}

func post(h http.Handler, token string, body []byte, edit ...func(*http.Request)) int {
	r := httptest.NewRequest(http.MethodPost, "https://sluice"+Path, bytes.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// TestReceiverRecords holds that a firing alert is written down before the answer,
// once however often it comes, with who and why.
func TestReceiverRecords(t *testing.T) {
	w := newWorld(t)
	token := w.sender("am", []string{audience}, w.namespace)
	w.release(w.namespace, "checkout", specs("abort", "pause", "hold", "dry")...)
	w.release(w.namespace, "quiet")
	alert, rc := w.firing(time.Minute), w.receiver()
	for range 3 { // Alertmanagers repeat themselves, and there are several.
		w.Expect(post(rc, token, body(alert))).To(gomega.Equal(http.StatusOK))
	}
	w.Expect(w.actions(w.namespace)).To(gomega.ConsistOf("Abort of abort for checkout", "Pause of pause for checkout", "Abort of dry for checkout"))
	for _, a := range w.list(w.namespace) {
		w.Expect(a.Spec.Revision).To(gomega.Equal("new"))
		w.Expect(a.Spec.Reason).To(gomega.ContainSubstring(`alert ErrorRate{destination_canonical_revision="new"`))
		w.Expect(a.Spec.RequestedBy).To(gomega.Equal("alert receiver for system:serviceaccount:" + w.namespace + ":am"))
		w.Expect(a.Spec.Alert.Matched).To(gomega.Equal(int32(1)))
		w.Expect(a.Spec.Alert.DryRun).To(gomega.Equal(a.Spec.Alert.Rule == "dry"))
		w.Expect(a.Spec.Alert.ReceivedAt.Time).To(gomega.BeTemporally("==", w.clock.Now()))
	}
	alert.StartsAt = alert.StartsAt.Add(30 * time.Second)
	w.Expect(post(rc, token, body(alert))).To(gomega.Equal(http.StatusOK))
	w.Expect(w.actions(w.namespace)).To(gomega.HaveLen(6), "another episode is another matter")
}

// TestReceiverWithoutMatch holds that nothing comes of what is not about a release,
// and that Alertmanager is not asked to try again.
func TestReceiverWithoutMatch(t *testing.T) {
	w := newWorld(t)
	token := w.sender("am", []string{audience}, w.namespace)
	w.release(w.namespace, "checkout", specs("abort")...)
	rc := w.receiver()
	old, resolved := w.firing(time.Hour), w.firing(time.Minute)
	resolved.Firing = false
	for name, alerts := range map[string][]Alert{
		"none":       nil,
		"of stable":  {w.firing(time.Minute, "destination_canonical_revision=old")},
		"replayed":   {old},
		"resolved":   {resolved},
		"of others":  {w.firing(time.Minute, "severity=info")},
		"of nowhere": {w.firing(time.Minute, "destination_workload_namespace=nowhere")},
	} {
		w.Expect(post(rc, token, body(alerts...))).To(gomega.Equal(http.StatusOK), name)
	}
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
}

// TestReceiverRefusesStrangers holds that nobody acts by an alert where they could
// not by themselves.
func TestReceiverRefusesStrangers(t *testing.T) {
	w := newWorld(t)
	other := w.newNamespace()
	good := w.sender("am", []string{audience}, w.namespace)
	elsewhere := w.sender("elsewhere", []string{audience}, other)
	wrongAudience := w.sender("wrong", nil, w.namespace)
	silent := w.account("silent", []string{audience})
	w.allow(w.namespace, rbacv1.Subject{Kind: "ServiceAccount", Namespace: w.namespace, Name: "silent"})
	w.release(w.namespace, "checkout", specs("abort")...)
	w.release(other, "checkout", specs("abort")...)
	rc, message := w.receiver(), body(w.firing(time.Minute))
	for name, tc := range map[string]struct {
		token string
		edit  func(*http.Request)
		want  int
	}{
		"no token":                     {"", nil, http.StatusUnauthorized},
		"a forged token":               {"eyJhbGciOiJub25lIn0.e30.", nil, http.StatusUnauthorized},
		"a forged signature":           {good[:len(good)-8] + "AAAAAAAA", nil, http.StatusUnauthorized},
		"a token for another audience": {wrongAudience, nil, http.StatusUnauthorized},
		"another scheme":               {"", func(r *http.Request) { r.Header.Set("Authorization", "Basic "+good) }, http.StatusUnauthorized},
		"a huge token":                 {strings.Repeat("a", maxToken+1), nil, http.StatusUnauthorized},
		"a certificate that was not verified": {"", func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}}}}
		}, http.StatusUnauthorized},
		"a certificate of Kubernetes's own": {"", byCertificate("system:serviceaccount:" + w.namespace + ":am"), http.StatusUnauthorized},
		"who may send nothing":              {silent, nil, http.StatusForbidden},
		"a certificate of nobody": {"", func(r *http.Request) {
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
		}, http.StatusUnauthorized},
		"rights in another namespace": {elsewhere, nil, http.StatusForbidden},
		"another path":                {good, func(r *http.Request) { r.URL.Path = "/metrics" }, http.StatusNotFound},
		"another method":              {good, func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
	} {
		edits := []func(*http.Request){}
		if tc.edit != nil {
			edits = append(edits, tc.edit)
		}
		w.Expect(post(rc, tc.token, message, edits...)).To(gomega.Equal(tc.want), name)
	}
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	// An alert that claims no namespace reaches those alone in which its sender may act.
	everywhere := w.firing(time.Minute)
	delete(everywhere.Labels, "destination_workload_namespace")
	w.Expect(post(rc, elsewhere, body(everywhere))).To(gomega.Equal(http.StatusOK))
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	w.Expect(w.actions(other)).To(gomega.ConsistOf("Abort of abort for checkout"))
	w.Expect(post(rc, good, message)).To(gomega.Equal(http.StatusOK))
	w.Expect(w.actions(w.namespace)).To(gomega.HaveLen(1), "the same message, from who may send it")
}

// TestReceiverAsksForTheCommand holds that a sender needs the command as a verb on the
// Rollout, as whoever creates a RolloutAction by hand does.
func TestReceiverAsksForTheCommand(t *testing.T) {
	w := newWorld(t)
	rules := specs("abort", "pause")
	w.release(w.namespace, "checkout", rules...)
	w.release(w.namespace, "payment", rules...)
	user := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: name}
	}
	for _, name := range []string{"viewer", "responder", "team"} {
		w.allowSending(user(name))
	}
	w.allowVerbs(w.namespace, user("viewer"), []string{"get"})
	w.allowVerbs(w.namespace, user("responder"), []string{"abort"})
	w.allow(w.namespace, user("team"), "payment")
	rc, message := w.receiver(), body(w.firing(time.Minute))
	for _, tc := range []struct {
		sender string
		status int
		want   []string
	}{
		{"viewer", http.StatusForbidden, nil},
		{"responder", http.StatusOK, []string{"Abort of abort for checkout", "Abort of abort for payment"}},
		{"team", http.StatusOK, []string{"Abort of abort for payment", "Pause of pause for payment"}},
	} {
		w.Expect(post(rc, "", message, byCertificate(tc.sender))).To(gomega.Equal(tc.status), tc.sender)
		w.Expect(w.actions(w.namespace)).To(gomega.ConsistOf(tc.want), tc.sender)
		w.Expect(w.direct.DeleteAllOf(w.ctx, &v1alpha1.RolloutAction{}, client.InNamespace(w.namespace))).To(gomega.Succeed())
	}
}

// TestReceiverAfterPromotion holds that an alert about a revision that was promoted is
// written down while the one before is kept, and not otherwise.
func TestReceiverAfterPromotion(t *testing.T) {
	w := newWorld(t)
	token, rc := w.sender("am", []string{audience}, w.namespace), w.receiver()
	r := w.release(w.namespace, "checkout", specs("abort", "pause", "hold")...)
	r.Spec.AfterPromotion = &v1alpha1.AfterPromotion{Bake: &metav1.Duration{Duration: time.Hour}}
	w.Expect(w.direct.Update(w.ctx, r)).To(gomega.Succeed())
	promoted := metav1.NewMicroTime(w.clock.Now().Add(-5 * time.Minute))
	r.Status.Stable, r.Status.Canary, r.Status.Step = &v1alpha1.RevisionStatus{Revision: "new"}, nil, nil
	w.Expect(w.direct.Status().Update(w.ctx, r)).To(gomega.Succeed())
	message := body(w.firing(7 * time.Minute))
	w.Expect(post(rc, token, message)).To(gomega.Equal(http.StatusOK))
	w.Expect(w.actions(w.namespace)).To(gomega.BeEmpty(), "the release is over")
	r.Status.AfterPromotion = &v1alpha1.AfterPromotionStatus{Previous: "old", PromotedAt: promoted}
	w.Expect(w.direct.Status().Update(w.ctx, r)).To(gomega.Succeed())
	w.Expect(post(rc, token, message)).To(gomega.Equal(http.StatusOK))
	w.Expect(w.actions(w.namespace)).To(gomega.ConsistOf("Abort of abort for checkout"))
	w.Expect(w.list(w.namespace)[0].Spec.Revision).To(gomega.Equal("new"))
}

func byCertificate(name string) func(*http.Request) {
	return func(r *http.Request) {
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	}
}

// TestReceiverTakesCertificates holds that a verified certificate is a user, who may
// do what RBAC says and no more.
func TestReceiverTakesCertificates(t *testing.T) {
	w := newWorld(t)
	w.release(w.namespace, "checkout", specs("abort")...)
	rc := w.receiver()
	am := rbacv1.Subject{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "mtls-am"}
	w.allow(w.namespace, am)
	w.allowSending(am)
	masters := func(r *http.Request) {
		byCertificate("mtls-other")(r)
		r.TLS.VerifiedChains[0][0].Subject.Organization = []string{"system:masters"}
	}
	w.Expect(post(rc, "", body(w.firing(time.Minute)), masters)).To(gomega.Equal(http.StatusForbidden), "no group of Kubernetes's own")
	w.Expect(post(rc, "", body(w.firing(time.Minute)), byCertificate("mtls-other"))).To(gomega.Equal(http.StatusForbidden))
	w.Expect(post(rc, "", body(w.firing(time.Minute)), byCertificate("mtls-am"))).To(gomega.Equal(http.StatusOK))
	w.Expect(w.actions(w.namespace)).To(gomega.HaveLen(1))
}

// TestReceiverIsDurable holds that Alertmanager is told to try again whenever
// something could not be written down.
func TestReceiverIsDurable(t *testing.T) {
	w := newWorld(t)
	token := w.sender("am", []string{audience}, w.namespace)
	w.release(w.namespace, "checkout", specs("abort")...)
	away := errors.New("the API server is away")
	for name, broken := range map[string]func(client.Object) bool{
		"identity":    func(o client.Object) bool { _, is := o.(*authenticationv1.TokenReview); return is },
		"permissions": func(o client.Object) bool { _, is := o.(*authorizationv1.LocalSubjectAccessReview); return is },
		"record":      func(o client.Object) bool { _, is := o.(*v1alpha1.RolloutAction); return is },
	} {
		w.fault = func(o client.Object) error {
			if broken(o) {
				return away
			}
			return nil
		}
		w.Expect(post(w.receiver(), token, body(w.firing(time.Minute)))).To(gomega.Equal(http.StatusServiceUnavailable), name)
	}
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	w.fault = nil
	w.Expect(post(w.receiver(), token, body(w.firing(time.Minute)))).To(gomega.Equal(http.StatusOK))
	w.Expect(w.list(w.namespace)).To(gomega.HaveLen(1))
}

// TestReceiverLimits holds that size and rate are limited before anybody is asked who
// the sender is.
func TestReceiverLimits(t *testing.T) {
	w := newWorld(t)
	reviews := 0
	w.fault = func(o client.Object) error {
		if _, is := o.(*authenticationv1.TokenReview); is {
			reviews++
		}
		return nil
	}
	rc := w.receiver()
	large := bytes.Repeat([]byte(" "), maxBody+1)
	w.Expect(post(rc, "token", large)).To(gomega.Equal(http.StatusRequestEntityTooLarge))
	w.Expect(reviews).To(gomega.BeZero())
	token := w.sender("am", []string{audience})
	unsized := func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(bytes.NewReader(large)) }
	w.Expect(post(rc, token, nil, unsized)).To(gomega.Equal(http.StatusRequestEntityTooLarge))
	w.Expect(post(rc, token, []byte("<html>"))).To(gomega.Equal(http.StatusBadRequest))
	before := reviews
	statuses := map[int]int{}
	for range burst + 50 {
		statuses[post(rc, "", nil)]++
	}
	w.Expect(statuses[http.StatusServiceUnavailable]).To(gomega.BeNumerically(">=", 50), "the clock stands")
	w.Expect(post(rc, token, body(), func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" })).To(gomega.Equal(http.StatusOK), "another address")
	w.Expect(reviews).To(gomega.Equal(before), "the token is remembered, and nobody asks without one")
	w.clock.Step(trustFor)
	w.Expect(post(rc, token, body())).To(gomega.Equal(http.StatusOK))
	w.Expect(reviews).To(gomega.Equal(before+1), "not for long")
}

// TestStrangersAreBounded holds that tokens nobody knows are not asked about without
// end, and cost those who are known nothing.
func TestStrangersAreBounded(t *testing.T) {
	w := newWorld(t)
	token, reviews := w.sender("am", []string{audience}), 0
	rc := w.receiver()
	w.Expect(post(rc, token, body())).To(gomega.Equal(http.StatusOK))
	w.fault = func(o client.Object) error {
		if _, is := o.(*authenticationv1.TokenReview); is {
			reviews++
		}
		return nil
	}
	for i := range 2 * reviewsBurst {
		from := func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i) }
		post(rc, fmt.Sprint("guess", i), body(), from)
	}
	w.Expect(reviews).To(gomega.BeNumerically("<=", reviewsBurst))
	w.Expect(post(rc, token, body())).To(gomega.Equal(http.StatusOK))
}

// TestResolvedCancels holds that an alert that is resolved before its time does
// nothing, and after it undoes nothing.
func TestResolvedCancels(t *testing.T) {
	w := newWorld(t)
	other := w.newNamespace()
	token := w.sender("am", []string{audience}, w.namespace)
	stranger := w.sender("stranger", []string{audience}, other)
	w.release(w.namespace, "checkout", specs("lasting")...)
	rc, alert := w.receiver(), w.firing(10*time.Second)
	w.Expect(post(rc, token, body(alert))).To(gomega.Equal(http.StatusOK))
	a := w.list(w.namespace)[0]
	w.Expect(a.Spec.Alert.NotBefore.Time).To(gomega.BeTemporally("==", alert.StartsAt.Add(time.Minute)))
	w.Expect(a.Spec.TimeToLive.Duration).To(gomega.Equal(time.Hour + 50*time.Second))

	resolved := alert
	resolved.Firing = false
	w.Expect(post(rc, stranger, body(resolved))).To(gomega.Equal(http.StatusOK))
	w.Expect(reasons(&w.list(w.namespace)[0])).To(gomega.BeEmpty(), "a stranger cancels nothing")
	w.Expect(post(rc, token, body(resolved))).To(gomega.Equal(http.StatusOK))
	w.Expect(reasons(&w.list(w.namespace)[0])).To(gomega.ConsistOf("Refused " + v1alpha1.ReasonAlertResolved))
	w.Expect(post(rc, token, body(alert))).To(gomega.Equal(http.StatusOK), "an old delivery comes late")
	w.Expect(w.list(w.namespace)).To(gomega.HaveLen(1), "nothing comes of it")
}

// TestTruncatedLooks holds that a poll is asked for when Alertmanager left alerts out.
func TestTruncatedLooks(t *testing.T) {
	w := newWorld(t)
	looked := 0
	rc := NewReceiver(ReceiverOptions{Client: w.client, Clock: w.clock, Audiences: []string{audience}, Namespace: w.namespace, Look: func() { looked++ }, Log: logr.Discard()})
	token := w.sender("am", []string{audience})
	w.Expect(post(rc, token, body())).To(gomega.Equal(http.StatusOK))
	w.Expect(looked).To(gomega.BeZero())
	w.Expect(post(rc, token, []byte(`{"version":"4","truncatedAlerts":3,"alerts":[]}`))).To(gomega.Equal(http.StatusOK))
	w.Expect(looked).To(gomega.Equal(1))
}

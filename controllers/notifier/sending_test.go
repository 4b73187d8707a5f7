package notifier

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/egress"
	"github.com/sluice-dev/sluice/internal/notify"
)

// journal is what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// operate runs notifications as the operator does, until the test ends, or it is
// stopped, which returns when the manager has stopped.
func (w *world) operate(logs *journal) (d *notify.Dispatcher, stop func()) {
	w.t.Helper()
	skip := true
	mgr, err := ctrl.NewManager(server.Config(w.t), ctrl.Options{
		Scheme: w.scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
		Cache:  cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Logger: logr.FromSlogHandler(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	ctx, cancel := context.WithCancel(w.ctx)
	d, err = Setup(ctx, mgr, Options{Poster: notify.HTTP{Egress: egress.Options{AllowLoopback: true}}})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		w.Expect(<-ended).To(gomega.Succeed())
	})
	w.t.Cleanup(func() {
		stop()
		d.Wait()
	})
	w.Expect(mgr.GetCache().WaitForCacheSync(ctx)).To(gomega.BeTrue())
	return d, stop
}

// await waits until the operator knows a Notifier as it is.
func (w *world) await(n *v1alpha1.Notifier, ready string) {
	w.t.Helper()
	w.Eventually(func() string {
		var now v1alpha1.Notifier
		w.Expect(w.client.Get(w.ctx, client.ObjectKeyFromObject(n), &now)).To(gomega.Succeed())
		if c := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady); c != nil && now.Status.ObservedGeneration == now.Generation {
			return c.Reason
		}
		return "not looked at yet"
	}).Should(gomega.Equal(ready))
}

// abort tells of an abort.
func (w *world) abort(d *notify.Dispatcher, message string) {
	rollout := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "checkout", UID: "7c9b"}}
	d.Tell(rollout, []v1alpha1.Transition{{
		Type: v1alpha1.TransitionAborted, Reason: "AnalysisFailed", Message: message, At: metav1.NewMicroTime(time.Now()),
	}})
}

// TestRotatedSecretsArePickedUp changes address and token between two notifications.
func TestRotatedSecretsArePickedUp(t *testing.T) {
	w := newWorld(t)
	first, atFirst := w.receive(http.StatusOK)
	second, atSecond := w.receive(http.StatusOK)
	w.secret("hook", map[string]string{"address": first + "/a", "token": secretValue + "-1"})
	n := w.create("hook", v1alpha1.NotifierSpec{Webhook: &v1alpha1.NotificationEndpoint{
		AddressFrom: ref("hook", "address"), Bearer: ref("hook", "token"),
	}})
	logs := &journal{}
	d, _ := w.operate(logs)
	w.await(n, "Usable")

	w.abort(d, "one")
	var got request
	w.Eventually(atFirst).Should(gomega.Receive(&got))
	w.Expect(got.path + " " + got.authorization).To(gomega.Equal("/a Bearer " + secretValue + "-1"))
	w.Expect(got.body).To(gomega.ContainSubstring(`"message":"one"`))

	w.secret("hook", map[string]string{"address": second + "/b", "token": secretValue + "-2"})
	w.abort(d, "two")
	w.Eventually(atSecond).Should(gomega.Receive(&got))
	w.Expect(got.path + " " + got.authorization).To(gomega.Equal("/b Bearer " + secretValue + "-2"))
	w.Expect(got.body).To(gomega.ContainSubstring(`"message":"two"`))
	w.Expect(atFirst).NotTo(gomega.Receive())
	w.Expect(logs.String()).NotTo(gomega.ContainSubstring(secretValue))
}

// TestFailuresAreVisibleAndSecretsAreNot has a server refuse, and looks for why in the
// Notifier's Events, and for the Secret's content everywhere.
func TestFailuresAreVisibleAndSecretsAreNot(t *testing.T) {
	w := newWorld(t)
	address, got := w.receive(http.StatusForbidden)
	w.secret("hook", map[string]string{"address": address + "/" + secretValue, "token": secretValue})
	n := w.create("hook", v1alpha1.NotifierSpec{CloudEvents: &v1alpha1.NotificationEndpoint{
		AddressFrom: ref("hook", "address"), Bearer: ref("hook", "token"),
	}})
	logs := &journal{}
	d, _ := w.operate(logs)
	w.await(n, "Usable")
	w.abort(d, "one")
	w.Eventually(got).Should(gomega.Receive())

	var events eventsv1.EventList
	w.Eventually(func() []string {
		w.Expect(w.client.List(w.ctx, &events, client.InNamespace(w.namespace))).To(gomega.Succeed())
		var notes []string
		for i := range events.Items {
			e := &events.Items[i]
			notes = append(notes, strings.Join([]string{e.Regarding.Kind, e.Regarding.Name, string(e.Regarding.UID), e.Type, e.Reason, e.Note}, "|"))
		}
		return notes
	}).Should(gomega.ConsistOf("Notifier|hook|" + string(n.UID) + "|Warning|NotificationFailed|" +
		"could not tell of Aborted of Rollout checkout, Unauthorized: the server refused the credentials (HTTP 403)"))
	w.Eventually(logs.String).Should(gomega.ContainSubstring("the server refused the credentials (HTTP 403)"))

	w.Expect(w.client.Get(w.ctx, w.key("hook"), n)).To(gomega.Succeed())
	all, err := json.Marshal([]any{events, n})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(string(all)).NotTo(gomega.Or(gomega.ContainSubstring(secretValue), gomega.ContainSubstring(address)))
	w.Expect(logs.String()).NotTo(gomega.Or(gomega.ContainSubstring(secretValue), gomega.ContainSubstring(address)))
}

// TestLostSecretIsNoticed deletes the Secret of a Notifier that was usable: what is to
// be sent finds out, and the condition follows.
func TestLostSecretIsNoticed(t *testing.T) {
	w := newWorld(t)
	address, got := w.receive(http.StatusOK)
	w.secret("hook", map[string]string{"address": address})
	n := w.create("hook", v1alpha1.NotifierSpec{Teams: &v1alpha1.ChatWebhook{AddressFrom: *ref("hook", "address")}})
	d, _ := w.operate(&journal{})
	w.await(n, "Usable")
	var s metav1.PartialObjectMetadata
	s.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("Secret"))
	s.APIVersion, s.Namespace, s.Name = "v1", w.namespace, "hook"
	w.Expect(w.client.Delete(w.ctx, &s)).To(gomega.Succeed())

	w.abort(d, "one")
	w.await(n, "SecretMissing")

	w.secret("hook", map[string]string{"address": address})
	var r request
	w.Eventually(got).Should(gomega.Receive(&r), "it is tried again for a while")
	w.Expect(r.body).To(gomega.ContainSubstring("one"))
}

// TestWrongTemplateSilencesNobody holds that people are told even so.
func TestWrongTemplateSilencesNobody(t *testing.T) {
	w := newWorld(t)
	address, got := w.receive(http.StatusOK)
	n := w.create("hook", v1alpha1.NotifierSpec{
		Webhook:  &v1alpha1.NotificationEndpoint{Address: address},
		Triggers: []v1alpha1.NotificationTrigger{{Type: "Aborted", Template: "{{.Nothing}}"}},
	})
	d, _ := w.operate(&journal{})
	w.await(n, "TemplateInvalid")
	w.abort(d, "one")
	var r request
	w.Eventually(got).Should(gomega.Receive(&r))
	w.Expect(r.body).To(gomega.ContainSubstring("/checkout Aborted: one (AnalysisFailed)"))
}

// TestWhatIsQueuedOutlivesTheManager stops the manager while a receiver has not answered
// yet: the next leader does not wait for it, and what is queued behind is sent even so.
func TestWhatIsQueuedOutlivesTheManager(t *testing.T) {
	w := newWorld(t)
	answer := make(chan struct{})
	got := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	w.secret("hook", map[string]string{"address": s.URL})
	n := w.create("hook", v1alpha1.NotifierSpec{Webhook: &v1alpha1.NotificationEndpoint{AddressFrom: ref("hook", "address")}})
	d, stop := w.operate(&journal{})
	w.await(n, "Usable")
	w.abort(d, "one")
	w.Eventually(got).Should(gomega.Receive(gomega.ContainSubstring("one")))
	w.abort(d, "two")
	stop()
	w.abort(d, "three") // by a reconcile that ends last

	close(answer)
	d.Wait()
	w.Expect(got).To(gomega.Receive(gomega.ContainSubstring("two")))
	w.Expect(got).To(gomega.Receive(gomega.ContainSubstring("three")))
}

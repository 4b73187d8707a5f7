package notifier

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
)

// secretValue is in every Secret of these tests, and must be nowhere else.
const secretValue = "canary-secret-7d1f"

var server = envtest.Shared{CRDs: func() ([]string, error) {
	crds, err := envtest.SluiceCRDs()
	return []string{crds}, err
}}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(server.Run(m))
}

// world is a namespace of a real API server.
type world struct {
	*gomega.WithT
	t         *testing.T
	ctx       context.Context
	client    client.Client
	namespace string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{WithT: gomega.NewWithT(t), t: t, ctx: t.Context()}
	w.SetDefaultEventuallyTimeout(time.Minute)
	w.SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	var err error
	w.client, err = client.New(server.Config(t), client.Options{Scheme: w.scheme()})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "notifier-"}}
	w.Expect(w.client.Create(w.ctx, ns)).To(gomega.Succeed())
	w.namespace = ns.Name
	return w
}

func (w *world) scheme() *runtime.Scheme {
	w.t.Helper()
	scheme := runtime.NewScheme()
	w.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))).To(gomega.Succeed())
	return scheme
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

// secret writes a Secret, or overwrites it.
func (w *world) secret(name string, data map[string]string) {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
	w.Expect(client.IgnoreNotFound(w.client.Delete(w.ctx, s.DeepCopy()))).To(gomega.Succeed())
	w.Expect(w.client.Create(w.ctx, s)).To(gomega.Succeed())
}

// create makes a Notifier that tells of aborts.
func (w *world) create(name string, spec v1alpha1.NotifierSpec) *v1alpha1.Notifier {
	w.t.Helper()
	if spec.Triggers == nil {
		spec.Triggers = []v1alpha1.NotificationTrigger{{Type: "Aborted"}}
	}
	n := &v1alpha1.Notifier{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
	w.Expect(w.client.Create(w.ctx, n)).To(gomega.Succeed())
	return n
}

func ref(name, key string) *v1alpha1.SecretKeyReference {
	return &v1alpha1.SecretKeyReference{Name: name, Key: key}
}

// request is what a receiver got.
type request struct{ path, authorization, body string }

// receive starts a receiver, which answers with a status.
func (w *world) receive(status int) (address string, got <-chan request) {
	w.t.Helper()
	requests := make(chan request, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, "an answer that nobody is to see: "+secretValue)
		requests <- request{r.URL.Path, r.Header.Get("Authorization"), string(body)}
	}))
	w.t.Cleanup(s.Close)
	return s.URL, requests
}

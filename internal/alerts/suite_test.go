package alerts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
)

var server = envtest.Shared{CRDs: func() ([]string, error) {
	crds, err := envtest.SluiceCRDs()
	return []string{crds}, err
}}

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	os.Exit(server.Run(m))
}

// world is a namespace of a real API server with a release in progress.
type world struct {
	*gomega.WithT
	t         *testing.T
	ctx       context.Context
	client    client.Client // of what is tested
	direct    client.Client // of the test
	clock     *clocktesting.FakeClock
	namespace string
	// fault is asked before each write of what is tested.
	fault func(obj client.Object) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{WithT: gomega.NewWithT(t), t: t, ctx: t.Context(), clock: clocktesting.NewFakeClock(time.Now().UTC().Truncate(time.Second))}
	var err error
	w.direct, err = client.New(server.Config(t), client.Options{Scheme: scheme})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.client = interceptor.NewClient(withoutWatch{w.direct}, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if w.fault != nil {
				if err := w.fault(obj); err != nil {
					return err
				}
			}
			return c.Create(ctx, obj, opts...)
		},
	})
	w.namespace = w.newNamespace()
	return w
}

// withoutWatch gives the interceptor the interface that it asks for.
type withoutWatch struct{ client.Client }

func (withoutWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("not watched")
}

func (w *world) newNamespace() string {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "alerts-"}}
	w.Expect(w.direct.Create(w.ctx, ns)).To(gomega.Succeed())
	w.t.Cleanup(func() { // what is left is not another test's release
		ctx := context.WithoutCancel(w.ctx)
		w.Expect(w.direct.DeleteAllOf(ctx, &v1alpha1.Rollout{}, client.InNamespace(ns.Name))).To(gomega.Succeed())
		w.Expect(w.direct.DeleteAllOf(ctx, &v1alpha1.RolloutAction{}, client.InNamespace(ns.Name))).To(gomega.Succeed())
	})
	return ns.Name
}

// release makes a Rollout with rules, whose canary "new" has been in force over "old"
// for five minutes.
func (w *world) release(namespace, name string, rules ...v1alpha1.AlertRule) *v1alpha1.Rollout {
	w.t.Helper()
	r := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.RolloutSpec{
			Replicas: ptr.To[int32](1),
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}},
			Workload: v1alpha1.Workload{Template: &runtime.RawExtension{Raw: []byte(`{}`)}},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{{Name: "quarter", Weight: 25}}}},
			Traffic: v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{
				VirtualServices: []v1alpha1.IstioVirtualService{{Name: name}},
				DestinationRule: &v1alpha1.IstioDestinationRule{Name: name},
			}},
			Alerts: rules,
		},
	}
	w.Expect(w.direct.Create(w.ctx, r)).To(gomega.Succeed())
	ago := func(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(w.clock.Now().Add(-d)) }
	r.Status.Attempt = 1
	r.Status.Stable, r.Status.Canary = &v1alpha1.RevisionStatus{Revision: "old"}, &v1alpha1.RevisionStatus{Revision: "new"}
	r.Status.Step = &v1alpha1.StepStatus{Name: "quarter", Weight: 25, EnteredAt: ago(6 * time.Minute), InForceSince: ptr.To(ago(5 * time.Minute))}
	r.Status.Alerts = &v1alpha1.AlertsStatus{Attempt: 1, Since: ago(10 * time.Minute)}
	w.Expect(w.direct.Status().Update(w.ctx, r)).To(gomega.Succeed())
	return r
}

// actions lists what was recorded in a namespace, as "action of rule for Rollout".
func (w *world) actions(namespace string) []string {
	w.t.Helper()
	var out []string
	for _, a := range w.list(namespace) {
		out = append(out, fmt.Sprintf("%s of %s for %s", a.Spec.Action, a.Spec.Alert.Rule, a.Spec.Rollout))
	}
	return out
}

func (w *world) list(namespace string) []v1alpha1.RolloutAction {
	w.t.Helper()
	var list v1alpha1.RolloutActionList
	w.Expect(w.direct.List(w.ctx, &list, client.InNamespace(namespace))).To(gomega.Succeed())
	return list.Items
}

// reasons lists the reasons of an action's conditions.
func reasons(a *v1alpha1.RolloutAction) []string {
	var out []string
	for _, c := range a.Status.Conditions {
		out = append(out, c.Type+" "+c.Reason)
	}
	return out
}

// firing is an alert that began so long ago, of the canary.
func (w *world) firing(ago time.Duration, labels ...string) Alert {
	a := sampleAlert(0, append([]string{"destination_canonical_revision=new", "destination_workload_namespace=" + w.namespace}, labels...)...)
	a.StartsAt = w.clock.Now().Add(-ago)
	return a
}

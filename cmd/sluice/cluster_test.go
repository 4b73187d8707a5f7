package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// cluster is a namespace of a real API server, in which the test plays the kubelet
// whenever it looks.
type cluster struct {
	*gomega.WithT
	t         *testing.T
	ctx       context.Context
	config    *rest.Config
	client    client.Client
	namespace string
}

func newCluster(t *testing.T, config *rest.Config) *cluster {
	t.Helper()
	w := &cluster{WithT: gomega.NewWithT(t), t: t, ctx: t.Context(), config: config}
	w.SetDefaultEventuallyTimeout(time.Minute)
	w.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	scheme, err := newScheme()
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.client, err = client.New(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sluice-"}}
	w.Expect(w.client.Create(w.ctx, ns)).To(gomega.Succeed())
	w.namespace = ns.Name
	return w
}

// operate runs a replica of the operator until the test ends, or it is stopped.
func (w *cluster) operate(name string, edit ...func(*options)) (stop func()) {
	w.t.Helper()
	o := options{
		namespaces: []string{w.namespace}, leaderElect: true, leaderElectionNamespace: w.namespace,
		leaseDuration: 3 * time.Second, discoveryInterval: time.Minute, concurrency: 4,
		metricsAddress: "0", probeAddress: "0", profileAddress: "0", clusterDomain: "cluster.local",
		allowLoopbackNotify: true,
	}
	o.alerts.addFlags(pflag.NewFlagSet(name, pflag.ContinueOnError))
	for _, e := range edit {
		e(&o)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, rest.CopyConfig(w.config), o) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			w.Expect(<-ended).To(gomega.Succeed(), "replica %s", name)
		})
	}
	w.t.Cleanup(stop)
	return stop
}

const routing = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME}
spec:
  host: NAME
  subsets: [{name: stable, labels: {app: NAME}}, {name: canary, labels: {app: NAME}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec:
  hosts: [NAME]
  http:
  - name: primary
    route:
    - {destination: {host: NAME, subset: stable}, weight: 100}
    - {destination: {host: NAME, subset: canary}, weight: 0}
---
apiVersion: sluice.dev/v1alpha1
kind: Rollout
metadata: {name: NAME}
spec:
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  workload: {template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: app, image: v1}]}}}
  strategy: {canary: {steps: [{name: first, weight: 10, approval: Required}]}}
  traffic:
    propagationTime: 0s
    drainTime: 0s
    istio: {virtualServices: [{name: NAME}], destinationRule: {name: NAME}}
`

// rollout creates a Rollout and its routing.
func (w *cluster) rollout(name string, alerts ...v1alpha1.AlertRule) {
	w.t.Helper()
	for doc := range strings.SplitSeq(strings.ReplaceAll(routing, "NAME", name), "\n---\n") {
		u := &unstructured.Unstructured{}
		w.Expect(yaml.Unmarshal([]byte(doc), u)).To(gomega.Succeed())
		u.SetNamespace(w.namespace)
		if u.GetKind() == "Rollout" && len(alerts) > 0 {
			raw, err := json.Marshal(alerts)
			w.Expect(err).NotTo(gomega.HaveOccurred())
			var list []any
			w.Expect(json.Unmarshal(raw, &list)).To(gomega.Succeed())
			w.Expect(unstructured.SetNestedSlice(u.Object, list, "spec", "alerts")).To(gomega.Succeed())
		}
		w.Expect(w.client.Create(w.ctx, u)).To(gomega.Succeed())
	}
}

func (w *cluster) push(name, image string) {
	w.t.Helper()
	raw := fmt.Appendf(nil, `{"metadata":{"labels":{"app":%q}},"spec":{"containers":[{"name":"app","image":%q}]}}`, name, image)
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"workload": map[string]any{"template": json.RawMessage(raw)}}})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.Expect(w.client.Patch(w.ctx, r, client.RawPatch("application/merge-patch+json", patch))).To(gomega.Succeed())
}

func (w *cluster) abort(name, revision string) {
	w.t.Helper()
	w.Expect(w.client.Create(w.ctx, &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "stop-" + name},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout: name, Action: v1alpha1.ActionAbort, Revision: revision, Reason: "the numbers look wrong", RequestedBy: "ada",
		},
	})).To(gomega.Succeed())
}

func deployed(r *v1alpha1.Rollout) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady)
}

func waiting(r *v1alpha1.Rollout) bool {
	c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReconciling)
	return c != nil && c.Reason == v1alpha1.ReasonPaused && r.Status.Canary != nil
}

func aborted(r *v1alpha1.Rollout) bool { return r.Status.Abort != nil }

// eventually waits for a Rollout that fits. Pods are available as soon as they are
// looked for.
func (w *cluster) eventually(name, what string, fits func(*v1alpha1.Rollout) bool) *v1alpha1.Rollout {
	w.t.Helper()
	r := &v1alpha1.Rollout{}
	w.Eventually(func() (bool, error) {
		w.kubelet()
		*r = v1alpha1.Rollout{}
		if err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, r); err != nil {
			return false, err
		}
		return fits(r), nil
	}).Should(gomega.BeTrue(), func() string {
		raw, _ := json.MarshalIndent(r.Status, "", " ")
		return fmt.Sprintf("%s is not %s: %s", name, what, raw)
	})
	return r
}

func (w *cluster) kubelet() {
	var list appsv1.ReplicaSetList
	w.Expect(w.client.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	for i := range list.Items {
		rs := &list.Items[i]
		if n := *rs.Spec.Replicas; rs.Status.AvailableReplicas != n || rs.Status.Replicas != n {
			rs.Status.Replicas, rs.Status.ReadyReplicas, rs.Status.AvailableReplicas = n, n, n
			_ = w.client.Status().Update(w.ctx, rs) // The next look makes up for a conflict.
		}
	}
}

func (w *cluster) secret(name string, data map[string]string) {
	w.t.Helper()
	w.Expect(w.client.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data})).To(gomega.Succeed())
}

func (w *cluster) notifier(name string, spec v1alpha1.NotifierSpec) {
	w.t.Helper()
	w.Expect(w.client.Create(w.ctx, &v1alpha1.Notifier{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec})).To(gomega.Succeed())
}

// eventuallyReady waits until the operator knows a Notifier, and can use it.
func (w *cluster) eventuallyReady(name string) {
	w.t.Helper()
	w.Eventually(func() ([]metav1.Condition, error) {
		var n v1alpha1.Notifier
		err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &n)
		return n.Status.Conditions, err
	}).Should(gomega.ConsistOf(gomega.And(gomega.HaveField("Type", "Ready"), gomega.HaveField("Reason", "Usable"))))
}

// failures are the Events of Notifiers.
func (w *cluster) failures() []string {
	var list eventsv1.EventList
	w.Expect(w.client.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	var all []string
	for i := range list.Items {
		if e := &list.Items[i]; e.Reason == v1alpha1.ReasonNotificationFailed {
			all = append(all, e.Regarding.Name+": "+e.Note)
		}
	}
	return all
}

// queued reads how many notifications wait.
func (w *cluster) queued() float64 {
	w.t.Helper()
	families, err := metrics.Registry.Gather()
	w.Expect(err).NotTo(gomega.HaveOccurred())
	for _, f := range families {
		if f.GetName() == "sluice_notifications_queued" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatal("the metric is not exported")
	return 0
}

package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting/fake"
)

var server = envtest.Shared{CRDs: func() ([]string, error) {
	crds, err := envtest.SluiceCRDs()
	return []string{crds}, err
}}

// housekeeping is a wait that is not for the release: a command's time to live.
const housekeeping = 30 * time.Minute

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(server.Run(m))
}

// world is a namespace of a real API server, read through a real cache, in which
// the test plays the clock, the kubelet, the router's objects and the analysis.
type world struct {
	*gomega.WithT
	t         *testing.T
	ctx       context.Context
	client    client.Client // what the reconciler uses: faults and counts
	direct    client.Client // what the test uses
	live      client.Client // past the cache
	router    *fake.Router
	clock     *clocktesting.FakeClock
	events    *events.FakeRecorder
	r         *Reconciler
	namespace string
	writes    int
	// fault is asked before and after each write of the reconciler.
	fault func(n int, after bool) error
}

// sharedCache is one cache for all tests.
var sharedCache struct {
	once   sync.Once
	cache  cache.Cache
	scheme *runtime.Scheme
	err    error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	config := server.Config(t)
	w := &world{
		WithT: gomega.NewWithT(t), t: t, ctx: t.Context(),
		router: fake.New(), events: events.NewFakeRecorder(10000),
		clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)),
	}
	sharedCache.once.Do(func() {
		sharedCache.scheme = runtime.NewScheme()
		sharedCache.err = errors.Join(clientgoscheme.AddToScheme(sharedCache.scheme), v1alpha1.AddToScheme(sharedCache.scheme))
		if sharedCache.err != nil {
			return
		}
		sharedCache.cache, sharedCache.err = cache.New(config, cache.Options{Scheme: sharedCache.scheme})
		if sharedCache.err != nil {
			return
		}
		sharedCache.err = addIndexes(context.Background(), sharedCache.cache, testObjects{})
		ctx, cancel := context.WithCancel(context.Background())
		server.BeforeStop = cancel
		go func() { _ = sharedCache.cache.Start(ctx) }()
		sharedCache.cache.WaitForCacheSync(ctx)
	})
	w.Expect(sharedCache.err).NotTo(gomega.HaveOccurred())
	cached, err := client.New(config, client.Options{Scheme: sharedCache.scheme, Cache: &client.CacheOptions{
		Reader: sharedCache.cache, EnableReadYourWritesConsistency: ptr.To(true),
	}})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.direct = cached
	w.live, err = client.New(config, client.Options{Scheme: sharedCache.scheme})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.client = w.faulty(cached)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rollout-"}}
	w.Expect(w.direct.Create(w.ctx, ns)).To(gomega.Succeed())
	w.namespace = ns.Name
	w.restart()
	return w
}

// restart is a new process: nothing is remembered.
func (w *world) restart() {
	w.r = &Reconciler{
		client: w.client, router: w.router, objects: testObjects{}, clock: w.clock, events: w.events, memory: newMemory(),
		runs: handover.New[v1alpha1.AnalysisRun](), unwritten: handover.New[handover.Unwritten](),
		unsettled: func() time.Time { return time.Time{} },
	}
}

// testObjects has each Rollout claim its first VirtualService. Rollouts that are
// labelled unpermitted may not.
type testObjects struct{}

func (testObjects) Claims(r *v1alpha1.Rollout) []string {
	if r.Spec.Traffic.Istio == nil {
		return nil
	}
	vs := r.Spec.Traffic.Istio.VirtualServices[0]
	return []string{"VirtualService/" + cmp.Or(vs.Namespace, r.Namespace) + "/" + vs.Name}
}

func (o testObjects) Reads(r *v1alpha1.Rollout) []string { return o.Claims(r) }

func (testObjects) Permits(_ context.Context, r *v1alpha1.Rollout, _ string) (bool, error) {
	_, unpermitted := r.Labels["unpermitted"]
	return !unpermitted, nil
}

// faulty counts the writes of a client and lets w.fault fail them.
func (w *world) faulty(c client.Client) client.Client {
	around := func(write func() error) error {
		w.writes++
		n := w.writes
		if w.fault != nil {
			if err := w.fault(n, false); err != nil {
				return err
			}
		}
		err := write()
		if err == nil && w.fault != nil {
			return w.fault(n, true)
		}
		return err
	}
	return interceptor.NewClient(withoutWatch{c}, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			options := (&client.CreateOptions{}).ApplyOptions(opts)
			if len(options.DryRun) > 0 {
				return c.Create(ctx, obj, opts...)
			}
			return around(func() error { return c.Create(ctx, obj, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return around(func() error { return c.Delete(ctx, obj, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			return around(func() error { return c.Patch(ctx, obj, p, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			return around(func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
		},
	})
}

// withoutWatch gives the interceptor the interface that it asks for.
type withoutWatch struct{ client.Client }

func (withoutWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("not watched")
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

// template is a pod template of a version.
func template(version string) *runtime.RawExtension {
	raw, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": map[string]string{"app": "app"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "image:" + version}}},
	})
	if err != nil {
		panic(err)
	}
	return &runtime.RawExtension{Raw: raw}
}

// create makes a Rollout of version v1.
func (w *world) create(name string, edit ...func(*v1alpha1.Rollout)) *v1alpha1.Rollout {
	w.t.Helper()
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.RolloutSpec{
			Replicas: ptr.To[int32](4),
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}},
			Workload: v1alpha1.Workload{Template: template("v1")},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{
				{Name: "first", Weight: 25},
				{Name: "half", Weight: 50, Bake: &metav1.Duration{Duration: time.Minute}},
			}}},
			Traffic: v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{
				VirtualServices: []v1alpha1.IstioVirtualService{{Name: name}},
				DestinationRule: &v1alpha1.IstioDestinationRule{Name: name},
			}},
		},
	}
	for _, e := range edit {
		e(rollout)
	}
	w.Expect(w.direct.Create(w.ctx, rollout)).To(gomega.Succeed())
	return rollout
}

func (w *world) get(name string) *v1alpha1.Rollout {
	w.t.Helper()
	rollout := &v1alpha1.Rollout{}
	w.Expect(w.direct.Get(w.ctx, w.key(name), rollout)).To(gomega.Succeed())
	return rollout
}

// edit changes a Rollout's spec as a user would.
func (w *world) edit(name string, change func(*v1alpha1.Rollout)) {
	w.t.Helper()
	rollout := w.get(name)
	change(rollout)
	w.Expect(w.direct.Update(w.ctx, rollout)).To(gomega.Succeed())
}

func (w *world) push(name, version string) {
	w.t.Helper()
	w.edit(name, func(r *v1alpha1.Rollout) { r.Spec.Workload.Template = template(version) })
}

func (w *world) command(name string, kind v1alpha1.ActionType, revision string, edit ...func(*v1alpha1.RolloutAction)) *v1alpha1.RolloutAction {
	w.t.Helper()
	a := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "a-"},
		Spec:       v1alpha1.RolloutActionSpec{Rollout: name, Action: kind, Revision: revision, Reason: "a test", RequestedBy: "ada"},
	}
	for _, e := range edit {
		e(a)
	}
	w.Expect(w.direct.Create(w.ctx, a)).To(gomega.Succeed())
	w.awaitCache(a)
	return a
}

// reconcile runs one reconcile. A test that plays faults gets the error.
func (w *world) reconcile(name string) (ctrl.Result, error) {
	return w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key(name)})
}

// kubelet makes every ReplicaSet's pods as many as are wanted, and available. It
// reads past the cache: a pod does not wait for anybody's.
func (w *world) kubelet() (changed bool) {
	w.t.Helper()
	var list appsv1.ReplicaSetList
	w.Expect(w.live.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	for i := range list.Items {
		rs := &list.Items[i]
		w.awaitCache(rs)
		want := appsv1.ReplicaSetStatus{Replicas: *rs.Spec.Replicas, ReadyReplicas: *rs.Spec.Replicas, AvailableReplicas: *rs.Spec.Replicas}
		if rs.Status.Replicas == want.Replicas && rs.Status.AvailableReplicas == want.AvailableReplicas {
			continue
		}
		rs.Status = want
		w.Expect(w.direct.Status().Update(w.ctx, rs)).To(gomega.Succeed())
		changed = true
	}
	return changed
}

// awaitCache waits until the cache has an object as it is: the reconciler creates
// ReplicaSets as unstructured objects, which the cache's own barrier does not wait
// for, and lists commands without it.
func (w *world) awaitCache(obj client.Object) {
	w.t.Helper()
	cached, _ := obj.DeepCopyObject().(client.Object)
	w.Eventually(func() string {
		if err := w.direct.Get(w.ctx, client.ObjectKeyFromObject(obj), cached, client.DisableReadYourWritesConsistency); err != nil {
			return err.Error()
		}
		return cached.GetResourceVersion()
	}).WithTimeout(time.Minute).WithPolling(time.Millisecond).Should(gomega.Equal(obj.GetResourceVersion()))
}

// settle lets time pass until nothing happens any more, or the condition holds.
func (w *world) settle(name string, until ...func() bool) {
	w.t.Helper()
	const most = 400
	quiet := 0
	for range most {
		for _, done := range until {
			if done() {
				return
			}
		}
		writes := w.writes + len(w.router.Writes())
		result, err := w.reconcile(name)
		if err != nil && w.fault == nil {
			w.t.Fatalf("reconciling: %v", err)
		}
		changed := w.kubelet()
		rest := result.RequeueAfter == 0 || result.RequeueAfter > housekeeping
		wrote := writes != w.writes+len(w.router.Writes())
		// A write leads to another look at once, and pods do not take as long as the
		// release waits for them.
		if !rest && !changed && !wrote {
			w.clock.Step(result.RequeueAfter)
		}
		if err == nil && !changed && rest && !wrote {
			quiet++
		} else {
			quiet = 0
		}
		if quiet == 2 {
			if len(until) > 0 {
				w.t.Fatalf("at rest before what was waited for: %s", w.describe(name))
			}
			return
		}
	}
	w.t.Fatalf("no rest after %d rounds: %s", most, w.describe(name))
}

func (w *world) describe(name string) string {
	raw, _ := json.MarshalIndent(w.get(name).Status, "", " ")
	return fmt.Sprintf("%s\nrouting: %+v", raw, w.router.Get(w.key(name)))
}

func (w *world) ready(name string) *metav1.Condition {
	return meta.FindStatusCondition(w.get(name).Status.Conditions, v1alpha1.ConditionReady)
}

// at returns a condition for settle: the Rollout is in a step, in force.
func (w *world) at(name, step string) func() bool {
	return func() bool {
		s := w.get(name).Status.Step
		return s != nil && s.Name == step && s.InForceSince != nil
	}
}

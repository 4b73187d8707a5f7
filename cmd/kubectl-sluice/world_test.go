package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/controllers/rollout"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

var apiServer = envtest.Shared{CRDs: func() ([]string, error) {
	ours, err := envtest.SluiceCRDs()
	if err != nil {
		return nil, err
	}
	istios, err := envtest.IstioCRDs()
	return []string{ours, istios}, err
}}

// patience is how long a test waits for the operator before it fails.
const patience = time.Minute

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	testscript.Main(withServer{m}, map[string]func(){"kubectl-sluice": main})
}

// withServer stops the API server after the tests.
type withServer struct{ m *testing.M }

func (w withServer) Run() int { return apiServer.Run(w.m) }

// world is the operator on a real API server, with the router that moves weights of
// VirtualServices. Only the kubelet is played.
type world struct {
	config *rest.Config
	client client.WithWatch
	gate   gate
}

var shared struct {
	once  sync.Once
	world *world
	err   error
}

// theWorld starts the operator for the first test that needs it.
func theWorld(t *testing.T) *world {
	t.Helper()
	config := apiServer.Config(t)
	shared.once.Do(func() { shared.world, shared.err = startWorld(config) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.world
}

func startWorld(config *rest.Config) (*world, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), istio.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	w := &world{config: config, gate: gate{held: map[string]chan struct{}{}}}
	var err error
	if w.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: scheme, Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	installed, err := mux.Discover(kinds, scheme, istio.Kinds()...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	router := mux.New(istio.Backend(installed.Client(mgr.GetClient())))
	w.gate.Router = router
	err = rollout.Setup(ctx, mgr, rollout.Options{
		Router:      &w.gate,
		Objects:     router,
		Watched:     installed.Kinds(),
		Clock:       clock.RealClock{},
		Events:      mgr.GetEventRecorder("sluice.dev/rollout"),
		Runs:        handover.New[v1alpha1.AnalysisRun](),
		Unwritten:   handover.New[handover.Unwritten](),
		Unsettled:   func() time.Time { return time.Time{} },
		Concurrency: 8,
	})
	err = errors.Join(err, setUpKubelet(mgr), w.applyUsers(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	apiServer.BeforeStop = func() {
		cancel()
		if err := <-stopped; err != nil {
			fmt.Fprintln(os.Stderr, "stop the operator:", err)
		}
	}
	return w, nil
}

// setUpKubelet makes as many pods as ReplicaSets want available at once.
func setUpKubelet(mgr ctrl.Manager) error {
	c := mgr.GetClient()
	return ctrl.NewControllerManagedBy(mgr).Named("kubelet").
		Watches(&appsv1.ReplicaSet{}, &handler.EnqueueRequestForObject{}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			rs := &appsv1.ReplicaSet{}
			if err := c.Get(ctx, req.NamespacedName, rs); err != nil {
				return reconcile.Result{}, client.IgnoreNotFound(err)
			}
			want := ptr.Deref(rs.Spec.Replicas, 1)
			if rs.Status.Replicas == want && rs.Status.AvailableReplicas == want {
				return reconcile.Result{}, nil
			}
			rs.Status = appsv1.ReplicaSetStatus{Replicas: want, ReadyReplicas: want, AvailableReplicas: want}
			return reconcile.Result{}, c.Status().Update(ctx, rs)
		}))
}

// applyUsers creates the ClusterRoles that people get.
func (w *world) applyUsers(ctx context.Context) error {
	for _, name := range []string{"viewer.yaml", "editor.yaml", "approver.yaml", "responder.yaml"} {
		if err := w.create(ctx, filepath.Join("..", "..", "config", "rbac", "users", name), ""); err != nil {
			return err
		}
	}
	return nil
}

// create creates the objects of a file.
func (w *world) create(ctx context.Context, path, namespace string, replace ...string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.NewReplacer(replace...).Replace(string(raw))
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(u); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if namespace != "" {
			u.SetNamespace(namespace)
		}
		if err := w.client.Create(ctx, u); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// namespace makes a namespace of its own for a test, and a kubeconfig for it.
func (w *world) namespace(ctx context.Context, dir string) (name, kubeconfig string, err error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "plugin-"}}
	if err := w.client.Create(ctx, ns); err != nil {
		return "", "", err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: w.config.Host, CertificateAuthorityData: w.config.CAData}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: w.config.CertData, ClientKeyData: w.config.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: ns.Name}
	config.CurrentContext = "test"
	kubeconfig = filepath.Join(dir, "kubeconfig")
	return ns.Name, kubeconfig, clientcmd.WriteToFile(*config, kubeconfig)
}

// await watches an object until a condition of it holds.
func (w *world) await(ctx context.Context, list client.ObjectList, namespace, what string, done func(client.Object) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	watched, err := w.client.Watch(ctx, list, client.InNamespace(namespace))
	if err != nil {
		return err
	}
	defer watched.Stop()
	for event := range watched.ResultChan() {
		if o, ok := event.Object.(client.Object); ok && done(o) {
			return nil
		}
	}
	return fmt.Errorf("%s did not come within %s", what, patience)
}

// gate lets a test hold the operator's reads of a namespace's routing, and with them
// its decisions.
type gate struct {
	trafficrouting.Router
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (g *gate) hold(namespace string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[namespace] = make(chan struct{})
}

func (g *gate) release(namespace string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if held := g.held[namespace]; held != nil {
		close(held)
		delete(g.held, namespace)
	}
}

// Observe implements trafficrouting.Router.
func (g *gate) Observe(ctx context.Context, t trafficrouting.Target) (trafficrouting.State, error) {
	g.mu.Lock()
	held := g.held[t.Rollout.Namespace]
	g.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return trafficrouting.State{}, ctx.Err()
		}
	}
	return g.Router.Observe(ctx, t)
}

package istio_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
)

var apiServer = envtest.Shared{CRDs: func() ([]string, error) {
	istioCRDs, err := envtest.IstioCRDs()
	if err != nil {
		return nil, err
	}
	sluiceCRDs, err := envtest.SluiceCRDs()
	return []string{istioCRDs, sluiceCRDs}, err
}}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(apiServer.Run(m))
}

// mesh is a namespace of the API server with routing objects in it, and a Router
// whose writes can be seen and failed.
type mesh struct {
	t         *testing.T
	config    *rest.Config
	admin     client.Client
	namespace string
	target    trafficrouting.Target
	router    *istio.Router

	mu      sync.Mutex
	patches []string
	hooked  int
	hook    func(n int) error
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := istio.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// newMesh makes a namespace and, in it, the objects of the YAML documents.
// NAMESPACE in a document stands for its name.
func newMesh(t *testing.T, traffic v1alpha1.IstioTraffic, documents ...string) *mesh {
	t.Helper()
	return newMeshOn(t, apiServer.Config(t), traffic, documents...)
}

func newMeshOn(t *testing.T, config *rest.Config, traffic v1alpha1.IstioTraffic, documents ...string) *mesh {
	t.Helper()
	m := &mesh{t: t, config: config}
	c, err := client.NewWithWatch(m.config, client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	m.admin = c
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	m.namespace = namespace.Name
	m.target = trafficrouting.Target{
		Rollout: types.NamespacedName{Namespace: m.namespace, Name: "checkout"},
		Traffic: v1alpha1.Traffic{Istio: &traffic},
	}
	m.router = istio.New(interceptor.NewClient(c, interceptor.Funcs{Patch: m.patch}))
	for _, document := range documents {
		m.create(document)
	}
	return m
}

func (m *mesh) create(document string) {
	m.t.Helper()
	object := &unstructured.Unstructured{}
	document = strings.ReplaceAll(document, "NAMESPACE", m.namespace)
	if err := yaml.Unmarshal([]byte(document), object); err != nil {
		m.t.Fatal(err)
	}
	object.SetNamespace(m.namespace)
	if err := m.admin.Create(m.t.Context(), object); err != nil {
		m.t.Fatal(err)
	}
}

// patch is every write of the Router: it makes no other.
func (m *mesh) patch(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.patches = append(m.patches, obj.GetName()+" "+string(data))
	m.hooked++
	n, hook := m.hooked, m.hook
	m.mu.Unlock()
	if hook != nil {
		if err := hook(n); err != nil {
			return err
		}
	}
	return c.Patch(ctx, obj, patch, opts...)
}

func (m *mesh) beforeWrite(hook func(n int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook, m.hooked = hook, 0
}

func (m *mesh) writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.patches)
}

// edit changes an object as somebody else would.
func (m *mesh) edit(kind, name string, change func(object map[string]any)) {
	m.t.Helper()
	object := m.get(kind, name)
	change(object.Object)
	if err := m.admin.Update(m.t.Context(), object); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) get(kind, name string) *unstructured.Unstructured {
	m.t.Helper()
	object := newObject(kind)
	key := types.NamespacedName{Namespace: m.namespace, Name: name}
	if err := m.admin.Get(m.t.Context(), key, object); err != nil {
		m.t.Fatal(err)
	}
	return object
}

func (m *mesh) delete(kind, name string) {
	m.t.Helper()
	object := newObject(kind)
	object.SetNamespace(m.namespace)
	object.SetName(name)
	if err := m.admin.Delete(m.t.Context(), object); err != nil {
		m.t.Fatal(err)
	}
}

func newObject(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	group := networkingv1.SchemeGroupVersion
	switch kind {
	case "Service":
		group = corev1.SchemeGroupVersion
	case "Rollout":
		group = v1alpha1.GroupVersion
	}
	object.SetGroupVersionKind(group.WithKind(kind))
	return object
}

// at walks into nested maps (by string) and lists (by int).
func at(value any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case int:
			value = value.([]any)[s]
		default:
			value = value.(map[string]any)[s.(string)]
		}
	}
	return value
}

// weights returns those of a route; -1 where there is none.
func (m *mesh) weights(vs string, route int) []int64 {
	m.t.Helper()
	var weights []int64
	for _, d := range at(m.get("VirtualService", vs).Object, "spec", "http", route, "route").([]any) {
		weight, ok := d.(map[string]any)["weight"].(int64)
		if !ok {
			weight = -1
		}
		weights = append(weights, weight)
	}
	return weights
}

func (m *mesh) apply(stable, canary string, weight int32) error {
	return m.router.Apply(m.t.Context(), m.target, trafficrouting.Split{Stable: stable, Canary: canary, Weight: weight})
}

func (m *mesh) mustApply(stable, canary string, weight int32) {
	m.t.Helper()
	if err := m.apply(stable, canary, weight); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) wantWeights(vs string, route int, want ...int64) {
	m.t.Helper()
	if diff := cmp.Diff(want, m.weights(vs, route)); diff != "" {
		m.t.Errorf("weights of %s, route %d (-want +got):\n%s", vs, route, diff)
	}
}

// errDown is what a write fails with when a test says so.
var errDown = errors.New("the API server is down")

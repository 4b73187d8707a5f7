// Package onserver lets tests of routers work on a namespace of a real API server:
// with routing objects in it, a client whose writes are seen and can be failed, and
// somebody else who edits.
package onserver

import (
	"context"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// versions of the kinds that tests name.
var versions = map[string]schema.GroupVersion{
	"Service":         corev1.SchemeGroupVersion,
	"VirtualService":  {Group: "networking.istio.io", Version: "v1"},
	"DestinationRule": {Group: "networking.istio.io", Version: "v1"},
	"HTTPRoute":       {Group: "gateway.networking.k8s.io", Version: "v1"},
	"GRPCRoute":       {Group: "gateway.networking.k8s.io", Version: "v1"},
	"ReferenceGrant":  {Group: "gateway.networking.k8s.io", Version: "v1beta1"},
	"Rollout":         v1alpha1.GroupVersion,
}

// Namespace is a namespace of an API server, and a Router's client of it.
type Namespace struct {
	T      testing.TB
	Config *rest.Config
	// Admin is somebody else's client.
	Admin client.WithWatch
	// Name of the namespace.
	Name string
	// Client is for the Router: its patches are counted.
	Client client.Client
	// Router under test, and its Target; to be set by the test.
	Router trafficrouting.Router
	Target trafficrouting.Target

	documents []*unstructured.Unstructured

	mu      sync.Mutex
	patches []string
	hooked  int
	hook    func(n int) error
}

// New makes a namespace and, in it, the objects of the YAML documents. NAMESPACE in
// a document stands for its name.
func New(t testing.TB, config *rest.Config, scheme *runtime.Scheme, documents ...string) *Namespace {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1 // Tests wait for no limit of their own.
	admin, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	n := &Namespace{T: t, Config: config, Admin: admin, Name: namespace.Name}
	n.Client = interceptor.NewClient(admin, interceptor.Funcs{Patch: n.patch})
	n.Target.Rollout = types.NamespacedName{Namespace: n.Name, Name: "checkout"}
	for _, document := range documents {
		n.Create(document)
	}
	return n
}

// Object returns an empty object of a kind.
func Object(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(versions[kind].WithKind(kind))
	return object
}

// Create makes the object of a YAML document.
func (n *Namespace) Create(document string) {
	n.T.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(document, "NAMESPACE", n.Name)), object); err != nil {
		n.T.Fatal(err)
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(n.Name)
	}
	n.documents = append(n.documents, object.DeepCopy())
	if err := n.Admin.Create(n.T.Context(), object); err != nil {
		n.T.Fatal(err)
	}
}

// Reapply applies every document once more, server-side and by force, as a tool
// does that keeps a cluster as Git has it.
func (n *Namespace) Reapply() {
	n.T.Helper()
	for _, document := range n.documents {
		err := n.Admin.Apply(n.T.Context(), client.ApplyConfigurationFromUnstructured(document.DeepCopy()),
			client.ForceOwnership, client.FieldOwner("gitops"))
		if err != nil {
			n.T.Error(err)
		}
	}
}

// patch is every write of the Router: it makes no other.
func (n *Namespace) patch(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.patches = append(n.patches, obj.GetName()+" "+string(data))
	n.hooked++
	number, hook := n.hooked, n.hook
	n.mu.Unlock()
	if hook != nil {
		if err := hook(number); err != nil {
			return err
		}
	}
	return c.Patch(ctx, obj, patch, opts...)
}

// BeforeWrite has hook called before each of the Router's writes, with its number
// from 1 on. The write fails if hook returns an error. nil ends it.
func (n *Namespace) BeforeWrite(hook func(n int) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook, n.hooked = hook, 0
}

// Patches returns the writes that the Router has made or tried: name and patch.
func (n *Namespace) Patches() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.patches...)
}

// Writes returns how many there are.
func (n *Namespace) Writes() int { return len(n.Patches()) }

// Edit changes an object as somebody else would.
func (n *Namespace) Edit(kind, name string, change func(object map[string]any)) {
	n.T.Helper()
	object := n.Get(kind, name)
	change(object.Object)
	if err := n.Admin.Update(n.T.Context(), object); err != nil {
		n.T.Fatal(err)
	}
}

// Get reads an object.
func (n *Namespace) Get(kind, name string) *unstructured.Unstructured {
	n.T.Helper()
	object := Object(kind)
	key := types.NamespacedName{Namespace: n.Name, Name: name}
	if err := n.Admin.Get(n.T.Context(), key, object); err != nil {
		n.T.Fatal(err)
	}
	return object
}

// Delete deletes an object.
func (n *Namespace) Delete(kind, name string) {
	n.T.Helper()
	object := Object(kind)
	object.SetNamespace(n.Name)
	object.SetName(name)
	if err := n.Admin.Delete(n.T.Context(), object); err != nil {
		n.T.Fatal(err)
	}
}

// Rollout reads a Rollout, defaults and all.
func (n *Namespace) Rollout(name string) *v1alpha1.Rollout {
	n.T.Helper()
	rollout := &v1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(n.Get("Rollout", name).Object, rollout); err != nil {
		n.T.Fatal(err)
	}
	return rollout
}

// Foreign returns all objects of the kinds, without what the API server counts and
// without what erase takes out of their spec, by the kind.
func (n *Namespace) Foreign(erase map[string]func(spec map[string]any)) any {
	n.T.Helper()
	all := map[string]any{}
	for kind, take := range erase {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(versions[kind].WithKind(kind))
		if err := n.Admin.List(n.T.Context(), list, client.InNamespace(n.Name)); err != nil {
			n.T.Fatal(err)
		}
		for _, item := range list.Items {
			for _, field := range []string{"resourceVersion", "generation", "managedFields"} {
				unstructured.RemoveNestedField(item.Object, "metadata", field)
			}
			take(item.Object["spec"].(map[string]any))
			all[kind+"/"+item.GetName()] = item.Object
		}
	}
	return all
}

// EraseRevision takes the label of revisions out of a map, and the map if it is
// empty then.
func EraseRevision(object map[string]any, field string) {
	labels, ok := object[field].(map[string]any)
	if !ok {
		return
	}
	delete(labels, v1alpha1.PodTemplateHashLabel)
	if len(labels) == 0 {
		delete(object, field)
	}
}

// At walks into nested maps (by string) and lists (by int).
func At(value any, path ...any) any {
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

// Apply has the Router apply a split.
func (n *Namespace) Apply(stable, canary string, weight int32) error {
	return n.Router.Apply(n.T.Context(), n.Target, trafficrouting.Split{Stable: stable, Canary: canary, Weight: weight})
}

// MustApply is Apply that must succeed.
func (n *Namespace) MustApply(stable, canary string, weight int32) {
	n.T.Helper()
	if err := n.Apply(stable, canary, weight); err != nil {
		n.T.Fatal(err)
	}
}

// WantProblem holds err to be a problem.
func WantProblem(t testing.TB, err error, reason, says string) {
	t.Helper()
	problem := trafficrouting.AsProblem(err)
	if problem == nil {
		t.Fatalf("error %v is no problem", err)
	}
	if problem.Reason != reason || !strings.Contains(problem.Message, says) {
		t.Errorf("problem is %v, want %s with %q", problem, reason, says)
	}
}

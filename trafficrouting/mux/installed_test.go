package mux_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// cluster answers for an API server that has some kinds.
type cluster struct {
	mu    sync.Mutex
	kinds map[string][]string // by group and version
	down  error
	asked []string
}

// ServerResourcesForGroupVersion implements mux.Discovery.
func (c *cluster) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, groupVersion)
	if c.down != nil {
		return nil, c.down
	}
	kinds, ok := c.kinds[groupVersion]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, groupVersion)
	}
	list := &metav1.APIResourceList{}
	for _, kind := range kinds {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: strings.ToLower(kind) + "s", Kind: kind},
			metav1.APIResource{Name: strings.ToLower(kind) + "s/status", Kind: "Status"})
	}
	return list, nil
}

func (c *cluster) set(change func(c *cluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func kinds(objects ...client.Object) []mux.Kind {
	var all []mux.Kind
	for _, obj := range objects {
		all = append(all, mux.Kind{Object: obj})
	}
	return all
}

var allKinds = kinds(&corev1.Service{}, &networkingv1.VirtualService{}, &corev1.Service{}, &gatewayv1.HTTPRoute{}, &gatewayv1.GRPCRoute{})

// olderGateway is a cluster without Istio, and with a Gateway API that has no
// GRPCRoutes yet.
func olderGateway() *cluster {
	return &cluster{kinds: map[string][]string{"v1": {"Service", "Pod"}, "gateway.networking.k8s.io/v1": {"HTTPRoute"}}}
}

func discover(t *testing.T, c *cluster) *mux.Installed {
	t.Helper()
	installed, err := mux.Discover(c, newScheme(t), allKinds...)
	if err != nil {
		t.Fatal(err)
	}
	return installed
}

func TestDiscover(t *testing.T) {
	c := olderGateway()
	installed := discover(t, c)
	var has []client.Object
	for _, kind := range installed.Kinds() {
		has = append(has, kind.Object)
	}
	if diff := cmp.Diff([]client.Object{&corev1.Service{}, &gatewayv1.HTTPRoute{}}, has); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	var missing []string
	for _, gvk := range installed.Missing() {
		missing = append(missing, gvk.Kind)
	}
	if diff := cmp.Diff([]string{"VirtualService", "GRPCRoute"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if len(c.asked) != 3 {
		t.Errorf("asked for %v, want each group once", c.asked)
	}
	c.down = errors.New("away")
	if _, err := mux.Discover(c, newScheme(t), allKinds...); !errors.Is(err, c.down) {
		t.Errorf("error: %v", err)
	}
	if _, err := mux.Discover(olderGateway(), runtime.NewScheme(), allKinds...); err == nil {
		t.Error("kinds that the scheme does not know were found")
	}
}

func TestClientAsksForNoMissingKind(t *testing.T) {
	scheme := newScheme(t)
	key := client.ObjectKey{Namespace: "shop", Name: "a"}
	here := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	c := discover(t, olderGateway()).Client(clientfake.NewClientBuilder().WithScheme(scheme).WithObjects(here).Build())
	for what, obj := range map[string]client.Object{"VirtualService": &networkingv1.VirtualService{}, "GRPCRoute": &gatewayv1.GRPCRoute{}} {
		if err := c.Get(t.Context(), key, obj); !meta.IsNoMatchError(err) || !contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.List(t.Context(), &gatewayv1.GRPCRouteList{}); !meta.IsNoMatchError(err) {
		t.Errorf("list: %v", err)
	}
	if err := c.Get(t.Context(), key, &corev1.Service{}); err != nil {
		t.Error(err)
	}
	if err := c.Get(t.Context(), key, &gatewayv1.HTTPRoute{}); !apierrors.IsNotFound(err) {
		t.Errorf("HTTPRoute: %v", err)
	}
	services := &corev1.ServiceList{}
	if err := c.List(t.Context(), services); err != nil || len(services.Items) != 1 {
		t.Errorf("%d Services, %v", len(services.Items), err)
	}
}

// TestAwait lets time pass: while the cluster does not answer, while it answers the
// same, and when it has one of the kinds.
func TestAwait(t *testing.T) {
	c := olderGateway()
	installed, clock := discover(t, c), clocktesting.NewFakeClock(time.Now())
	want(t, installed)
	result := make(chan error, 1)
	go func() { result <- installed.Await(t.Context(), c, time.Minute, clock) }()
	pass := func(change func(c *cluster)) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !clock.HasWaiters(); {
			if time.Now().After(deadline) {
				t.Fatal("nobody waits")
			}
		}
		c.set(change)
		clock.Step(time.Minute)
	}
	pass(func(c *cluster) { c.down = errors.New("away") })
	pass(func(c *cluster) { c.down = nil })
	pass(func(c *cluster) { c.kinds["networking.istio.io/v1"] = []string{"DestinationRule"} })
	pass(func(c *cluster) { c.kinds["networking.istio.io/v1"] = []string{"DestinationRule", "VirtualService"} })
	for deadline := time.After(10 * time.Second); ; {
		select {
		case err := <-result:
			if !errors.Is(err, mux.ErrKindsAdded) || !contains(err.Error(), "VirtualService") {
				t.Errorf("error: %v", err)
			}
			return
		case <-deadline:
			t.Fatal("the kind was not found")
		default:
			clock.Step(time.Minute) // The last step may have been one too early.
		}
	}
}

// want asks for a kind that is missing.
func want(t *testing.T, installed *mux.Installed) {
	t.Helper()
	c := installed.Client(clientfake.NewClientBuilder().WithScheme(newScheme(t)).Build())
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "a"}, &networkingv1.VirtualService{}); !meta.IsNoMatchError(err) {
		t.Fatalf("it is not missing: %v", err)
	}
}

// TestNothingIsAskedThatNobodyWants holds that an operator at rest asks nothing.
func TestNothingIsAskedThatNobodyWants(t *testing.T) {
	c := olderGateway()
	installed, clock := discover(t, c), clocktesting.NewFakeClock(time.Now())
	before := len(c.asked)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- installed.Await(ctx, c, time.Minute, clock) }()
	clock.Step(time.Hour)
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if clock.HasWaiters() || len(c.asked) != before {
		t.Errorf("asked for %v", c.asked[before:])
	}
}

func TestAwaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]*cluster{
		"something is missing": olderGateway(),
		"nothing is missing": {kinds: map[string][]string{
			"v1": {"Service"}, "networking.istio.io/v1": {"VirtualService"}, "gateway.networking.k8s.io/v1": {"HTTPRoute", "GRPCRoute"},
		}},
	} {
		installed := discover(t, c)
		before := len(c.asked)
		if err := installed.Await(ctx, c, time.Nanosecond, clocktesting.NewFakeClock(time.Now())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.asked) != before {
			t.Errorf("%s: asked once more", name)
		}
	}
}

package istio_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
)

// countingTransport counts requests.
type countingTransport struct {
	next     http.RoundTripper
	requests atomic.Int64
}

func (c *countingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.next.RoundTrip(request)
}

// cachedRouter makes a Router that reads m's namespace through a cache, and the
// counter of all of its requests.
func cachedRouter(t *testing.T, m *mesh) (*istio.Router, cache.Cache, *countingTransport) {
	t.Helper()
	counter := &countingTransport{}
	config := rest.CopyConfig(m.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		counter.next = next
		return counter
	})
	scheme := newScheme(t)
	objects, err := cache.New(config, cache.Options{
		Scheme: scheme, DefaultNamespaces: map[string]cache.Config{m.Name: {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := objects.Start(ctx); err != nil {
			t.Errorf("cache: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wait.Wait() })
	c, err := client.New(config, client.Options{Scheme: scheme, Cache: &client.CacheOptions{Reader: objects}})
	if err != nil {
		t.Fatal(err)
	}
	return istio.New(c), objects, counter
}

// TestNothingToDoCostsNoRequest reads through a cache and counts requests.
func TestNothingToDoCostsNoRequest(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 10)
	router, objects, counter := cachedRouter(t, m)
	seen := updatesSeen(t, objects)
	// The client's first write asks for the API server's kinds.
	split := trafficrouting.Split{Stable: "a", Canary: "b", Weight: 20}
	if err := router.Apply(t.Context(), m.Target, split); err != nil {
		t.Fatal(err)
	}
	<-seen
	<-seen

	before := counter.requests.Load()
	for range 100 {
		if state, err := router.Observe(t.Context(), m.Target); err != nil || !state.Is(split) {
			t.Fatalf("observed %+v, %v", state, err)
		}
		if err := router.Apply(t.Context(), m.Target, split); err != nil {
			t.Fatal(err)
		}
	}
	if n := counter.requests.Load() - before; n != 0 {
		t.Errorf("%d requests to change nothing", n)
	}

	split.Weight = 50
	if err := router.Apply(t.Context(), m.Target, split); err != nil {
		t.Fatal(err)
	}
	if n := counter.requests.Load() - before; n != 2 {
		t.Errorf("%d requests to change two VirtualServices", n)
	}
	<-seen
	<-seen
	if state, err := router.Observe(t.Context(), m.Target); err != nil || !state.Is(split) {
		t.Errorf("observed %+v, %v", state, err)
	}
}

// TestAStaleReadCannotOverwrite applies on reads from before somebody else wrote.
func TestAStaleReadCannotOverwrite(t *testing.T) {
	m := twoVirtualServices(t)
	m.MustApply("a", "b", 20)
	stale := &staleReader{Reader: m.Admin, objects: map[string]client.Object{}}
	c, err := client.New(m.Config, client.Options{Scheme: newScheme(t), Cache: &client.CacheOptions{Reader: stale}})
	if err != nil {
		t.Fatal(err)
	}
	router := istio.New(c)
	if _, err := router.Observe(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	m.MustApply("a", "b", 0)
	err = router.Apply(t.Context(), m.Target, trafficrouting.Split{Stable: "a", Canary: "b", Weight: 50})
	if !istio.IsConflict(err) {
		t.Errorf("error: %v", err)
	}
	m.wantWeights("checkout", 1, 100, 0)
	m.wantWeights("checkout-public", 1, 0, 100)
}

// updatesSeen returns a channel that gets a value for each update of a
// VirtualService that the cache sees.
func updatesSeen(t *testing.T, objects cache.Cache) <-chan struct{} {
	t.Helper()
	informer, err := objects.GetInformer(t.Context(), &networkingv1.VirtualService{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{}, 100)
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, _ any) { seen <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// staleReader reads each object once and remembers it.
type staleReader struct {
	client.Reader

	mu      sync.Mutex
	objects map[string]client.Object
}

func (s *staleReader) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("%T/%s", obj, key)
	if s.objects[id] == nil {
		fresh := obj.DeepCopyObject().(client.Object)
		if err := s.Reader.Get(ctx, key, fresh, opts...); err != nil {
			return err
		}
		s.objects[id] = fresh
	}
	switch into := obj.(type) {
	case *networkingv1.VirtualService:
		s.objects[id].(*networkingv1.VirtualService).DeepCopyInto(into)
	case *networkingv1.DestinationRule:
		s.objects[id].(*networkingv1.DestinationRule).DeepCopyInto(into)
	}
	return nil
}

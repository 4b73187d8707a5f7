package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var (
	virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	rollouts        = v1alpha1.GroupVersion.WithResource("rollouts")
	actions         = v1alpha1.GroupVersion.WithResource("rolloutactions")
	leases          = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// board lets goroutines wait for what others write down.
type board struct {
	mu      sync.Mutex
	changed chan struct{}
}

func newBoard() board { return board{changed: make(chan struct{})} }

// update runs write and wakes whoever waits.
func (b *board) update(write func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	write()
	close(b.changed)
	b.changed = make(chan struct{})
}

// await returns when holds does, which runs under the board's lock.
func (b *board) await(ctx context.Context, what string, holds func() bool) error {
	for {
		b.mu.Lock()
		done, changed := holds(), b.changed
		b.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// resourceWatch watches a kind in every namespace.
type resourceWatch struct {
	client   dynamic.Interface
	resource schema.GroupVersionResource
}

// WatchWithContext implements cache.WatcherWithContext.
func (w resourceWatch) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return w.client.Resource(w.resource).Watch(ctx, o)
}

// watchResource calls seen with every object there is and becomes, in order, and
// with the moment at which it was heard of.
func watchResource(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, seen func(*unstructured.Unstructured, time.Time)) error {
	list, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing %s: %w", resource.Resource, err)
	}
	for i := range list.Items {
		seen(&list.Items[i], time.Now())
	}
	events, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), resourceWatch{client, resource})
	if err != nil {
		return fmt.Errorf("watching %s: %w", resource.Resource, err)
	}
	go func() {
		for event := range events.ResultChan() {
			if o, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted && event.Type != watch.Bookmark {
				seen(o, time.Now())
			}
		}
	}()
	return nil
}

// move is a canary's weight, when it was seen and in which version.
type move struct {
	at      time.Time
	weight  int64
	version uint64
}

// weights are the weights that VirtualServices had, by name.
type weights struct {
	board
	moves map[string][]move
}

func watchWeights(ctx context.Context, client dynamic.Interface) (*weights, error) {
	w := &weights{board: newBoard(), moves: map[string][]move{}}
	return w, watchResource(ctx, client, virtualServices, func(o *unstructured.Unstructured, at time.Time) {
		weight := canaryWeight(o)
		w.update(func() {
			known := w.moves[o.GetName()]
			if n := len(known); n > 0 && known[n-1].weight == weight {
				return
			}
			w.moves[o.GetName()] = append(known, move{at: at, weight: weight, version: versionOf(o)})
		})
	})
}

// canaryWeight is what the canary subset gets on a VirtualService's one route.
func canaryWeight(o *unstructured.Unstructured) int64 {
	routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "http")
	for _, r := range routes {
		route, _ := r.(map[string]any)
		destinations, _, _ := unstructured.NestedSlice(route, "route")
		for _, d := range destinations {
			destination, _ := d.(map[string]any)
			if subset, _, _ := unstructured.NestedString(destination, "destination", "subset"); subset == "canary" {
				weight, _, _ := unstructured.NestedInt64(destination, "weight")
				return weight
			}
		}
	}
	return 0
}

func versionOf(o metav1.Object) uint64 {
	version, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// awaitWeight returns the moment at which a VirtualService was seen with a weight,
// not before since.
func (w *weights) awaitWeight(ctx context.Context, name string, weight int64, since time.Time) (time.Time, error) {
	var at time.Time
	err := w.await(ctx, fmt.Sprintf("weight %d of %s", weight, name), func() bool {
		known := w.moves[name]
		for i := range known {
			if known[i].weight == weight && !known[i].at.Before(since) {
				at = known[i].at
				return true
			}
		}
		return false
	})
	return at, err
}

// state is what a Rollout's status says.
type state struct {
	ready           bool
	stable, canary  string
	step            string
	inForce         bool
	generation, saw int64
	promotedAt      time.Time // when this stable was first seen
}

// states are the Rollouts' states, by name.
type states struct {
	board
	of map[string]state
}

func watchStates(ctx context.Context, client dynamic.Interface) (*states, error) {
	s := &states{board: newBoard(), of: map[string]state{}}
	return s, watchResource(ctx, client, rollouts, func(o *unstructured.Unstructured, at time.Time) {
		next := stateOf(o)
		s.update(func() {
			next.promotedAt = s.of[o.GetName()].promotedAt
			if next.stable != s.of[o.GetName()].stable {
				next.promotedAt = at
			}
			s.of[o.GetName()] = next
		})
	})
}

func stateOf(o *unstructured.Unstructured) state {
	text := func(fields ...string) string {
		value, _, _ := unstructured.NestedString(o.Object, append([]string{"status"}, fields...)...)
		return value
	}
	s := state{
		stable: text("stable", "revision"), canary: text("canary", "revision"),
		step: text("step", "name"), inForce: text("step", "inForceSince") != "",
		generation: o.GetGeneration(),
	}
	s.saw, _, _ = unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == v1alpha1.ConditionReady {
			s.ready = condition["status"] == string(metav1.ConditionTrue)
		}
	}
	return s
}

// awaitAll waits until holds is true of every named Rollout.
func (s *states) awaitAll(ctx context.Context, what string, names []string, holds func(state) bool) error {
	return s.await(ctx, what, func() bool {
		for _, name := range names {
			if !holds(s.of[name]) {
				return false
			}
		}
		return true
	})
}

func (s *states) get(name string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[name]
}

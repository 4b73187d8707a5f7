package handover

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestNewest(t *testing.T) {
	key := types.NamespacedName{Namespace: "shop", Name: "checkout"}
	n := New[int]()
	type told struct{ before, after int }
	var calls []told
	n.OnPublish(func(k types.NamespacedName, before, after *int) {
		if k != key {
			t.Errorf("told of %s", k)
		}
		call := told{-1, *after}
		if before != nil {
			call.before = *before
		}
		calls = append(calls, call)
	})
	if n.Get(key, "u") != nil || n.Named(key) != nil {
		t.Error("a value of what was never published")
	}
	one, two, three := 1, 2, 3
	n.Publish(key, "u", &one)
	n.Publish(key, "u", &two)
	if got := n.Get(key, "u"); got != &two || n.Named(key) != &two {
		t.Errorf("Get = %v, want the second", got)
	}
	n.Publish(key, "v", &three) // deleted and created anew
	if n.Get(key, "u") != nil {
		t.Error("a value of an object that is gone")
	}
	if all := n.All(); len(all) != 1 || all[key] != &three {
		t.Errorf("All = %v", all)
	}
	n.Forget(key)
	if n.Get(key, "v") != nil {
		t.Error("a value of what was forgotten")
	}
	n.Publish(key, "v", &one)
	want := []told{{-1, 1}, {1, 2}, {-1, 3}, {-1, 1}}
	if len(calls) != len(want) {
		t.Fatalf("told %v, want %v", calls, want)
	}
	for i := range want {
		if calls[i] != want[i] {
			t.Errorf("call %d told %v, want %v", i, calls[i], want[i])
		}
	}
}

func TestAtStop(t *testing.T) {
	for name, stops := range map[string]bool{"the process stops": true, "the lease is lost": false} {
		t.Run(name, func(t *testing.T) {
			process, stop := context.WithCancel(t.Context())
			defer stop()
			leader, end := context.WithCancel(process)
			defer end()
			done := false
			run := AtStop(process, func(ctx context.Context) { done = ctx.Err() == nil })
			if end(); stops {
				stop()
			}
			if err := run(leader); err != nil || done != stops {
				t.Errorf("ran: %v, error %v", done, err)
			}
		})
	}
}

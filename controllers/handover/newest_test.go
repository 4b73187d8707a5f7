package handover

import (
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

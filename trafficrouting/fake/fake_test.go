package fake_test

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
	"github.com/sluice-dev/sluice/trafficrouting/conformance"
	"github.com/sluice-dev/sluice/trafficrouting/fake"
)

var rollout = types.NamespacedName{Namespace: "shop", Name: "checkout"}

func TestConformance(t *testing.T) {
	for name, routes := range map[string]int{"OneRoute": 1, "ThreeRoutes": 3} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, func(*testing.T) conformance.World { return world(routes) })
		})
	}
}

func world(routes int) conformance.World {
	r := fake.New()
	r.Edit(rollout, func(f *fake.Routing) { f.Weights = make([]int32, routes) })
	failed := 0
	return conformance.World{
		Router: r,
		Target: trafficrouting.Target{Rollout: rollout},
		Writes: func() int { return len(r.Writes()) + failed },
		SetWeight: func(weight int32) {
			r.Edit(rollout, func(f *fake.Routing) { f.Weights[routes-1] = weight })
		},
		SetRevisions: func(stable, canary string) {
			r.Edit(rollout, func(f *fake.Routing) { f.Stable, f.Canary = stable, canary })
		},
		Foreign: func() any { return len(r.Get(rollout).Weights) },
		Missing: []conformance.Missing{{
			Name:   "all",
			Remove: func() { r.Edit(rollout, func(f *fake.Routing) { f.Missing = true }) },
			Reason: v1alpha1.ReasonObjectMissing, Says: "create them",
		}},
		Reapply: func() {
			r.Edit(rollout, func(f *fake.Routing) { f.Stable, f.Canary, f.Weights = "", "", make([]int32, routes) })
		},
		BeforeWrite: func(hook func(int) error) {
			if hook == nil {
				r.BeforeWrite(nil)
				return
			}
			n := 0
			r.BeforeWrite(func(fake.Write) error {
				n++
				err := hook(n)
				if err != nil {
					failed++
				}
				return err
			})
		},
	}
}

func TestLag(t *testing.T) {
	r := fake.New()
	target := trafficrouting.Target{Rollout: rollout}
	apply := func(weight int32) error {
		return r.Apply(t.Context(), target, trafficrouting.Split{Stable: "a", Canary: "b", Weight: weight})
	}
	r.Freeze(rollout)
	if err := apply(10); err != nil {
		t.Fatal(err)
	}
	state, err := r.Observe(t.Context(), target)
	if err != nil || !state.Uniform(0) || state.Canary != "" {
		t.Errorf("frozen, observed %+v, %v", state, err)
	}
	if err := apply(20); !apierrors.IsConflict(err) {
		t.Errorf("a write on an old read: %v", err)
	}
	r.Thaw(rollout)
	if state, err := r.Observe(t.Context(), target); err != nil || !state.Uniform(10) || state.Canary != "b" {
		t.Errorf("thawed, observed %+v, %v", state, err)
	}
}

func TestWritesAreShown(t *testing.T) {
	r := fake.New()
	var shown []fake.Write
	r.AfterWrite(func(w fake.Write) {
		if r.Get(rollout).State() != w.After {
			t.Errorf("%+v is not what there is", w)
		}
		shown = append(shown, w)
	})
	target := trafficrouting.Target{Rollout: rollout}
	if err := r.Apply(t.Context(), target, trafficrouting.Split{Stable: "a", Canary: "b", Weight: 10}); err != nil {
		t.Fatal(err)
	}
	want := []fake.Field{fake.StableRevision, fake.CanaryRevision, fake.Weight}
	if len(shown) != len(want) {
		t.Fatalf("shown %+v", shown)
	}
	for i, w := range shown {
		if w.Field != want[i] || w.Rollout != rollout {
			t.Errorf("write %d is %+v, want of %s", i, w, want[i])
		}
	}
}

func TestFailObserve(t *testing.T) {
	r := fake.New()
	down := errors.New("down")
	r.FailObserve(down)
	if _, err := r.Observe(t.Context(), trafficrouting.Target{Rollout: rollout}); !errors.Is(err, down) {
		t.Errorf("observe: %v", err)
	}
	if r.Observations() != 1 {
		t.Errorf("%d observations", r.Observations())
	}
}

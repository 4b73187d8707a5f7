package trafficrouting_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-dev/sluice/trafficrouting"
)

func TestStateUniform(t *testing.T) {
	for _, c := range []struct {
		state  trafficrouting.State
		weight int32
		want   bool
	}{
		{trafficrouting.State{}, 0, true},
		{trafficrouting.State{}, 1, false},
		{trafficrouting.State{MinWeight: 5, MaxWeight: 5}, 5, true},
		{trafficrouting.State{MinWeight: 5, MaxWeight: 6}, 5, false},
		{trafficrouting.State{MinWeight: 6, MaxWeight: 7, FitMin: 5, FitMax: 7}, 5, true},
		{trafficrouting.State{MinWeight: 6, MaxWeight: 7, FitMin: 5, FitMax: 7}, 8, false},
		{trafficrouting.State{MinWeight: 6, MaxWeight: 7, FitMin: 5, FitMax: 7}, 0, false},
		{trafficrouting.State{FitMax: 100}, 70, true},
	} {
		if got := c.state.Uniform(c.weight); got != c.want {
			t.Errorf("%+v is uniform at %d: %t", c.state, c.weight, got)
		}
	}
}

func TestStateIs(t *testing.T) {
	state := trafficrouting.State{Stable: "a", Canary: "b", MinWeight: 5, MaxWeight: 5}
	for split, want := range map[trafficrouting.Split]bool{
		{Stable: "a", Canary: "b", Weight: 5}: true,
		{Weight: 5}:                           true,
		{Stable: "a", Canary: "c", Weight: 5}: false,
		{Stable: "b", Canary: "b", Weight: 5}: false,
		{Stable: "a", Canary: "b", Weight: 6}: false,
	} {
		if got := state.Is(split); got != want {
			t.Errorf("%+v is %s: %t", state, split, got)
		}
	}
}

func TestAsProblem(t *testing.T) {
	problem := trafficrouting.Problemf("RouteMissing", "write %s", "x")
	wrapped := fmt.Errorf("observe: %w", errors.Join(errors.New("other"), problem))
	if p := trafficrouting.AsProblem(wrapped); p == nil || p.Reason != "RouteMissing" || p.Message != "write x" {
		t.Errorf("found %+v", p)
	}
	if p := trafficrouting.AsProblem(errors.New("other")); p != nil {
		t.Errorf("found %+v", p)
	}
}

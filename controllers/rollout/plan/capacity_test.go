package plan

import (
	"fmt"
	"testing"
)

func ptr(n int32) *int32 { return &n }

func TestStepPods(t *testing.T) {
	for _, c := range []struct {
		step     Step
		replicas int32
		want     int32
	}{
		{Step{Weight: 0}, 10, 1},
		{Step{Weight: 1}, 10, 1},
		{Step{Weight: 10}, 10, 1},
		{Step{Weight: 11}, 10, 2},
		{Step{Weight: 99}, 10, 10},
		{Step{Weight: 100}, 10, 10},
		{Step{Weight: 1}, 100000, 1000},
		{Step{Weight: 99}, 100000, 99000},
		{Step{Weight: 50}, 1, 1},
		{Step{Weight: 50}, 0, 0},
		{Step{Weight: 0}, 0, 0},
		{Step{Weight: 0, Pods: ptr(0)}, 10, 0},
		{Step{Weight: 50, Pods: ptr(2)}, 10, 2},
		{Step{Weight: 50, Pods: ptr(20)}, 10, 20},
		{Step{Weight: 50, Pods: ptr(2)}, 0, 2},
		{Step{Weight: 1, Percent: ptr(100)}, 10, 10},
		{Step{Weight: 50, Percent: ptr(5)}, 10, 1},
		{Step{Weight: 50, Percent: ptr(100)}, 100000, 100000},
		{Step{Weight: 0, Percent: ptr(0)}, 10, 0},
	} {
		if got := c.step.pods(c.replicas); got != c.want {
			t.Errorf("%+v of %d: got %d, want %d", c.step, c.replicas, got, c.want)
		}
	}
}

// in is a decision in the middle of a release of b over a.
func in(replicas, proven int32, step Step, progress, stable, canary int32) *decision {
	return &decision{
		o: &Observed{
			Spec: Spec{Replicas: replicas, Steps: []Step{step}},
			ReplicaSets: []ReplicaSet{
				{Revision: "a", Name: "a", Desired: stable, Available: stable},
				{Revision: "b", Name: "b", Desired: canary, Available: canary},
			},
		},
		p: Position{Stable: "a", Proven: proven, Canary: "b", Step: &StepPosition{Name: step.Name, Weight: step.Weight, Progress: progress}},
	}
}

// asked sets how many pods a revision was asked for last, whatever its status says.
func (d *decision) asked(revision string, pods int32) *decision {
	for i := range d.o.ReplicaSets {
		if d.o.ReplicaSets[i].Revision == revision {
			d.o.ReplicaSets[i].Desired = pods
		}
	}
	return d
}

func TestCarriesAndHolds(t *testing.T) {
	half := Step{Name: "half", Weight: 50}
	onTwo := Step{Name: "half", Weight: 50, Pods: ptr(2)}
	for _, c := range []struct {
		name           string
		d              *decision
		revision       string
		weight         int32
		carries, holds bool
	}{
		{"nothing needs no pod", in(10, 10, half, 0, 0, 0), "b", 0, true, true},
		{"no replicas need no pod", in(0, 10, half, 0, 0, 0), "b", 50, true, true},
		{"one percent needs a pod", in(10, 10, half, 0, 10, 0), "b", 1, false, false},
		{"one percent of many", in(100000, 100000, half, 1000, 0, 999), "b", 1, false, true},
		{"all of many", in(100000, 100000, half, 50000, 100000, 50000), "b", 50, true, true},
		{"its share", in(10, 10, half, 5, 10, 5), "b", 50, true, true},
		{"three quarters of its share", in(10, 10, half, 5, 10, 4), "b", 50, false, true},
		{"less than three quarters", in(10, 10, half, 5, 10, 3), "b", 50, false, false},
		{"what the user asked for", in(10, 10, onTwo, 2, 10, 2), "b", 50, true, true},
		{"more weight than the user asked it for", in(10, 10, onTwo, 2, 10, 2), "b", 60, false, true},
		{"what carried it before", in(20, 10, half, 5, 10, 5), "b", 50, false, true},
		{"less than what carried it before", in(20, 10, half, 5, 10, 3), "b", 50, false, false},
		{"pods that are about to go", in(4, 4, half, 5, 4, 5).asked("b", 3), "b", 100, false, true},
		{"pods that are about to come", in(4, 4, half, 2, 4, 2).asked("b", 4), "b", 100, false, true},
		{"stable takes all back", in(10, 10, half, 5, 8, 5), "a", 100, false, true},
		{"stable cannot take all back", in(10, 10, half, 5, 7, 5), "a", 100, false, false},
		{"stable proved to need less", in(100, 10, half, 5, 8, 5), "a", 100, false, true},
		{"stable was scaled down", in(4, 10, half, 2, 4, 2), "a", 100, true, true},
		{"stable never proved itself", in(100, 0, half, 5, 10, 5), "a", 100, false, false},
		{"no revision selects every pod", in(10, 10, half, 5, 0, 0), "", 100, false, true},
	} {
		if got := c.d.carries(c.revision, c.weight); got != c.carries && c.revision != "" {
			t.Errorf("%s: carries is %v", c.name, got)
		}
		if got := c.d.holds(c.revision, c.weight); got != c.holds {
			t.Errorf("%s: holds is %v", c.name, got)
		}
	}
}

func TestPercentIsRoundedUp(t *testing.T) {
	for _, replicas := range []int32{0, 1, 3, 100000} {
		for _, weight := range []int32{0, 1, 99, 100} {
			got, exact := percentOf(replicas, weight), float64(replicas)*float64(weight)/100
			if float64(got) < exact || float64(got) >= exact+1 {
				t.Error(fmt.Sprint(replicas, weight, got))
			}
		}
	}
}

// TestForceNeedsPodsThatStay holds that a step's time does not begin on pods that were
// just told to go.
func TestForceNeedsPodsThatStay(t *testing.T) {
	for _, tc := range []struct {
		asked int32
		want  bool
	}{{1, true}, {0, false}} {
		o := releasing(func(o *Observed) {
			o.Position.Step.InForceSince = nil
			o.ReplicaSets[1].Desired = tc.asked
		})
		if p := Decide(o); (p.Position.Step.InForceSince != nil) != tc.want {
			t.Errorf("with %d of 1 pods asked for: in force since %v", tc.asked, p.Position.Step.InForceSince)
		}
	}
}

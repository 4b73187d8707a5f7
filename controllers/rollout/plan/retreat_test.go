package plan

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// TestRetreat aborts over a routing of which only a part is left.
func TestRetreat(t *testing.T) {
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	half := trafficrouting.State{Stable: "a", Canary: "b", MinWeight: 50, MaxWeight: 50, FitMin: 50, FitMax: 50}
	observed := func(abort bool, stablePods int32, state trafficrouting.State) Observed {
		return Observed{
			Now: now,
			Spec: Spec{
				Revision: "b", Replicas: 4, ProgressDeadline: time.Minute,
				Steps: []Step{{Name: "half", Weight: 50}}, Analysed: true,
			},
			Position: Position{
				Stable: "a", Proven: 4, Canary: "b", Attempt: 1,
				Step: &StepPosition{Name: "half", Weight: 50, EnteredAt: now, InForceSince: &now, Progress: 2, ProgressAt: now},
			},
			ReplicaSets: []ReplicaSet{
				{Revision: "a", Name: "a", Desired: 4, Replicas: 4, Available: stablePods},
				{Revision: "b", Name: "b", Desired: 2, Replicas: 2, Available: 2},
			},
			Routing:  Routing{State: state, Problem: &Problem{Reason: v1alpha1.ReasonObjectMissing, Message: "gone"}},
			Analysis: Analysis{Abort: abort, Reason: v1alpha1.ReasonAnalysisFailed, Message: "bad"},
		}
	}
	unbound := half
	unbound.Stable, unbound.Canary = "", ""
	for name, tc := range map[string]struct {
		o    Observed
		want *trafficrouting.Split
	}{
		"an abort is written to what is left":        {observed(true, 4, half), &trafficrouting.Split{Stable: "a", Canary: "b"}},
		"also where the bindings cannot be read":     {observed(true, 4, unbound), &trafficrouting.Split{}},
		"no further than stable can take it":         {observed(true, 2, half), nil},
		"a release that goes on is left as it is":    {observed(false, 4, half), nil},
		"nothing is written where nothing was found": {observed(true, 4, trafficrouting.State{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := Decide(tc.o)
			if (p.Split == nil) != (tc.want == nil) || tc.want != nil && *p.Split != *tc.want {
				t.Errorf("split %v, want %v", p.Split, tc.want)
			}
			if p.Raises || len(p.Scale) > 0 {
				t.Errorf("raises %v and scales %v", p.Raises, p.Scale)
			}
			if tc.o.Analysis.Abort && p.Position.Abort == nil {
				t.Error("the abort is not remembered")
			}
		})
	}
}

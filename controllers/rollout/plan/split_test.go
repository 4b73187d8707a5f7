package plan

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// situation is a release of b over a in the only step, half, at some routing.
type situation struct {
	stable, canary    string
	least, most       int32
	stables, canaries int32
	// fresh is true while the routing has not reached every proxy, aborted when
	// there is no release any more, promoting in the promotion.
	fresh, aborted, promoting, paused bool
	fitMin, fitMax                    int32
	replicas, progress                int32
	// asked is how many pods the canary was told to keep, if not all.
	asked int32
}

func (s situation) observed() Observed {
	now, since := epoch, epoch.Add(-time.Hour)
	replicas := s.replicas
	if replicas == 0 {
		replicas = 10
	}
	o := Observed{
		Now: now,
		Spec: Spec{Revision: "b", Replicas: replicas, Steps: []Step{{Name: "half", Weight: 50, Approval: true}}, Paused: s.paused,
			Propagation: time.Second, Drain: time.Minute, ProgressDeadline: 2 * time.Hour},
		Position: Position{Stable: "a", Proven: replicas, Canary: "b", Attempt: 1,
			Step: &StepPosition{Name: "half", Weight: 50, EnteredAt: since, ProgressAt: since, Progress: s.canaries}},
		ReplicaSets: []ReplicaSet{
			{Revision: "a", Name: "a", Desired: replicas, Replicas: replicas, Available: s.stables},
			{Revision: "b", Name: "b", Desired: max(5, s.canaries), Replicas: max(5, s.canaries), Available: s.canaries},
		},
		Routing: Routing{Known: true, Since: since, State: trafficrouting.State{
			Stable: s.stable, Canary: s.canary, MinWeight: s.least, MaxWeight: s.most, FitMin: s.fitMin, FitMax: s.fitMax}},
	}
	if s.asked > 0 {
		o.ReplicaSets[1].Desired = s.asked
	}
	if s.fresh {
		o.Routing.Since = now
	}
	if s.promoting {
		o.Position.Step = &StepPosition{Index: 1, Name: PromotionStep, Weight: 100, EnteredAt: since, InForceSince: &since, ProgressAt: since, Progress: s.canaries}
	}
	if s.progress > 0 {
		o.Position.Step.Progress = s.progress
	}
	if s.aborted {
		o.Position.Step, o.Position.Abort = nil, &Abort{Reason: v1alpha1.ReasonAborted, Step: "half", At: since}
	}
	return o
}

func TestNextSplit(t *testing.T) {
	for _, c := range []struct {
		name string
		s    situation
		want string
		// first is true when the position is written before the split.
		first bool
	}{
		{"bind the canary", situation{stable: "a", stables: 10, canaries: 5}, "stable=a:100 canary=b:0", true},
		{"but not before proxies know that it has nothing", situation{stable: "a", canary: "c", stables: 10, canaries: 5, fresh: true}, "", false},
		{"raise", situation{stable: "a", canary: "b", stables: 10, canaries: 5}, "stable=a:50 canary=b:50", true},
		{"not while proxies may take it for another", situation{stable: "a", canary: "b", stables: 10, canaries: 5, fresh: true}, "", false},
		{"not without the pods", situation{stable: "a", canary: "b", stables: 10, canaries: 4}, "", false},
		{"not while paused", situation{stable: "a", canary: "b", stables: 10, canaries: 5, paused: true}, "", false},
		{"there", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 5}, "", false},
		{"there, as near as the routes can say it", situation{stable: "a", canary: "b", least: 50, most: 51, fitMin: 49, fitMax: 50, stables: 10, canaries: 5}, "", false},
		{"one route behind", situation{stable: "a", canary: "b", least: 10, most: 50, stables: 10, canaries: 5, fresh: true}, "stable=a:50 canary=b:50", true},
		{"too much by another hand", situation{stable: "a", canary: "b", least: 90, most: 90, stables: 10, canaries: 5, fresh: true}, "stable=a:50 canary=b:50", false},
		{"one pod less is borne", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 4}, "", false},
		{"abort at once", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 5, fresh: true, aborted: true}, "stable=a:100 canary=b:0", false},
		{"abort as far as stable can", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 6, canaries: 5, aborted: true}, "stable=a:80 canary=b:20", false},
		{"abort with stable gone", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 0, canaries: 5, aborted: true}, "", false},
		{"abort with both gone", situation{stable: "a", canary: "b", least: 50, most: 50, aborted: true}, "stable=a:100 canary=b:0", false},
		{"abort one route only, the other stays", situation{stable: "a", canary: "b", least: 10, most: 50, stables: 6, canaries: 5, aborted: true}, "", false},
		{"bind stable with all at the canary", situation{stable: "a", canary: "b", least: 100, most: 100, stables: 10, canaries: 10, promoting: true}, "stable=b:0 canary=b:100", true},
		{"but not when that lost its pods", situation{stable: "a", canary: "b", least: 100, most: 100, stables: 10, canaries: 2, promoting: true, progress: 10}, "stable=a:80 canary=b:20", false},
		{"all to the canary", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 10, promoting: true}, "stable=a:0 canary=b:100", true},
		{"but not to pods that were just told to go", situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 10, asked: 5, promoting: true}, "", false},
		{"a paused promotion", situation{stable: "a", canary: "b", least: 100, most: 100, stables: 10, canaries: 10, promoting: true, paused: true}, "", false},
		{"a stable destination that selects every pod", situation{canary: "b", stables: 10, canaries: 5}, "stable=a:100 canary=b:0", true},
		{"and an abort", situation{canary: "b", least: 50, most: 50, stables: 10, canaries: 5, aborted: true}, "stable=a:100 canary=b:0", true},
		{"a stable destination that selects none that serve", situation{stable: "x", canary: "b", least: 50, most: 50, stables: 10, canaries: 5, fresh: true}, "stable=a:50 canary=b:50", true},
		{"a canary destination of another revision", situation{stable: "a", canary: "a", stables: 10, canaries: 5}, "stable=a:100 canary=b:0", true},
		{"with weight", situation{stable: "a", canary: "c", least: 50, most: 50, stables: 10, canaries: 5, fresh: true}, "stable=a:100 canary=c:0", false},
		{"both the same pods", situation{stable: "a", canary: "a", least: 50, most: 50, stables: 10, canaries: 5}, "stable=a:100 canary=a:0", false},
		{"but a proxy may not know", situation{stable: "a", canary: "a", least: 50, most: 50, stables: 10, canaries: 5, fresh: true}, "", false},
		{"a great many", situation{stable: "a", canary: "b", stables: 100000, canaries: 50000, replicas: 100000}, "stable=a:50 canary=b:50", true},
		{"a great many but one", situation{stable: "a", canary: "b", stables: 100000, canaries: 49999, replicas: 100000}, "", false},
		{"a single replica", situation{stable: "a", canary: "b", stables: 1, canaries: 1, replicas: 1}, "stable=a:50 canary=b:50", true},
	} {
		p := Decide(c.s.observed())
		got := ""
		if p.Split != nil {
			got = p.Split.String()
		}
		if got != c.want || p.Raises != c.first {
			t.Errorf("%s: got %q, position first %v; want %q, %v\n%+v", c.name, got, p.Raises, c.want, c.first, p.Why)
		}
	}
}

// TestPositionBeforeSplit asserts that a drain time that is not true any more is
// forgotten before the traffic that made it untrue is taken away.
func TestPositionBeforeSplit(t *testing.T) {
	o := situation{stable: "a", canary: "b", least: 50, most: 50, stables: 10, canaries: 5, aborted: true}.observed()
	if p := Decide(o); p.Split == nil || p.Raises {
		t.Errorf("an abort waits for the position: %+v", p)
	}
	o.Position.Draining = map[string]time.Time{"b": o.Now.Add(-time.Hour)}
	if p := Decide(o); p.Split == nil || !p.Raises || len(p.Position.Draining) > 0 {
		t.Errorf("the drain time would be found again: %+v", p)
	}
}

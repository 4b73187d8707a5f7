package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// TestDecideIsTotal asserts that every observation has a plan, however little sense
// it makes, and equal ones equal plans.
func TestDecideIsTotal(t *testing.T) { rapid.Check(t, decideIsTotal) }

// FuzzDecide is the same, led by coverage.
func FuzzDecide(f *testing.F) { f.Fuzz(rapid.MakeFuzz(decideIsTotal)) }

func decideIsTotal(t *rapid.T) {
	o := anyObserved(t)
	before := asJSON(o)
	p := Decide(o)
	if diff := cmp.Diff(p, Decide(o)); diff != "" {
		t.Fatalf("same observation, another plan: %s", diff)
	}
	if asJSON(o) != before {
		t.Fatal("the observation was changed")
	}
	if p.RequeueAfter < 0 {
		t.Fatalf("RequeueAfter is %s", p.RequeueAfter)
	}
	if p.Verdict.Ready.Reason == "" || p.Verdict.Reconciling != nil && p.Verdict.Stalled != nil {
		t.Fatalf("verdict %+v", p.Verdict)
	}
	if p.Split != nil && !o.Routing.usable() && (o.Routing.Problem == nil || p.Split.Weight > o.Routing.State.MinWeight) {
		t.Fatalf("split %s on an unusable routing", p.Split)
	}
	if p.Release && o.Spec.DeletedAt == nil {
		t.Fatal("released without a deletion")
	}
	for _, s := range p.Scale {
		if s.Replicas < 0 && o.Spec.Replicas >= 0 {
			t.Fatalf("scale %+v", s)
		}
	}
}

var (
	anyRevision = rapid.SampledFrom([]string{"a", "b", "c", ""})
	anyCount    = rapid.SampledFrom([]int32{0, 1, 2, 3, 10, 100000})
	anyWeight   = rapid.Int32Range(0, 100)
	anyTime     = rapid.Custom(func(t *rapid.T) time.Time {
		return epoch.Add(time.Duration(rapid.Int64Range(-7200, 7200).Draw(t, "s")) * time.Second)
	})
	anyDuration = rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour})
	anyStepName = rapid.SampledFrom([]string{"p", "q", PromotionStep, ""})
)

func sometimes[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	if !rapid.Bool().Draw(t, label+"?") {
		return nil
	}
	v := g.Draw(t, label)
	return &v
}

func anyObserved(t *rapid.T) Observed {
	problem := rapid.Just(Problem{v1alpha1.ReasonInvalidSpec, "broken"})
	o := Observed{Now: anyTime.Draw(t, "now"), LastAttempt: anyCount.Draw(t, "last attempt")}
	o.Spec = Spec{
		Revision: anyRevision.Draw(t, "revision"), Replicas: anyCount.Draw(t, "replicas"),
		Steps:  rapid.SliceOfN(rapid.Custom(anyStep), 0, 3).Draw(t, "steps"),
		Paused: rapid.Bool().Draw(t, "paused"), Analysed: rapid.Bool().Draw(t, "analysed"),
		Advisory:         rapid.Bool().Draw(t, "advisory"),
		ProgressDeadline: anyDuration.Draw(t, "deadline"), Propagation: anyDuration.Draw(t, "propagation"),
		Drain: anyDuration.Draw(t, "drain"), HistoryLimit: rapid.IntRange(0, 2).Draw(t, "history"),
		DeletedAt: sometimes(t, anyTime, "deleted"), Problem: sometimes(t, problem, "problem"),
	}
	o.Spec.Alerts, o.Alerts = drawAlertRules(t), drawAlerts(t, o.Now)
	o.Position = anyPosition(t)
	o.ReplicaSets = rapid.SliceOfN(rapid.Custom(anySet), 0, 4).Draw(t, "sets")
	o.Routing = Routing{Known: rapid.Bool().Draw(t, "known"), Since: anyTime.Draw(t, "since"), Problem: sometimes(t, problem, "routing problem")}
	o.Routing.State = trafficrouting.State{
		Stable: anyRevision.Draw(t, "bound"), Canary: anyRevision.Draw(t, "bound"),
		MinWeight: anyWeight.Draw(t, "least"), MaxWeight: anyWeight.Draw(t, "most"),
		FitMin: anyWeight.Draw(t, "fit least"), FitMax: anyWeight.Draw(t, "fit most"),
		Programmed: rapid.SampledFrom([]trafficrouting.Programmed{"", trafficrouting.ProgrammedNo, trafficrouting.ProgrammedYes}).Draw(t, "programmed"),
	}
	o.Analysis = Analysis{
		Verdict: rapid.SampledFrom([]v1alpha1.Verdict{"", v1alpha1.VerdictSuccess, v1alpha1.VerdictFailure}).Draw(t, "verdict"),
		Abort:   rapid.Bool().Draw(t, "abort"), Reason: v1alpha1.ReasonAnalysisFailed,
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "actions") {
		o.Actions = append(o.Actions, Action{
			UID: fmt.Sprint("uid", i), Type: rapid.SampledFrom([]v1alpha1.ActionType{v1alpha1.ActionAbort, v1alpha1.ActionPromote,
				v1alpha1.ActionPromoteFull, v1alpha1.ActionRetry, v1alpha1.ActionPause, "Unknown"}).Draw(t, "type"),
			Revision: anyRevision.Draw(t, "revision"), Step: anyStepName.Draw(t, "step"), CreatedAt: anyTime.Draw(t, "created"),
			TimeToLive: anyDuration.Draw(t, "ttl"),
			Alert: sometimes(t, rapid.Custom(func(t *rapid.T) AlertAction {
				return AlertAction{Rule: rapid.SampledFrom([]string{"abort", "pause", "gone"}).Draw(t, "rule"), StartsAt: anyTime.Draw(t, "starts")}
			}), "alert"),
		})
	}
	return o
}

func anyStep(t *rapid.T) Step {
	return Step{
		Name: anyStepName.Draw(t, "name"), Weight: anyWeight.Draw(t, "weight"), Bake: anyDuration.Draw(t, "bake"),
		Approval: rapid.Bool().Draw(t, "approval"), Pods: sometimes(t, anyCount, "pods"), Percent: sometimes(t, anyWeight, "percent"),
	}
}

func anySet(t *rapid.T) ReplicaSet {
	return ReplicaSet{
		Revision: anyRevision.Draw(t, "revision"), Name: anyRevision.Draw(t, "name"), Desired: anyCount.Draw(t, "desired"),
		Replicas: anyCount.Draw(t, "replicas"), Available: anyCount.Draw(t, "available"), CreatedAt: anyTime.Draw(t, "created"),
	}
}

func anyPosition(t *rapid.T) Position {
	p := Position{
		Stable: anyRevision.Draw(t, "stable"), Proven: anyCount.Draw(t, "proven"), Canary: anyRevision.Draw(t, "canary"),
		Attempt: anyCount.Draw(t, "attempt"), Applied: rapid.SliceOfN(rapid.SampledFrom([]string{"uid0", "uid1"}), 0, 2).Draw(t, "applied"),
		Draining: rapid.MapOfN(anyRevision, anyTime, 0, 2).Draw(t, "draining"),
	}
	if rapid.Bool().Draw(t, "in a step") {
		p.Step = &StepPosition{
			Index: rapid.IntRange(-1, 4).Draw(t, "index"), Name: anyStepName.Draw(t, "name"), Weight: anyWeight.Draw(t, "weight"),
			EnteredAt: anyTime.Draw(t, "entered"), InForceSince: sometimes(t, anyTime, "in force"),
			Progress: anyCount.Draw(t, "progress"), ProgressAt: anyTime.Draw(t, "progress at"),
		}
	}
	p.After = sometimes(t, rapid.Custom(func(t *rapid.T) After {
		return After{Previous: anyRevision.Draw(t, "previous"), Proven: anyCount.Draw(t, "its pods"), PromotedAt: anyTime.Draw(t, "promoted"),
			BakedAt: sometimes(t, anyTime, "baked")}
	}), "after")
	if rapid.Bool().Draw(t, "aborted") {
		p.Abort = &Abort{Reason: v1alpha1.ReasonAborted, Step: "p", At: anyTime.Draw(t, "at")}
	}
	return p
}

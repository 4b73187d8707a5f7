package story

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var begun = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) metav1.MicroTime {
	return metav1.NewMicroTime(begun.Add(time.Duration(n) * time.Minute))
}

// remembered has released a over nothing, b over a, c over b until d replaced it, d
// until it was aborted, and d again.
func remembered() *v1alpha1.Rollout {
	r := &v1alpha1.Rollout{}
	r.Name = "checkout"
	r.Spec.Strategy.Canary = &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{{Name: "smoke"}, {Name: "ten", Weight: 10}, {Name: "half", Weight: 50}}}
	for i, t := range []v1alpha1.Transition{
		{Type: v1alpha1.TransitionDeployed, Revision: "a"},
		{Type: v1alpha1.TransitionStarted, Revision: "b", Step: "smoke"},
		{Type: v1alpha1.TransitionStepEntered, Revision: "b", Step: "ten"},
		{Type: v1alpha1.TransitionStepEntered, Revision: "b", Step: "gone"},
		{Type: v1alpha1.TransitionStepEntered, Revision: "b", Step: v1alpha1.PromotionStep},
		{Type: v1alpha1.TransitionPromoted, Revision: "b"},
		{Type: v1alpha1.TransitionStarted, Revision: "c", Step: "ten"},
		{Type: v1alpha1.TransitionSuperseded, Revision: "c"},
		{Type: v1alpha1.TransitionStarted, Revision: "d", Step: "ten"},
		{Type: v1alpha1.TransitionAborted, Revision: "d", Step: "ten"},
		{Type: v1alpha1.TransitionRetried, Revision: "d", Step: "ten"},
		{Type: v1alpha1.TransitionStepEntered, Revision: "d", Step: "half"},
	} {
		t.At = minute(i)
		r.Status.History = append(r.Status.History, t)
	}
	return r
}

func TestReleaseOf(t *testing.T) {
	stay := func(index int32, name string, at int) v1alpha1.AnalysisStep {
		return v1alpha1.AnalysisStep{Index: index, Name: name, Since: minute(at)}
	}
	run := v1alpha1.AnalysisRun{}
	run.Spec.Subject = v1alpha1.AnalysisSubject{Rollout: "checkout", CanaryRevision: "d", StableRevision: "b", Attempt: 4}
	run.Status.Step = &v1alpha1.AnalysisStep{Index: 2, Name: "half", Since: metav1.NewMicroTime(minute(11).Add(7 * time.Second))}
	older := *run.DeepCopy()
	older.Spec.Subject.Attempt, older.Spec.Subject.StableRevision, older.Status.Step = 3, "x", nil
	for name, tc := range map[string]struct {
		canary string
		runs   []v1alpha1.AnalysisRun
		want   Release
	}{
		"the latest": {"", nil, Release{Canary: "d", Stable: "b", Attempt: 1, Stays: []v1alpha1.AnalysisStep{stay(1, "ten", 10), stay(2, "half", 11)}}},
		"with its run, when the weight was in force": {"d", []v1alpha1.AnalysisRun{run, older}, Release{
			Canary: "d", Stable: "b", Attempt: 4, Stays: []v1alpha1.AnalysisStep{stay(1, "ten", 10), *run.Status.Step},
		}},
		"an earlier one; steps that are gone count": {"b", nil, Release{
			Canary: "b", Stable: "a", Attempt: 1, Stays: []v1alpha1.AnalysisStep{stay(1, "ten", 2), stay(1, "gone", 3)}, End: minute(5).Time,
		}},
		"one that was replaced": {"c", nil, Release{Canary: "c", Stable: "b", Attempt: 1, Stays: []v1alpha1.AnalysisStep{stay(1, "ten", 6)}, End: minute(7).Time}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReleaseOf(remembered(), tc.runs, tc.canary)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := ReleaseOf(remembered(), nil, "a"); err == nil || !strings.Contains(err.Error(), "remembers those of b, c, d") {
		t.Errorf("one that was never released: %v", err)
	}
	if _, err := ReleaseOf(&v1alpha1.Rollout{}, nil, ""); err == nil {
		t.Error("a Rollout without a history has a release")
	}
}

func TestReleaseWhoseStableIsNotKnown(t *testing.T) {
	r := remembered()
	r.Status.History = []v1alpha1.Transition{
		{At: minute(0), Type: v1alpha1.TransitionPromoted, Revision: "a"},
		{At: minute(1), Type: v1alpha1.TransitionRolledBack, Revision: "a"},
		{At: minute(2), Type: v1alpha1.TransitionStarted, Revision: "b", Step: "ten"},
	}
	if got, err := ReleaseOf(r, nil, ""); err != nil || got.Stable != "" {
		t.Errorf("after a return nobody knows to what: %+v, %v", got, err)
	}
	r.Status.Canary, r.Status.Stable = &v1alpha1.RevisionStatus{Revision: "b"}, &v1alpha1.RevisionStatus{Revision: "c"}
	if got, err := ReleaseOf(r, nil, ""); err != nil || got.Stable != "c" {
		t.Errorf("of the release in progress it is known: %+v, %v", got, err)
	}
}

func TestReleaseOfRun(t *testing.T) {
	run := &v1alpha1.AnalysisRun{}
	run.Spec.Subject = v1alpha1.AnalysisSubject{Rollout: "checkout", CanaryRevision: "d", StableRevision: "b", Attempt: 4}
	run.CreationTimestamp = metav1.NewTime(begun)
	run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCompleted, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(minute(9).Time)}}
	want := &Release{Canary: "d", Stable: "b", Attempt: 4, Stays: []v1alpha1.AnalysisStep{{Name: "all", Since: minute(0)}}, End: minute(9).Time}
	if diff := cmp.Diff(want, ReleaseOfRun(run)); diff != "" {
		t.Error(diff)
	}
	run.Status.Step = &v1alpha1.AnalysisStep{Name: "ten", Since: minute(1)}
	if diff := cmp.Diff([]v1alpha1.AnalysisStep{*run.Status.Step}, ReleaseOfRun(run).Stays); diff != "" {
		t.Error("of a release of one step:", diff)
	}
	if run.Spec.Steps = 2; ReleaseOfRun(run).Stays[0].Name != "all" {
		t.Errorf("of one of several: %+v", ReleaseOfRun(run).Stays)
	}
}

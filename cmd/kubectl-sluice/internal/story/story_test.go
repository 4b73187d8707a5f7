package story_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story/storytest"
)

const canary = storytest.CanaryRevision

func promoting() *story.Snapshot {
	s := storytest.Baking()
	s.Rollout.Status.Step = &v1alpha1.StepStatus{Index: 3, Name: v1alpha1.PromotionStep, Weight: 100}
	storytest.Moving(s, v1alpha1.ReasonPromoting, "revision "+canary+" is becoming stable")
	return s
}

func deleted() *story.Snapshot {
	s := storytest.Baking()
	now := storytest.Ago(0)
	s.Rollout.DeletionTimestamp = &now
	return s
}

// TestAim holds what a command is bound to, and where it is pointless.
func TestAim(t *testing.T) {
	tests := []struct {
		name   string
		at     *story.Snapshot
		kind   v1alpha1.ActionType
		stated story.Target
		want   story.Target
		err    string
	}{
		{name: "promote the step that is seen", at: storytest.Baking(), kind: v1alpha1.ActionPromote, want: story.Target{Revision: canary, Step: "step-2"}},
		{name: "promote fully at any step", at: storytest.Baking(), kind: v1alpha1.ActionPromoteFull, want: story.Target{Revision: canary}},
		{name: "promote fully at one", at: storytest.Baking(), kind: v1alpha1.ActionPromoteFull, stated: story.Target{Step: "step-2"}, want: story.Target{Revision: canary, Step: "step-2"}},
		{name: "abort at any step", at: storytest.Baking(), kind: v1alpha1.ActionAbort, want: story.Target{Revision: canary}},
		{name: "abort the final move", at: promoting(), kind: v1alpha1.ActionAbort, want: story.Target{Revision: canary}},
		{name: "retry", at: storytest.Aborted(), kind: v1alpha1.ActionRetry, want: story.Target{Revision: canary}},
		{name: "another revision", at: storytest.Baking(), kind: v1alpha1.ActionAbort, stated: story.Target{Revision: "other"}, err: "you said revision other, but Rollout checkout is at " + canary},
		{name: "another step", at: storytest.Baking(), kind: v1alpha1.ActionPromote, stated: story.Target{Step: "smoke"}, err: "you said step smoke, but Rollout checkout is at step step-2"},
		{name: "promote at rest", at: storytest.Healthy(), kind: v1alpha1.ActionPromote, err: "nothing to promote: no release of Rollout checkout is in progress; it is Healthy"},
		{name: "abort at rest", at: storytest.Healthy(), kind: v1alpha1.ActionAbort, err: "nothing to abort: no release"},
		{name: "abort twice", at: storytest.Aborted(), kind: v1alpha1.ActionAbort, err: "was aborted already (AnalysisFailed)"},
		{name: "promote what was aborted", at: storytest.Aborted(), kind: v1alpha1.ActionPromoteFull, err: "nothing to promote: the release of revision " + canary + " was aborted already"},
		{name: "promote the final move", at: promoting(), kind: v1alpha1.ActionPromote, err: "every step was passed already"},
		{name: "retry what goes on", at: storytest.Baking(), kind: v1alpha1.ActionRetry, err: "no release of Rollout checkout was aborted; revision " + canary + " is at step step-2, 2 of 3"},
		{name: "abort a Rollout that is deleted", at: deleted(), kind: v1alpha1.ActionAbort, err: "is being deleted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := story.Aim(tt.at.Rollout, tt.kind, tt.stated)
			switch {
			case tt.err == "" && err != nil:
				t.Fatal(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Fatalf("error %v, not %q", err, tt.err)
			case got != tt.want:
				t.Errorf("bound to %+v, not %+v", got, tt.want)
			}
		})
	}
}

// watched is a Rollout whose revision was promoted a minute ago.
func watched() *story.Snapshot {
	s := storytest.Healthy()
	s.Rollout.Spec.AfterPromotion = &v1alpha1.AfterPromotion{Bake: &metav1.Duration{Duration: 10 * time.Minute}}
	s.Rollout.Status.AfterPromotion = &v1alpha1.AfterPromotionStatus{
		Previous: "before", Proven: 10, PromotedAt: metav1.NewMicroTime(storytest.Now.Add(-time.Minute)),
	}
	return s
}

// TestAfterPromotion holds what is said of a revision that is watched.
func TestAfterPromotion(t *testing.T) {
	at := watched()
	stable := at.Rollout.Status.Stable.Revision
	for _, kind := range []v1alpha1.ActionType{v1alpha1.ActionAbort, v1alpha1.ActionRollback} {
		if got, err := story.Aim(at.Rollout, kind, story.Target{}); err != nil || got != (story.Target{Revision: stable}) {
			t.Errorf("%s is bound to %+v: %v", kind, got, err)
		}
	}
	e := story.Explain(at)
	if len(e.Next) != 2 || !strings.Contains(e.Next[0].What, "bake after the promotion ends") || !e.Next[0].At.Equal(storytest.Now.Add(9*time.Minute)) {
		t.Errorf("next: %+v", e.Next)
	}
	if len(e.Advice) != 1 || !strings.Contains(e.Advice[0].Command, "rollback") {
		t.Errorf("advice: %+v", e.Advice)
	}
	if _, err := story.Aim(storytest.Healthy().Rollout, v1alpha1.ActionRollback, story.Target{}); err == nil || !strings.Contains(err.Error(), "--to-revision") {
		t.Errorf("a rollback to nowhere: %v", err)
	}
}

// TestImpact holds that what is left out or at risk is said before a command.
func TestImpact(t *testing.T) {
	short := storytest.Baking()
	short.Rollout.Status.Stable.Available = 4
	edited := storytest.Baking()
	edited.Rollout.Generation++
	paused := storytest.Baking()
	paused.Rollout.Spec.Paused = true
	last := storytest.Waiting()
	tests := []struct {
		name string
		at   *story.Snapshot
		kind v1alpha1.ActionType
		says []string
	}{
		{"promote", storytest.Approval(), v1alpha1.ActionPromote, []string{"Not waited for: analysis", "Step step-2 follows, with 10%"}},
		{"promote the last step", last, v1alpha1.ActionPromote, []string{"Not waited for: pods", "Not waited for: bake", "It is the last"}},
		{"promote while paused", paused, v1alpha1.ActionPromote, []string{"spec.paused stays true"}},
		{"promote fully", storytest.Baking(), v1alpha1.ActionPromoteFull, []string{"half (50%)", "The canary gets all traffic"}},
		{"abort", storytest.Baking(), v1alpha1.ActionAbort, []string{"with 10% of requests", "of which 10 of 10 pods are available"}},
		{"abort onto few pods", short, v1alpha1.ActionAbort, []string{"It last carried everything with 10"}},
		{"abort what was just edited", edited, v1alpha1.ActionAbort, []string{"another revision may replace this one"}},
		{"abort after the promotion", watched(), v1alpha1.ActionAbort, []string{"Revision before becomes stable again", "kept ready"}},
		{"rollback", watched(), v1alpha1.ActionRollback, []string{"Revision before becomes stable again", "one change of weight", "counts as aborted"}},
		{"retry", storytest.Aborted(), v1alpha1.ActionRetry, []string{"value 0.31", "starts again at step smoke, with 1%"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Join(story.Impact(tt.at, tt.kind, ""), "\n")
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, "Not waited for: approval") {
				t.Errorf("a promotion is the approval:\n%s", text)
			}
		})
	}
}

// TestStanding holds the states, on which exit codes rest.
func TestStanding(t *testing.T) {
	unobserved := storytest.Aborted()
	unobserved.Rollout.Generation++
	unchecked := storytest.Healthy()
	storytest.Say(unchecked, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodTemplateUnchecked, "it was not tried yet")
	storytest.Say(unchecked, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonPodTemplateUnchecked, "it was not tried yet")
	held := storytest.Waiting()
	held.Rollout.Spec.Paused = true
	storytest.Moving(held, v1alpha1.ReasonShifting, "step half: weight 50% is not in force yet")
	barred := storytest.Baking()
	storytest.Moving(barred, v1alpha1.ReasonAlertBreakerOpen, "paused instead of aborted")
	alerted := storytest.Baking()
	storytest.Moving(alerted, v1alpha1.ReasonAlertFiring, "held by alert rule incident")
	bare := &story.Snapshot{Rollout: &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Generation: 1}}, Now: storytest.Now}
	for _, tt := range []struct {
		name string
		at   *story.Snapshot
		want story.State
	}{
		{"healthy", storytest.Healthy(), story.Healthy},
		{"approval", storytest.Approval(), story.Paused},
		{"baking", storytest.Baking(), story.Progressing},
		{"aborted", storytest.Aborted(), story.Degraded},
		{"a template that was not tried yet", unchecked, story.Progressing},
		{"a weight that a pause holds", held, story.Paused},
		{"a release that too many alerts paused", barred, story.Paused},
		{"a release that an alert holds", alerted, story.Progressing},
		{"a new spec after an abort", unobserved, story.Unobserved},
		{"never looked at", bare, story.Unobserved},
	} {
		if got := story.StandingOf(tt.at.Rollout).State; got != tt.want {
			t.Errorf("%s is %s, not %s", tt.name, got, tt.want)
		}
		story.Explain(tt.at) // whatever is missing, it explains
	}
}

// TestAlertGates holds that a release that alerts keep where it is says so, and how to
// go on.
func TestAlertGates(t *testing.T) {
	s := storytest.Baking()
	s.Rollout.Spec.Alerts = []v1alpha1.AlertRule{{Name: "incident"}}
	gate := func(name string) *story.Gate {
		for _, g := range story.Gates(s) {
			if g.Name == name {
				return &g
			}
		}
		return nil
	}
	if g := gate("alerts"); g == nil || !g.Open {
		t.Errorf("without an alert: %+v", g)
	}
	storytest.Moving(s, v1alpha1.ReasonAlertFiring, "held in step step-2 by alert rule incident")
	if g := gate("alerts"); g == nil || g.Open || !strings.Contains(g.Detail, "rule incident") {
		t.Errorf("with an alert: %+v", g)
	}
	s.Rollout.Status.Pause = &v1alpha1.PauseStatus{Reason: v1alpha1.ReasonPaused, Message: "paused by an alert"}
	if g := gate("pause"); g == nil || g.Open || g.Detail != "paused by an alert" {
		t.Errorf("paused: %+v", g)
	}
	goesOn := func(a story.Advice) bool { return strings.Contains(a.Command, "sluice promote checkout") }
	if advice := story.Explain(s).Advice; !slices.ContainsFunc(advice, goesOn) {
		t.Errorf("nothing says how to go on: %v", advice)
	}
	s.Rollout.Status.Step = &v1alpha1.StepStatus{Index: 3, Name: v1alpha1.PromotionStep, Weight: 100}
	if _, err := story.Aim(s.Rollout, v1alpha1.ActionPromote, story.Target{}); err != nil {
		t.Errorf("a paused final move cannot be let go on: %v", err)
	}
}

// TestMeasuredShare holds that the measured share is that of the attempt in progress.
func TestMeasuredShare(t *testing.T) {
	s := storytest.Baking()
	if got := story.MeasuredShare(s); got != "" {
		t.Errorf("without a comparison: %q", got)
	}
	run := &s.Runs[0]
	run.Status.Metrics[0].Comparison = &v1alpha1.ComparisonEvidence{CanaryShare: "9.8"}
	if got := story.MeasuredShare(s); got != "9.8" {
		t.Errorf("with one: %q", got)
	}
	run.Spec.Subject.Attempt--
	if got := story.MeasuredShare(s); got != "" {
		t.Errorf("of an earlier attempt: %q", got)
	}
}

// TestNext holds when a Rollout acts by itself.
func TestNext(t *testing.T) {
	at := func(d time.Duration) time.Time { return storytest.Now.Add(d) }
	for _, tt := range []struct {
		name string
		at   *story.Snapshot
		want []story.Event
	}{
		{"at rest", storytest.Healthy(), nil},
		{"baking", storytest.Baking(), []story.Event{
			{At: at(20 * time.Second), What: "metric error-ratio is measured"},
			{At: at(2 * time.Minute), What: "the bake of step step-2 ends"},
		}},
		{"pods that do not come", storytest.Waiting(), []story.Event{
			{At: at(6 * time.Minute), What: "the release is aborted unless more of the canary's pods are available by then"},
		}},
		{"aborted", storytest.Aborted(), []story.Event{{At: at(20 * time.Second), What: "the drain time of revision " + canary + " ends"}}},
	} {
		if diff := cmp.Diff(tt.want, story.Explain(tt.at).Next); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

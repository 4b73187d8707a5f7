package analysisrun

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

func TestPlaceOf(t *testing.T) {
	with := func(edit func(*v1alpha1.Rollout)) *v1alpha1.Rollout {
		r := rollout("checkout", t0)
		edit(r)
		return r
	}
	for _, tc := range []struct {
		name    string
		rollout *v1alpha1.Rollout
		want    string // measuring, waiting, promoted or the end's message
	}{
		{"in force", rollout("checkout", t0), "measuring"},
		{"not in force yet", with(func(r *v1alpha1.Rollout) { r.Status.Step.InForceSince = nil }), "waiting"},
		{"no weight", with(func(r *v1alpha1.Rollout) { r.Status.Step.Weight = 0 }), "waiting"},
		{"between steps", with(func(r *v1alpha1.Rollout) { r.Status.Step = nil }), "waiting"},
		{"the attempt is not known yet", with(func(r *v1alpha1.Rollout) { r.Status.Attempt = 0 }), "waiting"},
		{"a later attempt", with(func(r *v1alpha1.Rollout) { r.Status.Attempt = 2 }), "another attempt"},
		{"an abort of an earlier attempt", with(func(r *v1alpha1.Rollout) { r.Status.Attempt = 0; r.Status.Abort = &v1alpha1.AbortStatus{} }), "waiting"},
		{"aborted", with(func(r *v1alpha1.Rollout) { r.Status.Abort = &v1alpha1.AbortStatus{} }), "aborted"},
		{"superseded", with(func(r *v1alpha1.Rollout) { r.Status.Canary.Revision = "other" }), "another revision"},
		{"rolled back", with(func(r *v1alpha1.Rollout) { r.Status.Canary = nil }), "another revision"},
		{"promoted", with(func(r *v1alpha1.Rollout) { r.Status = promoted() }), "promoted"},
		{"promoted, and the next one started", with(func(r *v1alpha1.Rollout) {
			r.Status = promoted()
			r.Status.Canary = &v1alpha1.RevisionStatus{Revision: "next"}
		}), "promoted"},
		{"watched after the promotion", with(func(r *v1alpha1.Rollout) {
			r.Status = promoted()
			r.Status.AfterPromotion = &v1alpha1.AfterPromotionStatus{Previous: stableRev, PromotedAt: micro(t0)}
		}), "measuring"},
		{"baked after the promotion", with(func(r *v1alpha1.Rollout) {
			r.Status = promoted()
			r.Status.AfterPromotion = &v1alpha1.AfterPromotionStatus{Previous: stableRev, PromotedAt: micro(t0), BakedAt: ptr.To(micro(t0))}
		}), "promoted"},
		{"deleted", nil, "deleted"},
		{"being deleted", with(func(r *v1alpha1.Rollout) { r.DeletionTimestamp = ptr.To(metav1.Now()) }), "deleted"},
		{"recreated", with(func(r *v1alpha1.Rollout) { r.UID = "other" }), "deleted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run("checkout", metric())
			r.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(""), Controller: ptr.To(true)}}
			p := placeOf(r, tc.rollout)
			got := "waiting"
			switch {
			case p.step != nil && p.end != nil:
				got = "both"
			case p.step != nil:
				got = "measuring"
			case p.end != nil && p.end.promoted:
				got = "promoted"
			case p.end != nil:
				got = p.end.message
			}
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// A canary has the weight of the step that it passed while the next one waits for its
// pods.
func TestPlaceOfARunBetweenSteps(t *testing.T) {
	entered := func(edit func(*v1alpha1.RolloutStatus)) *v1alpha1.Rollout {
		r := rollout("checkout", t0)
		r.Status = inStep(1, t0.Add(time.Minute))
		r.Status.Step.InForceSince = nil
		r.Status.Canary.Weight = 20
		edit(&r.Status)
		return r
	}
	for name, tc := range map[string]struct {
		edit func(*v1alpha1.RolloutStatus)
		want bool
	}{
		"the next step waits": {func(*v1alpha1.RolloutStatus) {}, true},
		"the promotion waits": {func(s *v1alpha1.RolloutStatus) { s.Step.Index, s.Step.Name = 2, v1alpha1.PromotionStep }, true},
		"the promotion is in force": {func(s *v1alpha1.RolloutStatus) {
			s.Step.Index, s.Step.Name, s.Step.InForceSince = 2, v1alpha1.PromotionStep, ptr.To(micro(t0.Add(time.Minute)))
		}, true},
		"there is no weight": {func(s *v1alpha1.RolloutStatus) { s.Canary.Weight = 0 }, false},
		"the routing is broken": {func(s *v1alpha1.RolloutStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionRouting, Status: metav1.ConditionFalse}}
		}, false},
		"the split was moved by somebody else": {func(s *v1alpha1.RolloutStatus) { s.Step.Index, s.Step.Name = 0, "first" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := run("checkout", metric())
			r.Status.Step = &v1alpha1.AnalysisStep{Index: 0, Name: "first", Since: micro(t0)}
			p := placeOf(r, entered(tc.edit))
			if got := p.step != nil; got != tc.want || p.end != nil || got && !analysis.SameStep(p.step, r.Status.Step) {
				t.Errorf("got %+v, want the stay in the first step: %v", p, tc.want)
			}
		})
	}
}

func TestACanaryThatTurnsBadBetweenStepsIsAborted(t *testing.T) {
	ro, ar := rollout("checkout", t0), run("checkout", metric())
	r := newRig(t, ro, ar)
	r.reconcile(ar)
	r.answer(ar, 0.01)
	r.reconcile(ar)
	waiting := inStep(1, t0)
	waiting.Step.InForceSince, waiting.Canary.Weight = nil, 20
	r.rollouts.Publish(client.ObjectKeyFromObject(ro), ro.UID, &handover.Unwritten{Written: &ro.Status, Newest: &waiting})
	r.reconcile(ar)
	r.answer(ar, 0.5)
	r.reconcile(ar)
	if got := r.get(ar); reason(got) != "Failure" || got.Status.Step.Name != "first" {
		t.Errorf("got %s", toJSON(got.Status))
	}
}

func stepOf(r *v1alpha1.Rollout) place { return placeOf(run("checkout", metric()), r) }

func TestAdvanceEntersAStepWithItsFirstAnswer(t *testing.T) {
	r := run("checkout", metric())
	p := stepOf(rollout("checkout", t0))
	if s := advance(r, p, nil, t0); s.Step != nil || len(s.Conditions) != 0 {
		t.Errorf("written before there is anything to say: %+v", s)
	}
	s := advance(r, p, []analysis.Answer{answered("errors", t0, 0, analysis.Values(0.01), nil)}, t0)
	if s.Step == nil || s.Step.Name != "first" || s.Metrics[0].Successful != 1 || s.Verdict != v1alpha1.VerdictPending {
		t.Errorf("got %+v", s)
	}
	if len(s.Conditions) != 1 || s.Conditions[0].Reason != v1alpha1.ReasonMeasuring || s.Conditions[0].Status != metav1.ConditionFalse {
		t.Errorf("conditions %+v", s.Conditions)
	}
}

func TestAdvanceAnnouncesAStepWhoseFirstAnswerIsFarAway(t *testing.T) {
	r := run("checkout", metric(func(m *v1alpha1.Metric) { m.InitialDelay = dur(time.Minute) }))
	s := advance(r, stepOf(rollout("checkout", t0)), nil, t0)
	if s.Step == nil || s.Verdict != v1alpha1.VerdictPending || !strings.Contains(s.Message, "not measured in this step yet") {
		t.Errorf("got %+v", s)
	}
}

func TestAdvanceKeepsALateFailure(t *testing.T) {
	r := run("checkout", metric())
	first := []analysis.Answer{answered("errors", t0, 0, analysis.Values(0.01), nil)}
	r.Status = *advance(r, stepOf(rollout("checkout", t0)), first, t0)
	next := t0.Add(time.Minute)
	second := rollout("checkout", t0)
	second.Status = inStep(1, next)

	late := []analysis.Answer{answered("errors", t0, 50*time.Second, analysis.Values(0.5), nil)}
	if s := advance(r, stepOf(second), late, next); s.Verdict != v1alpha1.VerdictFailure || !completed(&v1alpha1.AnalysisRun{Status: *s}) {
		t.Errorf("a failure of the step before is lost: %+v", s)
	}
	good := []analysis.Answer{answered("errors", t0, 50*time.Second, analysis.Values(0.01), nil), answered("errors", t0.Add(time.Second), 0, analysis.Values(0.5), nil)}
	s := advance(r, stepOf(second), good, next)
	if s.Step.Name != "first" || s.Metrics[0].Successful != 2 || s.Metrics[0].Failed != 0 {
		t.Errorf("an answer of no step counts: %+v", s)
	}
	s = advance(r, stepOf(second), []analysis.Answer{answered("errors", next, 0, analysis.Values(0.01), nil)}, next)
	if s.Step.Name != "second" || s.Metrics[0].Successful != 1 || len(s.Metrics[0].Measurements) != 2 {
		t.Errorf("counters of the step before stay: %+v", s)
	}
}

func TestConclude(t *testing.T) {
	good := []analysis.Answer{answered("errors", t0, 0, analysis.Values(0.01), nil)}
	done := []analysis.Answer{good[0], answered("errors", t0, 10*time.Second, analysis.Values(0.01), nil)}
	bad := []analysis.Answer{answered("errors", t0, 0, analysis.Values(0.5), nil)}
	down := &analysis.Error{Reason: analysis.ReasonUnavailable}
	broken := []analysis.Answer{answered("errors", t0, 0, analysis.Sample{}, down), answered("errors", t0, 10*time.Second, analysis.Sample{}, down)}
	end := func(s v1alpha1.RolloutStatus) place {
		r := rollout("checkout", t0)
		r.Status = s
		return stepOf(r)
	}
	aborted := inStep(0, t0)
	aborted.Abort = &v1alpha1.AbortStatus{}
	measuring := end(inStep(0, t0))
	for _, tc := range []struct {
		name    string
		onError v1alpha1.ErrorPolicy
		answers []analysis.Answer
		place   place
		want    string // reason, or Measuring
		verdict v1alpha1.Verdict
	}{
		{"measuring", "", good, measuring, "Measuring", "Pending"},
		{"passed, goes on", "", done, measuring, "Measuring", "Success"},
		{"failed", "", bad, measuring, "Failure", "Failure"},
		{"held", "", broken, measuring, "Measuring", "Error"},
		{"aborts on errors", "Abort", broken, measuring, "Error", "Error"},
		{"promoted", "", done, end(promoted()), "Success", "Success"},
		{"promoted too soon", "", good, end(promoted()), "Terminated", "Pending"},
		{"promoted unseen", "", nil, end(promoted()), "Terminated", "Pending"},
		{"promoted in error", "", broken, end(promoted()), "Terminated", "Error"},
		{"promoted and failed", "", bad, end(promoted()), "Failure", "Failure"},
		{"aborted by somebody", "", done, end(aborted), "Terminated", "Success"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run("checkout", metric(func(m *v1alpha1.Metric) { m.OnError = tc.onError }))
			for _, a := range tc.answers {
				r.Status = *advance(r, measuring, []analysis.Answer{a}, t0)
			}
			s := advance(r, tc.place, nil, t0)
			c := s.Conditions[0]
			if c.Reason != tc.want || (c.Status == metav1.ConditionTrue) != (tc.want != "Measuring") || s.Verdict != tc.verdict {
				t.Errorf("got %s %s %q, verdict %s; want %s, %s", c.Status, c.Reason, c.Message, s.Verdict, tc.want, tc.verdict)
			}
		})
	}
}

package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var t0 = time.Date(2026, 1, 2, 15, 4, 5, 123456000, time.UTC)

// aborted is a notice with every field.
func aborted() *Notice {
	return &Notice{
		Namespace: "shop", Rollout: "checkout", UID: "7c9b", Labels: map[string]string{"team": "shop"},
		Type: "Aborted", Reason: "AnalysisFailed", Revision: "5d8c7b6f9", Step: "ten", Stable: "85b6f", Canary: "5d8c7b6f9",
		Message: "metric error-ratio: value 0.5 does not meet successWhen value <= 0.01", At: t0,
	}
}

func TestNotices(t *testing.T) {
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout", UID: "7c9b", Labels: map[string]string{"team": "shop"}},
		Status: v1alpha1.RolloutStatus{
			Stable: &v1alpha1.RevisionStatus{Revision: "85b6f"}, Canary: &v1alpha1.RevisionStatus{Revision: "5d8c7b6f9"},
			Step: &v1alpha1.StepStatus{Name: "ten"},
		},
	}
	want := *aborted()
	got := Notices(rollout, []v1alpha1.Transition{{
		Type: v1alpha1.TransitionAborted, Reason: want.Reason, Revision: want.Revision, Step: "ten", Message: want.Message,
		At: metav1.NewMicroTime(t0),
	}})
	if diff := cmp.Diff([]Notice{want}, got); diff != "" {
		t.Errorf("a transition (-want +got):\n%s", diff)
	}
	rollout.Status = v1alpha1.RolloutStatus{}
	got = Notices(rollout, []v1alpha1.Transition{{Type: "Stalled", Reason: "RouteMissing"}, {Type: "Paused"}})
	if len(got) != 2 || got[0].Type != v1alpha1.NotificationStalled || got[1].Type != v1alpha1.NotificationPaused || got[0].Stable != "" {
		t.Errorf("of nothing deployed: %+v", got)
	}
}

func TestIDsDiffer(t *testing.T) {
	base := aborted().ID()
	for what, edit := range map[string]func(*Notice){
		"UID":      func(n *Notice) { n.UID = "other" },
		"type":     func(n *Notice) { n.Type = "Promoted" },
		"reason":   func(n *Notice) { n.Reason = "Aborted" },
		"step":     func(n *Notice) { n.Step = "twenty" },
		"revision": func(n *Notice) { n.Revision = "other" },
		"time":     func(n *Notice) { n.At = n.At.Add(time.Microsecond) },
	} {
		n := aborted()
		if edit(n); n.ID() == base {
			t.Errorf("another %s has the same ID", what)
		}
	}
	if again := aborted(); again.ID() != base {
		t.Errorf("the same thing has the IDs %s and %s", base, again.ID())
	}
}

func TestTrigger(t *testing.T) {
	on := func(triggers ...v1alpha1.NotificationTrigger) v1alpha1.NotifierSpec {
		return v1alpha1.NotifierSpec{Triggers: triggers}
	}
	selecting := func(s *metav1.LabelSelector) v1alpha1.NotifierSpec {
		spec := on(v1alpha1.NotificationTrigger{Type: "Aborted"})
		spec.Selector = s
		return spec
	}
	for name, tc := range map[string]struct {
		spec v1alpha1.NotifierSpec
		want bool
	}{
		"type":           {on(v1alpha1.NotificationTrigger{Type: "Promoted"}, v1alpha1.NotificationTrigger{Type: "Aborted"}), true},
		"other type":     {on(v1alpha1.NotificationTrigger{Type: "Promoted"}), false},
		"nothing":        {on(), false},
		"reason":         {on(v1alpha1.NotificationTrigger{Type: "Aborted", Reasons: []string{"Aborted", "AnalysisFailed"}}), true},
		"other reason":   {on(v1alpha1.NotificationTrigger{Type: "Aborted", Reasons: []string{"Aborted"}}), false},
		"all labels":     {selecting(&metav1.LabelSelector{}), true},
		"label":          {selecting(&metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}), true},
		"other label":    {selecting(&metav1.LabelSelector{MatchLabels: map[string]string{"team": "search"}}), false},
		"wrong selector": {selecting(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}), false},
	} {
		if got := Trigger(&tc.spec, aborted()); (got != nil) != tc.want {
			t.Errorf("%s: told is %v, want %v", name, got != nil, tc.want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := v1alpha1.NotifierSpec{
		Slack:    &v1alpha1.ChatWebhook{},
		Triggers: []v1alpha1.NotificationTrigger{{Type: "Aborted"}, {Type: "Promoted", Template: "{{.Rollout}}"}},
	}
	if err := Check(&good); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(*v1alpha1.NotifierSpec){
		"AddressInvalid": func(s *v1alpha1.NotifierSpec) { s.Slack = nil },
		"SelectorInvalid": func(s *v1alpha1.NotifierSpec) {
			s.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b c"}}
		},
		"TemplateInvalid the template of Promoted:": func(s *v1alpha1.NotifierSpec) { s.Triggers[1].Template = "{{.Rollout" },
	} {
		spec := good.DeepCopy()
		edit(spec)
		err := Check(spec)
		if err == nil || !strings.HasPrefix(string(ReasonOf(err))+" "+err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

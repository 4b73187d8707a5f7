package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func alertRules() []AlertRule {
	return []AlertRule{
		{Name: "abort", Action: v1alpha1.AlertActionAbort, AfterPromotion: 25 * time.Minute, HoldUnknown: true},
		{Name: "pause", Action: v1alpha1.AlertActionPause},
		{Name: "hold", Action: v1alpha1.AlertActionHold, HoldUnknown: true},
	}
}

// alert gives a command as an alert that began just now does.
func (s *story) alert(kind v1alpha1.ActionType, a AlertAction) {
	if a.StartsAt.IsZero() {
		a.StartsAt = s.now
	}
	s.does(fmt.Sprintf("an alert fires, to %s the release of b", kind), func() {
		s.spec.Alerts = alertRules()
		s.act(kind, "b")
		last := s.actions[len(s.actions)-1]
		last.By, last.Why, last.Alert = "the alert receiver", "alert ErrorRate fires", &a
	})
}

func drawAlertRules(t *rapid.T) []AlertRule {
	rules := alertRules()
	for i := range rules {
		rules[i].DryRun = rapid.IntRange(0, 5).Draw(t, "dry run") == 0
		switch rapid.IntRange(0, 4).Draw(t, "window") {
		case 0:
			rules[i].Steps = []string{rapid.SampledFrom([]string{"p", "q", PromotionStep}).Draw(t, "step")}
		}
	}
	rules[0].Service = rapid.IntRange(0, 3).Draw(t, "service") == 0
	rules[0].AfterPromotion = rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "after")
	return rules[:rapid.IntRange(0, 3).Draw(t, "rules")]
}

func drawAlerts(t *rapid.T, now time.Time) Alerts {
	a := Alerts{Pushed: rapid.Bool().Draw(t, "pushed"), Exact: rapid.Bool().Draw(t, "exact"), Asked: now}
	switch rapid.IntRange(0, 3).Draw(t, "alerts") {
	case 0:
		a.Unknown = "nobody answers"
	case 1:
		a.Holding = []HoldingAlert{{Rule: "hold", Message: "fires"}}
		a.Firing, a.Seen = []string{"f1", "f2"}, []string{"f1"}
		if rapid.Bool().Draw(t, "stable's fires, too") {
			a.StableFires = []string{"abort"}
		}
		a.Changes = now.Add(time.Minute)
	}
	return a
}

func (m *machine) alertCommand() {
	kind := rapid.SampledFrom([]v1alpha1.ActionType{v1alpha1.ActionAbort, v1alpha1.ActionPause, v1alpha1.ActionPromote}).Draw(m.t, "kind")
	revision := m.position.Canary
	switch {
	case revision == "" && m.position.After != nil:
		revision = m.position.Stable
	case revision == "":
		revision = m.revision()
	}
	m.act(kind, revision)
	a := AlertAction{
		Rule:        rapid.SampledFrom([]string{"abort", "pause", "hold", "gone"}).Draw(m.t, "rule"),
		StartsAt:    m.now.Add(-rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(m.t, "began")),
		Fingerprint: rapid.SampledFrom([]string{"f1", "f3"}).Draw(m.t, "fingerprint"),
		DryRun:      rapid.IntRange(0, 5).Draw(m.t, "dry") == 0,
		ReceivedAt:  m.now,
	}
	if rapid.IntRange(0, 3).Draw(m.t, "lasts") == 0 {
		a.NotBefore = m.now.Add(time.Minute)
	}
	if rapid.IntRange(0, 3).Draw(m.t, "barred") == 0 {
		a.Barred = "too many"
	}
	m.actions[len(m.actions)-1].Alert = &a
}

// alertCounts reports whether a command is a person's, or an alert's that nothing
// speaks against.
func (x oracle) alertCounts(a Action) bool {
	alert, was := a.Alert, x.o.Position
	if alert == nil {
		return true
	}
	if alert.Rule != "abort" || len(x.o.Spec.Alerts) == 0 || alert.DryRun || alert.Barred != "" || x.o.Now.Before(alert.NotBefore) {
		return false
	}
	if x.alertWaits(alert) {
		return false
	}
	rule := x.o.Spec.Alerts[0]
	var began time.Time
	var inForce bool
	if was.Step != nil {
		began, inForce = was.Step.EnteredAt, len(rule.Steps) == 0
	} else {
		began = was.After.PromotedAt
		inForce = x.o.Now.Before(began.Add(rule.AfterPromotion))
	}
	if b := was.AlertBaseline; b != nil && b.Attempt == was.Attempt {
		if slices.Contains(b.Firing, alert.Fingerprint) || slices.Contains(b.Handled, AlertKey(alert.Rule, alert.Fingerprint)) {
			return false
		}
		began = b.Since
	}
	return inForce && !alert.StartsAt.Before(began) && x.o.Spec.DeletedAt == nil
}

// alertWaits reports whether an alert's command has to wait for what is seen, or needs
// a person.
func (x oracle) alertWaits(alert *AlertAction) bool {
	known, service := x.o.Alerts, x.o.Spec.Alerts[0].Service
	switch {
	case known.Pushed:
		return service
	case service && (known.Unknown != "" || known.Asked.Before(alert.ReceivedAt) || len(known.StableFires) > 0):
		return true
	}
	return known.Unknown == "" && known.Exact && !alert.NotBefore.IsZero() && !slices.Contains(known.Seen, alert.Fingerprint)
}

// releasing is a Rollout whose canary has been in force in its step for a minute.
func releasing(edit ...func(*Observed)) Observed {
	began := epoch.Add(-10 * time.Minute)
	since := epoch.Add(-time.Minute)
	w := newWorld(4, Step{Name: "quarter", Weight: 25, Bake: time.Hour}, Step{Name: "half", Weight: 50})
	w.spec.Revision, w.spec.Alerts = "b", alertRules()
	w.nets = []simNet{{at: began, stable: "a", canary: "b", weights: []int32{25, 25}}}
	w.scale(ScaleIntent{"a", 4})
	w.scale(ScaleIntent{"b", 1})
	for _, set := range w.sets {
		for i := range set.pods {
			set.pods[i].availableAt = began
		}
	}
	w.position = Position{
		Stable: "a", Proven: 4, Canary: "b", Attempt: 3,
		Step:          &StepPosition{Name: "quarter", Weight: 25, EnteredAt: since, InForceSince: &since, Progress: 1, ProgressAt: began},
		AlertBaseline: &AlertBaseline{Attempt: 3, Since: began, Firing: []string{"old"}},
	}
	o := w.observe()
	o.Alerts.Firing = []string{"old"}
	o.Routing.Since = began
	for _, e := range edit {
		e(&o)
	}
	return o
}

func withAlert(kind v1alpha1.ActionType, a AlertAction) func(*Observed) {
	if a.StartsAt.IsZero() {
		a.StartsAt = epoch.Add(-time.Second)
	}
	return func(o *Observed) {
		o.Actions = append(o.Actions, Action{UID: "u", Name: "x", Type: kind, Revision: "b", CreatedAt: epoch, TimeToLive: time.Hour, Alert: &a})
	}
}

// ofService has the rule that aborts look at stable, too; the latest answer is a second
// old.
func ofService(o *Observed) {
	o.Spec.Alerts[0].Service = true
	o.Alerts.Asked = epoch.Add(-time.Second)
}

// TestAlertCommands asks what becomes of a command that an alert gave.
func TestAlertCommands(t *testing.T) {
	abort, pause := v1alpha1.ActionAbort, v1alpha1.ActionPause
	for name, tc := range map[string]struct {
		kind    v1alpha1.ActionType
		alert   AlertAction
		edit    func(*Observed)
		aborted string // the reason
		paused  string // the reason
		refused string // the reason
		waits   time.Duration
	}{
		"aborts": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring},
		"pauses": {kind: pause, alert: AlertAction{Rule: "pause"}, paused: v1alpha1.ReasonPaused},
		"is barred": {kind: abort, alert: AlertAction{Rule: "abort", Barred: "too many"},
			paused: v1alpha1.ReasonAlertBreakerOpen, refused: v1alpha1.ReasonAlertBreakerOpen},
		"was acted on": {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "f"}, refused: v1alpha1.ReasonAlertHandled,
			edit: func(o *Observed) { o.Position.AlertBaseline.Handled = []string{"abort/f"} }},
		"was acted on by another rule": {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "f"}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Position.AlertBaseline.Handled = []string{"pause/f"} }},
		"lasts, and is seen": {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "f", NotBefore: epoch}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Alerts = Alerts{Exact: true, Seen: []string{"f"}, Firing: []string{"f"}} }},
		"lasts, and is missing": {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "f", NotBefore: epoch}, waits: alertRecheck,
			edit: func(o *Observed) { o.Alerts = Alerts{Exact: true, Firing: []string{"f"}} }},
		"of the service, before anybody looked": {kind: abort, alert: AlertAction{Rule: "abort", ReceivedAt: epoch}, waits: alertRecheck, edit: ofService},
		"of the service, and nobody can see": {kind: abort, alert: AlertAction{Rule: "abort"}, waits: alertRecheck,
			edit: func(o *Observed) { ofService(o); o.Alerts.Unknown = "nobody answers" }},
		"of the service, while stable's fires, too": {kind: abort, alert: AlertAction{Rule: "abort"}, waits: alertRecheck,
			edit: func(o *Observed) { ofService(o); o.Alerts.StableFires = []string{"abort"} }},
		"of the service alone": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring, edit: ofService},
		"of the service, and nobody looks": {kind: abort, alert: AlertAction{Rule: "abort"},
			paused: v1alpha1.ReasonAlertsUnknown, refused: v1alpha1.ReasonAlertsUnknown,
			edit: func(o *Observed) { ofService(o); o.Alerts = Alerts{Pushed: true, Unknown: "nobody asks"} }},
		"does not last yet":   {kind: abort, alert: AlertAction{Rule: "abort", NotBefore: epoch.Add(time.Minute)}, waits: time.Minute},
		"lasts":               {kind: abort, alert: AlertAction{Rule: "abort", NotBefore: epoch}, aborted: v1alpha1.ReasonAlertFiring},
		"on trial":            {kind: abort, alert: AlertAction{Rule: "abort", DryRun: true}, refused: v1alpha1.ReasonDryRun},
		"began before":        {kind: abort, alert: AlertAction{Rule: "abort", StartsAt: epoch.Add(-11 * time.Minute)}, refused: v1alpha1.ReasonAlertRuleChanged},
		"fired before":        {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "old"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"fires again":         {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "new"}, aborted: v1alpha1.ReasonAlertFiring},
		"of a rule that went": {kind: abort, alert: AlertAction{Rule: "gone"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"of a changed rule":   {kind: abort, alert: AlertAction{Rule: "pause"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"of a forged kind":    {kind: v1alpha1.ActionPromoteFull, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"outside of its steps": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonAlertRuleChanged,
			edit: func(o *Observed) { o.Spec.Alerts[0].Steps = []string{"half"} }},
		"within its steps": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Spec.Alerts[0].Steps = []string{"quarter"} }},
		"after the next revision started": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonRevisionMismatch,
			edit: func(o *Observed) { o.Actions[0].Revision = "earlier" }},
		"after an abort": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonNothingInProgress, aborted: v1alpha1.ReasonAnalysisFailed,
			edit: func(o *Observed) {
				o.Position.Step, o.Position.Abort = nil, &Abort{Reason: v1alpha1.ReasonAnalysisFailed}
			}},
		"while the routing is away": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Routing = Routing{} }},
		"while the spec is broken": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Spec.Problem = &Problem{Reason: v1alpha1.ReasonInvalidSpec} }},
		"while alerts cannot be seen": {kind: abort, alert: AlertAction{Rule: "abort"}, aborted: v1alpha1.ReasonAlertFiring,
			edit: func(o *Observed) { o.Alerts = Alerts{Unknown: "nobody answers"} }},
	} {
		t.Run(name, func(t *testing.T) {
			o := releasing(withAlert(tc.kind, tc.alert))
			if tc.edit != nil {
				tc.edit(&o)
			}
			p := Decide(o)
			var aborted, paused, refused string
			if p.Position.Abort != nil {
				aborted = p.Position.Abort.Reason
			}
			if p.Position.Pause != nil {
				paused = p.Position.Pause.Reason
			}
			for _, outcome := range p.Actions {
				if !outcome.Applied {
					refused = outcome.Reason
				}
			}
			got := []string{aborted, paused, refused}
			if diff := cmp.Diff([]string{tc.aborted, tc.paused, tc.refused}, got); diff != "" {
				t.Errorf("aborted, paused, refused (-want +got):\n%s\n%+v", diff, p.Actions)
			}
			if tc.waits > 0 && (len(p.Actions) > 0 || p.RequeueAfter != tc.waits) {
				t.Errorf("waits %s with %v, want %s", p.RequeueAfter, p.Actions, tc.waits)
			}
			if tc.aborted == v1alpha1.ReasonAlertFiring && o.Routing.Known && (p.Split == nil || p.Split.Weight != 0) {
				t.Errorf("split %v: the weight is not taken back at once", p.Split)
			}
		})
	}
}

// promoted is a Rollout whose canary became stable five minutes ago, and is watched.
func promoted(edit ...func(*Observed)) Observed {
	return releasing(append([]func(*Observed){func(o *Observed) {
		o.Spec.AfterBake, o.Spec.KeepPrevious = 10*time.Minute, time.Hour
		o.Spec.Alerts[0].AfterPromotion = 20 * time.Minute
		p := &o.Position
		p.Stable, p.Canary, p.Step = "b", "", nil
		p.After = &After{Previous: "a", Proven: 4, PromotedAt: epoch.Add(-5 * time.Minute)}
		o.ReplicaSets[1].Desired, o.ReplicaSets[1].Replicas, o.ReplicaSets[1].Available = 4, 4, 4
		o.Routing.State.Stable, o.Routing.State.Canary = "b", "a"
		o.Routing.State.MinWeight, o.Routing.State.MaxWeight = 0, 0
	}}, edit...)...)
}

// TestAlertsAfterPromotion asks what becomes of an alert's command after the promotion.
func TestAlertsAfterPromotion(t *testing.T) {
	abort := v1alpha1.ActionAbort
	at := func(after time.Duration) func(*Observed) {
		return func(o *Observed) {
			o.Now = o.Position.After.PromotedAt.Add(after)
			o.Actions[0].CreatedAt, o.Actions[0].Alert.StartsAt = o.Now, o.Now.Add(-time.Second)
		}
	}
	for name, tc := range map[string]struct {
		kind    v1alpha1.ActionType
		alert   AlertAction
		edit    func(*Observed)
		back    bool
		refused string // the reason
	}{
		"takes it back":            {kind: abort, alert: AlertAction{Rule: "abort"}, back: true},
		"after the metrics' bake":  {kind: abort, alert: AlertAction{Rule: "abort"}, edit: at(19 * time.Minute), back: true},
		"too late":                 {kind: abort, alert: AlertAction{Rule: "abort"}, edit: at(20 * time.Minute), refused: v1alpha1.ReasonAlertRuleChanged},
		"began during the release": {kind: abort, alert: AlertAction{Rule: "abort", StartsAt: epoch.Add(-9 * time.Minute)}, back: true},
		"began before the release": {kind: abort, alert: AlertAction{Rule: "abort", StartsAt: epoch.Add(-11 * time.Minute)}, refused: v1alpha1.ReasonAlertRuleChanged},
		"fired before the release": {kind: abort, alert: AlertAction{Rule: "abort", Fingerprint: "old"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"has nothing to pause":     {kind: v1alpha1.ActionPause, alert: AlertAction{Rule: "pause"}, refused: v1alpha1.ReasonAlertRuleChanged},
		"is barred":                {kind: abort, alert: AlertAction{Rule: "abort", Barred: "too many"}, refused: v1alpha1.ReasonAlertBreakerOpen},
		"on trial":                 {kind: abort, alert: AlertAction{Rule: "abort", DryRun: true}, refused: v1alpha1.ReasonDryRun},
		"while alerts cannot be seen": {kind: abort, alert: AlertAction{Rule: "abort"}, back: true,
			edit: func(o *Observed) { o.Alerts = Alerts{Unknown: "nobody answers"} }},
		"names the previous revision": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonNothingInProgress,
			edit: func(o *Observed) { o.Actions[0].Revision = "a" }},
		"when somebody deleted what is kept": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonNothingInProgress,
			edit: func(o *Observed) { o.ReplicaSets = o.ReplicaSets[1:] }},
		"when nothing is kept": {kind: abort, alert: AlertAction{Rule: "abort"}, refused: v1alpha1.ReasonNothingInProgress,
			edit: func(o *Observed) { o.Position.After = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			o := promoted(withAlert(tc.kind, tc.alert))
			if tc.edit != nil {
				tc.edit(&o)
			}
			p := Decide(o)
			if back := p.Position.Stable == "a"; back != tc.back {
				t.Errorf("taken back is %v: %+v", back, p.Actions)
			}
			if tc.back && (p.Split == nil || p.Split.Weight != 100 && p.Split.Stable != "a" || p.Position.Abort.Reason != v1alpha1.ReasonAlertFiring) {
				t.Errorf("split %+v, abort %+v", p.Split, p.Position.Abort)
			}
			var refused string
			for _, outcome := range p.Actions {
				if !outcome.Applied {
					refused = outcome.Reason
				}
			}
			if refused != tc.refused {
				t.Errorf("refused %q, want %q: %+v", refused, tc.refused, p.Actions)
			}
		})
	}
}

// TestHeldByAlert asks what keeps a release from advancing.
func TestHeldByAlert(t *testing.T) {
	holding := Alerts{Holding: []HoldingAlert{{Rule: "hold", Message: "alert Incident fires"}}}
	unknown := Alerts{Unknown: "nobody answers"}
	for name, tc := range map[string]struct {
		alerts Alerts
		edit   func(*Observed)
		want   string
	}{
		"nothing fires":  {want: v1alpha1.ReasonBaking},
		"an alert fires": {alerts: holding, want: v1alpha1.ReasonAlertFiring},
		"another rule's": {alerts: Alerts{Holding: []HoldingAlert{{Rule: "gone"}}}, want: v1alpha1.ReasonBaking},
		"nobody can see": {alerts: unknown, want: v1alpha1.ReasonAlertsUnknown},
		"nobody can see, ignored": {alerts: unknown, want: v1alpha1.ReasonBaking,
			edit: func(o *Observed) { o.Spec.Alerts = o.Spec.Alerts[1:2] }},
		"told, not asked": {alerts: Alerts{Unknown: "nobody asks", Pushed: true}, want: v1alpha1.ReasonBaking,
			edit: func(o *Observed) { o.Spec.Alerts = o.Spec.Alerts[:2] }},
		"told, not asked, but a rule holds": {alerts: Alerts{Unknown: "nobody asks", Pushed: true}, want: v1alpha1.ReasonAlertsUnknown},
		"on trial":                          {alerts: holding, want: v1alpha1.ReasonBaking, edit: func(o *Observed) { o.Spec.Alerts[2].DryRun = true }},
		"outside of its steps": {alerts: holding, want: v1alpha1.ReasonBaking,
			edit: func(o *Observed) { o.Spec.Alerts[2].Steps = []string{"half"} }},
	} {
		t.Run(name, func(t *testing.T) {
			o := releasing(func(o *Observed) { o.Alerts = tc.alerts })
			if tc.edit != nil {
				tc.edit(&o)
			}
			p := Decide(o)
			if p.Verdict.Reconciling == nil || p.Verdict.Reconciling.Reason != tc.want {
				t.Errorf("got %+v, want %s", p.Verdict.Reconciling, tc.want)
			}
			o.Now = o.Now.Add(2 * time.Hour)
			advanced := Decide(o).Position.Step.Name != "quarter"
			if advanced != (tc.want == v1alpha1.ReasonBaking) {
				t.Errorf("after the bake advanced is %v", advanced)
			}
		})
	}
}

// TestAlertBaseline holds that what fires as a release begins is noted, and counts
// again once it was resolved.
func TestAlertBaseline(t *testing.T) {
	o := releasing(func(o *Observed) { o.Position.AlertBaseline = nil; o.Alerts.Firing = []string{"y", "x", "y"} })
	p := Decide(o)
	want := &AlertBaseline{Attempt: 3, Since: o.Position.Step.EnteredAt, Firing: []string{"x", "y"}}
	if diff := cmp.Diff(want, p.Position.AlertBaseline); diff != "" {
		t.Fatalf("baseline (-want +got):\n%s", diff)
	}
	o.Position = p.Position
	for _, step := range []struct {
		alerts Alerts
		want   []string
	}{
		{Alerts{Unknown: "nobody answers"}, []string{"x", "y"}},
		{Alerts{Firing: []string{"y", "z"}}, []string{"y"}},
		{Alerts{Firing: []string{"x", "y"}}, []string{"y"}},
		{Alerts{}, []string{}},
	} {
		o.Alerts = step.alerts
		p = Decide(o)
		if diff := cmp.Diff(step.want, p.Position.AlertBaseline.Firing); diff != "" {
			t.Errorf("with %+v (-want +got):\n%s", step.alerts, diff)
		}
		o.Position = p.Position
	}
}

// TestHandledAlerts holds that what a person made of an alert stands while it fires, is
// forgotten when it is resolved, and not for an answer that was asked for before.
func TestHandledAlerts(t *testing.T) {
	o := releasing(withAlert(v1alpha1.ActionPause, AlertAction{Rule: "pause", Fingerprint: "f", ReceivedAt: epoch}))
	o.Alerts = Alerts{Exact: true, Asked: epoch.Add(-time.Second)}
	p := Decide(o)
	for _, step := range []struct {
		what   string
		alerts Alerts
		want   []string
	}{
		{"asked before", Alerts{Exact: true, Asked: epoch.Add(-time.Second)}, []string{"pause/f"}},
		{"it fires", Alerts{Exact: true, Asked: epoch.Add(time.Second), Firing: []string{"f"}}, []string{"pause/f"}},
		{"nobody knows", Alerts{Unknown: "nobody answers"}, []string{"pause/f"}},
		{"another server answers", Alerts{Asked: epoch.Add(time.Second)}, []string{"pause/f"}},
		{"it is resolved", Alerts{Exact: true, Asked: epoch.Add(2 * time.Second)}, []string{}},
	} {
		o.Position, o.Alerts = p.Position, step.alerts
		p = Decide(o)
		if diff := cmp.Diff(step.want, p.Position.AlertBaseline.Handled); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
}

// TestPausedPromotionGoesOn holds that a pause in the final move has a way out.
func TestPausedPromotionGoesOn(t *testing.T) {
	since := epoch.Add(-time.Minute)
	o := releasing(func(o *Observed) {
		o.Position.Step = &StepPosition{Index: 2, Name: PromotionStep, Weight: 100, EnteredAt: since, InForceSince: &since, ProgressAt: since}
		o.Position.Pause = &Pause{Reason: v1alpha1.ReasonPaused, Message: "paused", At: since}
		o.ReplicaSets[1].Desired, o.ReplicaSets[1].Replicas, o.ReplicaSets[1].Available = 4, 4, 4
		o.Routing.State.MinWeight, o.Routing.State.MaxWeight = 100, 100
	})
	if p := Decide(o); p.Split != nil || p.Position.Pause == nil {
		t.Fatalf("a paused promotion moves: %+v", p.Split)
	}
	o.Actions = []Action{{UID: "u", Name: "x", Type: v1alpha1.ActionPromote, Revision: "b", CreatedAt: epoch, TimeToLive: time.Hour}}
	p := Decide(o)
	if p.Position.Pause != nil || p.Split == nil || p.Split.Stable != "b" || !p.Actions[0].Applied {
		t.Errorf("it does not go on: pause %v, split %v, %v", p.Position.Pause, p.Split, p.Actions)
	}
}

// TestAlertWindow asks when a rule is in force.
func TestAlertWindow(t *testing.T) {
	for _, tc := range []struct {
		rule  AlertRule
		step  string
		after time.Duration
		want  bool
	}{
		{AlertRule{}, "any", time.Hour, true},
		{AlertRule{}, PromotionStep, time.Hour, true},
		{AlertRule{Steps: []string{"half"}}, "half", 0, true},
		{AlertRule{Steps: []string{"half"}}, "all", 0, false},
		{AlertRule{Steps: []string{"half"}}, PromotionStep, 0, false},
		{AlertRule{}, AfterPromotionStep, 0, false},
		{AlertRule{Steps: []string{"half"}, AfterPromotion: time.Minute}, PromotionStep, 0, false},
		{AlertRule{Steps: []string{"half"}, AfterPromotion: time.Minute}, AfterPromotionStep, 59 * time.Second, true},
		{AlertRule{Steps: []string{"half"}, AfterPromotion: time.Minute}, AfterPromotionStep, time.Minute, false},
		{AlertRule{AfterPromotion: time.Minute}, "any", time.Hour, true},
	} {
		if got := tc.rule.InForce(tc.step, epoch, epoch.Add(tc.after)); got != tc.want {
			t.Errorf("%+v in %s after %s: %v", tc.rule, tc.step, tc.after, got)
		}
	}
}

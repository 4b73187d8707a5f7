package alerts

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// specs are alert rules by name.
func specs(names ...string) []v1alpha1.AlertRule {
	all := map[string]v1alpha1.AlertRule{
		"abort":   {},
		"service": {Scope: v1alpha1.AlertScopeService},
		"lasting": {For: &metav1.Duration{Duration: time.Minute}},
		"hold":    {Action: v1alpha1.AlertActionHold},
		"holdall": {Action: v1alpha1.AlertActionHold, Scope: v1alpha1.AlertScopeService},
		"window":  {During: &v1alpha1.AlertWindow{Steps: []string{"half"}}},
		"pause":   {Action: v1alpha1.AlertActionPause},
		"dry":     {DryRun: true},
	}
	var out []v1alpha1.AlertRule
	for _, name := range names {
		spec := all[name]
		spec.Name, spec.Matchers = name, []string{`severity="page"`}
		out = append(out, spec)
	}
	return out
}

// sampleTarget began at noon less 10 minutes, and has had its weight for 5.
func sampleTarget() Target {
	return Target{
		Rollout: types.NamespacedName{Namespace: "shop", Name: "checkout"}, UID: "uid-1", Canary: "new", Stable: "old",
		Step: "quarter", Weight: 25, Entered: noon.Add(-6 * time.Minute), InForce: noon.Add(-5 * time.Minute),
		Since: noon.Add(-10 * time.Minute), FiringBefore: []string{"before"},
	}
}

// sampleAlert fires since a time before noon; labels are name=value.
func sampleAlert(ago time.Duration, labels ...string) Alert {
	a := Alert{Labels: map[string]string{"alertname": "ErrorRate", "severity": "page"}, StartsAt: noon.Add(-ago), Firing: true}
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		a.Labels[name] = value
	}
	a.Fingerprint = fingerprint(a.Labels)
	return a
}

func TestBind(t *testing.T) {
	const ofCanary, ofStable = "destination_canonical_revision=new", "destination_canonical_revision=old"
	canary := sampleAlert(time.Minute, ofCanary)
	resolved, before, missing := canary, canary, canary
	resolved.Firing, before.Fingerprint, missing.Lingering = false, "before", true
	sinceBefore := sampleAlert(11 * time.Minute)
	sinceBefore.Fingerprint = "before"
	none, hold, act := EffectNone, EffectHold, EffectAct
	for name, tc := range map[string]struct {
		rule   string
		alerts []Alert
		edit   func(*Target)
		want   Effect // of the first alert; empty for no finding
	}{
		"names the canary":                        {"abort", []Alert{canary}, nil, act},
		"names stable":                            {"abort", []Alert{sampleAlert(time.Minute, ofStable)}, nil, none},
		"names an earlier revision":               {"abort", []Alert{sampleAlert(time.Minute, "destination_canonical_revision=older")}, nil, none},
		"names nobody":                            {"abort", []Alert{sampleAlert(time.Minute)}, nil, none},
		"is resolved":                             {"abort", []Alert{resolved}, nil, ""},
		"is another alert":                        {"abort", []Alert{sampleAlert(time.Minute, ofCanary, "severity=info")}, nil, ""},
		"is of another namespace":                 {"abort", []Alert{sampleAlert(time.Minute, ofCanary, "destination_workload_namespace=staging")}, nil, ""},
		"is of this namespace":                    {"abort", []Alert{sampleAlert(time.Minute, ofCanary, "destination_workload_namespace=shop")}, nil, act},
		"began before this release of the canary": {"abort", []Alert{sampleAlert(11*time.Minute, ofCanary)}, nil, hold},
		"fired when the canary's release began":   {"abort", []Alert{before}, nil, hold},
		"service: fired when the release began":   {"service", []Alert{sinceBefore}, nil, none},
		"is missing, not for long":                {"abort", []Alert{missing}, nil, hold},
		"was acted on":                            {"abort", []Alert{canary}, func(t *Target) { t.Handled = []string{"abort/" + canary.Fingerprint} }, none},
		"was acted on, but is there to hold":      {"hold", []Alert{canary}, func(t *Target) { t.Handled = []string{"hold/" + canary.Fingerprint} }, hold},
		"was acted on by another rule":            {"abort", []Alert{canary}, func(t *Target) { t.Handled = []string{"pause/" + canary.Fingerprint} }, act},
		"claims the future":                       {"abort", []Alert{sampleAlert(-time.Hour, ofCanary)}, nil, none},
		"out of the window":                       {"window", []Alert{canary}, nil, none},
		"in the window":                           {"window", []Alert{canary}, func(t *Target) { t.Step = "half" }, act},
		"canary and stable, scope canary":         {"abort", []Alert{canary, sampleAlert(time.Hour, ofStable)}, nil, act},
		"service: names nobody, in force":         {"service", []Alert{sampleAlert(time.Minute)}, nil, act},
		"service: names nobody, before in force":  {"service", []Alert{sampleAlert(6 * time.Minute)}, nil, hold},
		"service: names nobody, not in force":     {"service", []Alert{sampleAlert(time.Minute)}, func(t *Target) { t.InForce = time.Time{} }, hold},
		"service: names nobody, no traffic":       {"service", []Alert{sampleAlert(time.Minute)}, func(t *Target) { t.Weight = 0 }, hold},
		"service: names nobody, before release":   {"service", []Alert{sampleAlert(11 * time.Minute)}, nil, none},
		"service: stable suffers too":             {"service", []Alert{sampleAlert(time.Minute), sampleAlert(time.Hour, ofStable)}, nil, hold},
		"service: canary, and stable suffers too": {"service", []Alert{canary, sampleAlert(time.Hour, ofStable)}, nil, hold},
		"service: names stable":                   {"service", []Alert{sampleAlert(time.Minute, ofStable)}, nil, hold},
		"service: names an earlier revision":      {"service", []Alert{sampleAlert(time.Minute, "destination_canonical_revision=older")}, nil, none},
		"hold: names the canary":                  {"hold", []Alert{sampleAlert(time.Hour, ofCanary)}, nil, hold},
		"hold: names nobody":                      {"hold", []Alert{sampleAlert(time.Hour)}, nil, none},
		"hold: service, an old incident":          {"holdall", []Alert{sampleAlert(24 * time.Hour)}, nil, hold},
		"pause":                                   {"pause", []Alert{canary}, nil, act},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := ParseRules(&v1alpha1.RolloutSpec{Alerts: specs(tc.rule)})
			if err != nil {
				t.Fatal(err)
			}
			target := sampleTarget()
			if tc.edit != nil {
				tc.edit(&target)
			}
			var got Effect
			why := ""
			for _, f := range Bind(&rules[0], &target, tc.alerts, noon) {
				if f.Alert == &tc.alerts[0] {
					got, why = f.Effect, f.Why
				}
			}
			if got != tc.want {
				t.Errorf("got %q (%s), want %q", got, why, tc.want)
			}
		})
	}
}

// TestForCountsFromTheStart holds that an alert that flaps begins anew each time.
func TestForCountsFromTheStart(t *testing.T) {
	rules, err := ParseRules(&v1alpha1.RolloutSpec{Alerts: specs("lasting")})
	if err != nil {
		t.Fatal(err)
	}
	target := sampleTarget()
	for _, ago := range []time.Duration{10 * time.Second, 50 * time.Second, 2 * time.Minute} {
		a := sampleAlert(ago, "destination_canonical_revision=new")
		f := Bind(&rules[0], &target, []Alert{a}, noon)[0]
		if want := a.StartsAt.Add(time.Minute); !f.From.Equal(want) {
			t.Errorf("from %s, want %s", f.From, want)
		}
		m := match{f, &target}
		action := makeAction(&m, "somebody", 0, 1, noon)
		if waits := action.Spec.Alert.NotBefore != nil; waits != (ago < time.Minute) {
			t.Errorf("after %s it waits: %v", ago, waits)
		}
	}
}

// TestActionName holds that a delivery that comes again has the same name, and that
// another episode, revision, Rollout or rule has not.
func TestActionName(t *testing.T) {
	target, alert := sampleTarget(), sampleAlert(time.Minute)
	name := actionName("abort", &target, &alert, 0)
	if again := actionName("abort", &target, &alert, 0); again != name {
		t.Errorf("%s, then %s", name, again)
	}
	seen := map[string]string{name: "the first"}
	for what, edit := range map[string]func(*Target, *Alert){
		"another episode":  func(_ *Target, a *Alert) { a.StartsAt = a.StartsAt.Add(time.Millisecond) },
		"another alert":    func(_ *Target, a *Alert) { a.Fingerprint = "other" },
		"another revision": func(t *Target, _ *Alert) { t.Canary = "newer" },
		"another Rollout":  func(t *Target, _ *Alert) { t.UID = "uid-2" },
	} {
		target, alert := sampleTarget(), sampleAlert(time.Minute)
		edit(&target, &alert)
		other := actionName("abort", &target, &alert, 0)
		if was, ok := seen[other]; ok {
			t.Errorf("%s has the name of %s", what, was)
		}
		seen[other] = what
	}
	for what, other := range map[string]string{
		"another rule": actionName("other", &target, &alert, 0), "the next episode": actionName("abort", &target, &alert, 1),
	} {
		if _, ok := seen[other]; ok {
			t.Errorf("%s has the same name", what)
		}
	}
}

// TestTargetOf holds that only a release in progress can be acted on.
func TestTargetOf(t *testing.T) {
	began := metav1.NewMicroTime(noon)
	releasing := func() *v1alpha1.Rollout {
		return &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
			Attempt: 2, Stable: &v1alpha1.RevisionStatus{Revision: "old"}, Canary: &v1alpha1.RevisionStatus{Revision: "new"},
			Step:   &v1alpha1.StepStatus{Name: "half", EnteredAt: metav1.NewMicroTime(noon.Add(time.Minute))},
			Alerts: &v1alpha1.AlertsStatus{Attempt: 2, Since: began, FiringBefore: []string{"x"}},
		}}
	}
	if target, ok := TargetOf(releasing()); !ok || !target.Since.Equal(noon) || len(target.FiringBefore) != 1 {
		t.Errorf("%v %+v", ok, target)
	}
	earlier := releasing()
	earlier.Status.Alerts.Attempt = 1
	if target, _ := TargetOf(earlier); !target.Since.Equal(noon.Add(time.Minute)) || target.FiringBefore != nil {
		t.Errorf("what was noted of an earlier attempt counts: %+v", target)
	}
	for what, edit := range map[string]func(*v1alpha1.Rollout){
		"at rest":    func(r *v1alpha1.Rollout) { r.Status.Canary = nil },
		"aborted":    func(r *v1alpha1.Rollout) { r.Status.Step, r.Status.Abort = nil, &v1alpha1.AbortStatus{} },
		"on its way": func(r *v1alpha1.Rollout) { r.DeletionTimestamp = &metav1.Time{Time: noon} },
	} {
		r := releasing()
		edit(r)
		if _, ok := TargetOf(r); ok {
			t.Errorf("%s, there is a release", what)
		}
	}
}

package alerts

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

// clockSkew is how far ahead of ours another clock may be.
const clockSkew = time.Minute

// Target is a release that alerts may end, as far as they go by it: one in progress,
// or one that was promoted while the revision before is kept ready to return.
type Target struct {
	Rollout types.NamespacedName
	UID     types.UID
	// Canary is being released over Stable, in a step that was entered then and that
	// has had its weight since InForce; zero for not yet. After its promotion they are
	// what was the canary and what was stable.
	Canary, Stable string
	Step           string
	Weight         int32
	Entered        time.Time
	InForce        time.Time
	// Since is when the attempt began, and FiringBefore what fired then.
	Since        time.Time
	FiringBefore []string
	// Handled is what was acted on already, as plan.AlertKey names it.
	Handled []string
}

// TargetOf returns the release of a Rollout that alerts may end, if there is one.
func TargetOf(r *v1alpha1.Rollout) (Target, bool) {
	s := &r.Status
	t := Target{Rollout: types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, UID: r.UID}
	switch {
	case r.DeletionTimestamp != nil || s.Abort != nil:
		return Target{}, false
	case s.Canary != nil && s.Step != nil:
		t.inStep(s)
	case s.Canary == nil && s.Stable != nil && s.AfterPromotion != nil:
		t.afterPromotion(s)
	default:
		return Target{}, false
	}
	if s.Alerts != nil && s.Alerts.Attempt == s.Attempt {
		t.Since, t.FiringBefore, t.Handled = s.Alerts.Since.Time, s.Alerts.FiringBefore, s.Alerts.Handled
	}
	return t, true
}

func (t *Target) inStep(s *v1alpha1.RolloutStatus) {
	t.Canary, t.Step, t.Weight = s.Canary.Revision, s.Step.Name, s.Step.Weight
	t.Entered, t.Since = s.Step.EnteredAt.Time, s.Step.EnteredAt.Time
	if s.Stable != nil {
		t.Stable = s.Stable.Revision
	}
	if s.Step.InForceSince != nil {
		t.InForce = s.Step.InForceSince.Time
	}
}

func (t *Target) afterPromotion(s *v1alpha1.RolloutStatus) {
	promoted := s.AfterPromotion.PromotedAt.Time
	t.Canary, t.Stable, t.Step, t.Weight = s.Stable.Revision, s.AfterPromotion.Previous, v1alpha1.AfterPromotionStep, 100
	t.Entered, t.Since, t.InForce = promoted, promoted, promoted
}

// Effect is what an alert means for a release.
type Effect string

// Values of Effect.
const (
	// EffectNone: the alert is not about the release.
	EffectNone Effect = "None"
	// EffectHold: the release is not to advance while the alert fires.
	EffectHold Effect = "Hold"
	// EffectAct: the rule's action is due.
	EffectAct Effect = "Act"
)

// Finding is what one alert means by one rule.
type Finding struct {
	Rule   *Rule
	Alert  *Alert
	Effect Effect
	// Why is for people.
	Why string
	// From is when the effect begins: the alert has lasted for long enough then.
	From time.Time
}

// Bind finds out what alerts mean for a release by a rule. Alerts that the rule
// does not select have no finding.
func Bind(rule *Rule, t *Target, alerts []Alert, now time.Time) []Finding {
	var findings []Finding
	stable := stableFires(rule, t, alerts)
	for i := range alerts {
		a := &alerts[i]
		if !a.Firing || !rule.selects(a, t.Rollout.Namespace) {
			continue
		}
		f := Finding{Rule: rule, Alert: a, From: a.StartsAt.Add(rule.forAtLeast)}
		f.Effect, f.Why = effect(rule, t, a, now)
		if f.Effect == EffectAct && stable && rule.scope == v1alpha1.AlertScopeService {
			f.Effect, f.Why = EffectHold, "an alert of the same rule names stable: the canary is not the only cause"
		}
		if f.Effect == EffectAct && a.Lingering {
			f.Effect, f.Why = EffectHold, "it is missing from the latest answer, and not for long"
		}
		findings = append(findings, f)
	}
	return findings
}

// stableFires reports whether an alert of the rule names stable.
func stableFires(rule *Rule, t *Target, alerts []Alert) bool {
	return t.Stable != "" && slices.ContainsFunc(alerts, func(a Alert) bool {
		return a.Firing && a.Labels[rule.revisionLabel] == t.Stable && rule.selects(&a, t.Rollout.Namespace)
	})
}

// effect goes by one alert alone.
func effect(rule *Rule, t *Target, a *Alert, now time.Time) (Effect, string) {
	if other := unrelated(rule, t, a, now); other != "" {
		return EffectNone, other
	}
	revision := a.Labels[rule.revisionLabel]
	switch {
	case rule.Action == v1alpha1.AlertActionHold:
		return EffectHold, "it fires"
	case slices.Contains(t.Handled, plan.AlertKey(rule.Name, a.Fingerprint)):
		return EffectNone, "the alert was acted on already"
	case revision != "" && revision != t.Canary:
		return EffectHold, "the alert names stable, not the canary"
	case a.StartsAt.Before(t.Since), slices.Contains(t.FiringBefore, a.Fingerprint):
		if revision == t.Canary { // which was released before, and was bad then
			return EffectHold, "the alert names the canary, and has fired since before this release of it"
		}
		return EffectNone, "the alert began before the release did"
	case revision == "" && (t.InForce.IsZero() || t.Weight == 0 || a.StartsAt.Before(t.InForce)):
		return EffectHold, "the alert began before the step's weight was in force: the canary may not be the cause"
	}
	return EffectAct, "it fires"
}

// unrelated says why an alert has nothing to do with the release now, or nothing.
func unrelated(rule *Rule, t *Target, a *Alert, now time.Time) string {
	revision, service := a.Labels[rule.revisionLabel], rule.scope == v1alpha1.AlertScopeService
	switch {
	case !rule.InForce(t.Step, t.Entered, now):
		return "the rule is not in force " + plan.Where(t.Step)
	case a.StartsAt.After(now.Add(clockSkew)):
		return "the alert claims to begin in the future"
	case revision == "" && !service:
		return fmt.Sprintf("the alert has no label %s, and the rule's scope is Canary", rule.revisionLabel)
	case revision != "" && revision != t.Canary && !(service && revision == t.Stable):
		return fmt.Sprintf("the alert names revision %s, not the canary", shorten(revision, 63))
	}
	return ""
}

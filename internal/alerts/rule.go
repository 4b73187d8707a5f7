package alerts

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

// Rule is an alert rule of a Rollout, ready to be used.
type Rule struct {
	// AlertRule is what decisions go by.
	plan.AlertRule
	scope          v1alpha1.AlertScope
	forAtLeast     time.Duration
	revisionLabel  string
	namespaceLabel string
	matchers       []matcher
}

// Names of labels where an object was stored without them.
const (
	defaultRevisionLabel  = "destination_canonical_revision"
	defaultNamespaceLabel = "destination_workload_namespace"
)

// ParseRules reads the alert rules of a Rollout. It returns those that are usable; the
// error is for the user and speaks of the others.
func ParseRules(spec *v1alpha1.RolloutSpec) ([]Rule, error) {
	var rules []Rule
	var errs []error
	for i := range spec.Alerts {
		rule, err := parseRule(&spec.Alerts[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", spec.Alerts[i].Name, err))
			continue
		}
		rule.AfterPromotion = afterPromotion(&spec.Alerts[i], spec.AfterPromotion)
		rules = append(rules, rule)
	}
	return rules, errors.Join(errs...)
}

func parseRule(spec *v1alpha1.AlertRule) (Rule, error) {
	r := Rule{
		AlertRule: plan.AlertRule{
			Name:        spec.Name,
			Action:      orElse(spec.Action, v1alpha1.AlertActionAbort),
			HoldUnknown: spec.WhenUnknown != v1alpha1.AlertsUnknownIgnore,
			DryRun:      spec.DryRun,
			Service:     spec.Scope == v1alpha1.AlertScopeService,
		},
		scope:          orElse(spec.Scope, v1alpha1.AlertScopeCanary),
		forAtLeast:     durationOf(spec.For),
		revisionLabel:  orElse(spec.RevisionLabel, defaultRevisionLabel),
		namespaceLabel: orElse(spec.NamespaceLabel, defaultNamespaceLabel),
	}
	if spec.During != nil {
		r.Steps = spec.During.Steps
	}
	selective := false
	for _, text := range spec.Matchers {
		m, err := parseMatcher(text)
		if err != nil {
			return Rule{}, err
		}
		r.matchers = append(r.matchers, m)
		selective = selective || !m.matches(nil)
	}
	if !selective {
		return Rule{}, errors.New("matchers select every alert: at least one must not match an empty value")
	}
	return r, nil
}

// afterPromotion is for how long after its promotion the rule may take a revision back:
// what it says, or else for as long as metrics could, if it is in force in all steps.
func afterPromotion(rule *v1alpha1.AlertRule, watch *v1alpha1.AfterPromotion) time.Duration {
	switch {
	case watch == nil || orElse(rule.Action, v1alpha1.AlertActionAbort) != v1alpha1.AlertActionAbort:
		return 0
	case rule.During == nil:
		return durationOf(watch.Bake)
	default:
		return durationOf(rule.During.AfterPromotion)
	}
}

func orElse[T ~string](value, otherwise T) T {
	if value == "" {
		return otherwise
	}
	return value
}

func durationOf(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

// selects reports whether an alert is one of those that the rule is about, for
// Rollouts of a namespace.
func (r *Rule) selects(a *Alert, namespace string) bool {
	if n, named := a.Labels[r.namespaceLabel]; named && n != namespace {
		return false
	}
	for _, m := range r.matchers {
		if !m.matches(a.Labels) {
			return false
		}
	}
	return true
}

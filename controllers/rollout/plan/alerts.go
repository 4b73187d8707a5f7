package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// AlertRule is one of the spec's alert rules, as far as decisions go by it: which
// alerts match it is found out elsewhere.
type AlertRule struct {
	Name   string
	Action v1alpha1.AlertAction
	// Steps in which it is in force; nil for all.
	Steps []string
	// AfterPromotion is for how long after its promotion the rule may take a revision
	// back; 0 for not at all.
	AfterPromotion time.Duration
	// Service is true when alerts count that name no revision, and stable's speak against
	// ending the release.
	Service bool
	// HoldUnknown holds the release while alerts cannot be seen.
	HoldUnknown bool
	DryRun      bool
}

// Alerts are what is known of the alerts that concern a Rollout.
type Alerts struct {
	// Unknown tells why it is not known which fire, or is empty.
	Unknown string
	// Pushed is true when nobody asks which alerts fire, but is told: of Unknown only
	// rules suffer then that hold, or that look at stable, too.
	Pushed bool
	// Holding are those for which the release is not to advance.
	Holding []HoldingAlert
	// Firing are the fingerprints of all that concern the canary or the service, and Seen
	// of those among them that were in the latest answer: what is missing from one is not
	// over yet. They mean nothing while Unknown is set.
	Firing, Seen []string
	// StableFires names the rules of which an alert names stable.
	StableFires []string
	// Asked is when the latest answer was asked for, and Exact tells that its fingerprints
	// are those of alerts that are pushed.
	Asked time.Time
	Exact bool
	// Changes is when Holding may change by time alone, or zero.
	Changes time.Time
}

// HoldingAlert is an alert for which a release is not to advance.
type HoldingAlert struct{ Rule, Message string }

// AlertAction tells of the alert that a command stands for.
type AlertAction struct {
	Rule string
	// StartsAt is when the alert began, ReceivedAt when it was heard of, and NotBefore
	// when the command is to take effect, or zero.
	StartsAt, ReceivedAt, NotBefore time.Time
	Fingerprint                     string
	DryRun                          bool
	// Barred tells why the alert must not abort the release without a person, or is
	// empty.
	Barred string
}

// Pause tells why a release waits for a person.
type Pause struct {
	Reason, Message string
	At              time.Time
}

// AlertBaseline tells which alerts do nothing more in an attempt.
type AlertBaseline struct {
	Attempt int32
	// Since is when the attempt began.
	Since time.Time
	// Firing are fingerprints of alerts that fired then and were not resolved since.
	Firing []string
	// Handled are the AlertKeys of what was acted on in this attempt and not resolved
	// since.
	Handled []string
}

// AlertKey names an alert as one rule sees it.
func AlertKey(rule, fingerprint string) string { return rule + "/" + fingerprint }

// maxBaseline is how many fingerprints the status takes.
const maxBaseline = 64

func (b *AlertBaseline) clone() *AlertBaseline {
	if b == nil {
		return nil
	}
	c := *b
	c.Firing, c.Handled = slices.Clone(b.Firing), slices.Clone(b.Handled)
	return &c
}

// place is the step that the release is in and since when: after its promotion the
// watch over it.
func (d *decision) place() (string, time.Time) {
	switch {
	case d.p.Step != nil:
		return d.p.Step.Name, d.p.Step.EnteredAt
	case d.afterPromotion():
		return AfterPromotionStep, d.p.After.PromotedAt
	}
	return "", time.Time{}
}

// Where names a step for people.
func Where(step string) string {
	if step == AfterPromotionStep {
		return "after its promotion"
	}
	return "in step " + step
}

// alertBaseline returns since when alerts count, and which do not nevertheless.
// Where nothing was noted, the rules are younger than the release.
func (d *decision) alertBaseline() (time.Time, []string) {
	if b := d.p.AlertBaseline; b != nil && b.Attempt == d.p.Attempt {
		return b.Since, b.Firing
	}
	_, entered := d.place()
	return entered, nil
}

// alertHandled reports whether an alert was acted on already in this attempt.
func (d *decision) alertHandled(a Action) bool {
	b := d.p.AlertBaseline
	return b != nil && b.Attempt == d.p.Attempt && slices.Contains(b.Handled, AlertKey(a.Alert.Rule, a.Alert.Fingerprint))
}

func (d *decision) alertRule(name string) *AlertRule {
	i := slices.IndexFunc(d.o.Spec.Alerts, func(r AlertRule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &d.o.Spec.Alerts[i]
}

// InForce reports whether the rule is in force in a step that was entered then.
func (r *AlertRule) InForce(step string, entered, now time.Time) bool {
	if step == AfterPromotionStep {
		return now.Before(entered.Add(r.AfterPromotion))
	}
	return len(r.Steps) == 0 || slices.Contains(r.Steps, step)
}

// held returns why the release is not to advance, and its weight not to rise: a
// person, or an alert, wants it so, or alerts cannot be seen.
func (d *decision) held() *Problem {
	if d.p.Step == nil {
		return nil
	}
	step := d.p.Step.Name
	switch {
	case d.o.Spec.Paused:
		return &Problem{v1alpha1.ReasonPaused, fmt.Sprintf("paused in step %s by spec.paused", step)}
	case d.p.Pause != nil:
		return &Problem{d.p.Pause.Reason, d.p.Pause.Message}
	}
	return d.heldByAlert()
}

// heldByAlert goes by what is seen now and remembers nothing: as soon as no alert
// fires, the release goes on.
func (d *decision) heldByAlert() *Problem {
	d.wakeAt(d.o.Alerts.Changes)
	if waits := d.heldByCommand(); waits != nil {
		return waits
	}
	for i := range d.o.Spec.Alerts {
		rule := &d.o.Spec.Alerts[i]
		if rule.DryRun || !rule.InForce(d.p.Step.Name, d.p.Step.EnteredAt, d.o.Now) {
			continue
		}
		mustSee := rule.HoldUnknown && (!d.o.Alerts.Pushed || rule.Action == v1alpha1.AlertActionHold)
		if d.o.Alerts.Unknown != "" && mustSee {
			return &Problem{v1alpha1.ReasonAlertsUnknown, fmt.Sprintf(
				"held in step %s, as it is not known which alerts of rule %s fire: %s", d.p.Step.Name, rule.Name, d.o.Alerts.Unknown)}
		}
		for _, h := range d.o.Alerts.Holding {
			if h.Rule == rule.Name {
				return &Problem{v1alpha1.ReasonAlertFiring, fmt.Sprintf(
					"held in step %s by alert rule %s: %s", d.p.Step.Name, rule.Name, h.Message)}
			}
		}
	}
	return nil
}

// heldByCommand is the command of an alert that waits for what is seen.
func (d *decision) heldByCommand() *Problem {
	for _, a := range d.o.Actions {
		if a.Alert != nil && !a.Alert.DryRun && d.open(a) && d.alertRefusal(a) == nil && !d.o.Now.Before(a.Alert.NotBefore) {
			return &Problem{v1alpha1.ReasonAlertFiring, fmt.Sprintf(
				"held in step %s by alert rule %s: %s", d.p.Step.Name, a.Alert.Rule, d.alertWaits(a))}
		}
	}
	return nil
}

func (d *decision) pause(reason, message string) {
	if d.p.Pause != nil {
		return
	}
	d.p.Pause = &Pause{Reason: reason, Message: shorten(message), At: d.o.Now}
	d.transition(v1alpha1.TransitionPaused, d.p.Canary, d.p.Step.Name, reason, message)
}

// noteAlerts remembers which alerts fire when an attempt begins, and forgets those
// that were resolved since: if they fire again, it is during the release.
func (d *decision) noteAlerts() {
	b := d.p.AlertBaseline
	switch {
	case len(d.o.Spec.Alerts) == 0 || !d.p.releasing() && !d.afterPromotion():
		d.p.AlertBaseline = nil
	case b == nil || b.Attempt != d.p.Attempt:
		_, entered := d.place()
		b = &AlertBaseline{Attempt: d.p.Attempt, Since: entered}
		if d.o.Alerts.Unknown == "" {
			b.Firing = slices.Compact(slices.Sorted(slices.Values(d.o.Alerts.Firing)))
			b.Firing = b.Firing[:min(len(b.Firing), maxBaseline)]
		}
		if len(b.Firing) > 0 {
			d.note("alerts", "firing before the release: "+strings.Join(b.Firing, ", "))
		}
		d.p.AlertBaseline = b
	case d.o.Alerts.Unknown == "":
		b.Firing = slices.DeleteFunc(b.Firing, func(f string) bool { return !slices.Contains(d.o.Alerts.Firing, f) })
		if d.o.Alerts.Exact {
			b.Handled = slices.DeleteFunc(b.Handled, d.resolved)
		}
	}
}

// resolved reports whether what was acted on fires no longer. What was told a moment
// ago need not be in an answer that was asked for before.
func (d *decision) resolved(key string) bool {
	for _, a := range d.o.Actions {
		if a.Alert != nil && AlertKey(a.Alert.Rule, a.Alert.Fingerprint) == key && !d.o.Alerts.Asked.After(a.Alert.ReceivedAt) {
			return false
		}
	}
	_, fingerprint, _ := strings.Cut(key, "/")
	return !slices.Contains(d.o.Alerts.Firing, fingerprint)
}

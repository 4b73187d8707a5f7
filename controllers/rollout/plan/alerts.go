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
	// Pushed is true when nobody asks which alerts fire, but is told: only rules that
	// hold suffer from Unknown then.
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

// AlertBaseline tells which alerts are not the canary's doing.
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

// alertRecheck is how soon a command is looked at again that waits to see more.
const alertRecheck = time.Second

// actOnAlerts carries out the commands that alerts gave, when their time has come.
func (d *decision) actOnAlerts() {
	for _, a := range d.o.Actions {
		if a.Alert == nil || !d.open(a) || d.o.Spec.DeletedAt != nil {
			continue
		}
		if refused := d.alertRefusal(a); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		if d.o.Now.Before(a.Alert.NotBefore) {
			d.wakeAt(a.Alert.NotBefore)
			continue
		}
		if why := d.alertWaits(a); why != "" {
			d.note("alerts", why)
			d.wakeAt(d.o.Now.Add(alertRecheck))
			continue
		}
		d.obeyAlert(a)
	}
}

// AlertIsDue reports whether an alert's command would end the release now, or take it
// back, unless something bars it. It decides nothing.
func AlertIsDue(o Observed, a Action) bool {
	d := &decision{o: &o, p: o.Position.clone()}
	return a.Alert != nil && a.Type == v1alpha1.ActionAbort && !a.Alert.DryRun && o.Spec.DeletedAt == nil &&
		!slices.Contains(d.p.Applied, a.UID) && o.Now.Before(a.CreatedAt.Add(a.TimeToLive)) && !o.Now.Before(a.Alert.NotBefore) &&
		d.alertRefusal(a) == nil && d.alertWaits(a) == ""
}

// alertWaits returns what must be seen before an alert's command is carried out, or
// nothing: the release is held meanwhile.
func (d *decision) alertWaits(a Action) string {
	known, rule := &d.o.Alerts, d.alertRule(a.Alert.Rule)
	if known.Pushed || a.Alert.DryRun {
		return "" // Nobody asks.
	}
	if known.Unknown == "" && known.Exact && !a.Alert.NotBefore.IsZero() && !slices.Contains(known.Seen, a.Alert.Fingerprint) {
		return fmt.Sprintf("the alert of rule %s was to last, and is missing from the latest answer", rule.Name)
	}
	if !rule.Service || a.Type != v1alpha1.ActionAbort {
		return ""
	}
	switch {
	case known.Unknown != "" || known.Asked.Before(a.Alert.ReceivedAt):
		return fmt.Sprintf("whether an alert of rule %s names stable, too, is not known yet", rule.Name)
	case slices.Contains(known.StableFires, rule.Name):
		return fmt.Sprintf("an alert of rule %s names stable, too", rule.Name)
	}
	return ""
}

// barred returns why an alert must not end the release without a person, or nil.
func (d *decision) barred(a Action) *Problem {
	switch {
	case a.Alert.Barred != "":
		return &Problem{v1alpha1.ReasonAlertBreakerOpen, a.Alert.Barred}
	case d.o.Alerts.Pushed && d.alertRule(a.Alert.Rule).Service:
		return &Problem{v1alpha1.ReasonAlertsUnknown, "nobody can see whether alerts of stable fire, too, as the operator only is told of alerts"}
	}
	return nil
}

// obeyAlert carries out the command of an alert that nothing speaks against.
func (d *decision) obeyAlert(a Action) {
	step, _ := d.place()
	where := Where(step)
	if a.Alert.DryRun {
		d.outcome(a, false, v1alpha1.ReasonDryRun, fmt.Sprintf(
			"alert rule %s only tells what it would do: %s %s", a.Alert.Rule, a.Type, where))
		return
	}
	d.handle(a)
	if a.Type == v1alpha1.ActionPause {
		message := fmt.Sprintf("paused %s by %s", where, attribution(a))
		d.pause(v1alpha1.ReasonPaused, message)
		d.applied(a, message)
		return
	}
	barred := d.barred(a)
	switch {
	case barred == nil && d.afterPromotion():
		message := fmt.Sprintf("rolled back from %s to %s %s by %s", d.p.Stable, d.p.After.Previous, where, attribution(a))
		d.rollBack(d.p.After.Previous, v1alpha1.ReasonAlertFiring, message)
		d.applied(a, message)
	case barred == nil:
		message := fmt.Sprintf("aborted %s by %s", where, attribution(a))
		d.abort(v1alpha1.ReasonAlertFiring, message)
		d.applied(a, message)
	case d.afterPromotion():
		d.outcome(a, false, barred.Reason, fmt.Sprintf(
			"not rolled back %s: %s. A Rollback action rolls back, while %s is kept ready. %s",
			where, barred.Message, d.p.After.Previous, attribution(a)))
	default:
		message := fmt.Sprintf("paused %s instead of aborted: %s. %s", where, barred.Message, attribution(a))
		d.pause(barred.Reason, message)
		d.outcome(a, false, barred.Reason, message)
	}
}

// handle remembers that an alert was acted on: it does nothing more in this attempt,
// whatever a person makes of that, until it was resolved.
func (d *decision) handle(a Action) {
	d.noteAlerts()
	b := d.p.AlertBaseline
	if key := AlertKey(a.Alert.Rule, a.Alert.Fingerprint); b != nil && !slices.Contains(b.Handled, key) {
		b.Handled = append(b.Handled, key)
		b.Handled = b.Handled[max(0, len(b.Handled)-maxBaseline):]
	}
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

// alertRefusal returns why an alert's command is not to be carried out, or nil.
// What may have changed since it was given is looked at again.
func (d *decision) alertRefusal(a Action) *Problem {
	if a.Type != v1alpha1.ActionAbort && a.Type != v1alpha1.ActionPause {
		return &Problem{v1alpha1.ReasonAlertRuleChanged, fmt.Sprintf("no alert may %s a release", a.Type)}
	}
	promoted := d.afterPromotion() && a.Revision == d.p.Stable
	if refused := d.refusal(a); refused != nil && !promoted {
		return refused
	}
	step, entered := d.place()
	rule := d.alertRule(a.Alert.Rule)
	changed := func(format string, args ...any) *Problem {
		return &Problem{v1alpha1.ReasonAlertRuleChanged, fmt.Sprintf(format, args...)}
	}
	since, before := d.alertBaseline()
	switch {
	case d.alertHandled(a):
		return &Problem{v1alpha1.ReasonAlertHandled, "the alert was acted on already in this attempt"}
	case rule == nil:
		return changed("there is no alert rule %s", a.Alert.Rule)
	case string(rule.Action) != string(a.Type):
		return changed("alert rule %s does not say %s but %s", a.Alert.Rule, a.Type, rule.Action)
	case !rule.InForce(step, entered, d.o.Now):
		return changed("alert rule %s is not in force %s", a.Alert.Rule, Where(step))
	case a.Alert.StartsAt.Before(since):
		return changed("the alert began at %s, before the release did", a.Alert.StartsAt.UTC().Format(time.RFC3339))
	case slices.Contains(before, a.Alert.Fingerprint):
		return changed("the alert fired before the release began")
	}
	return nil
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

func (d *decision) pauseOnCommand() {
	for _, a := range d.pending(v1alpha1.ActionPause) {
		if refused := d.refusal(a); refused != nil {
			d.outcome(a, false, refused.Reason, refused.Message)
			continue
		}
		message := fmt.Sprintf("paused in step %s by %s", d.p.Step.Name, attribution(a))
		d.pause(v1alpha1.ReasonPaused, message)
		d.applied(a, message)
	}
}

// resumeOnCommand lets the final move go on after a pause: there is no further step
// that a promotion would lead to.
func (d *decision) resumeOnCommand() {
	if d.p.Pause == nil || !d.o.promoting(&d.p) || d.o.Spec.Problem != nil {
		return
	}
	for _, a := range d.pending(v1alpha1.ActionPromote, v1alpha1.ActionPromoteFull) {
		if d.p.Pause == nil || d.refusal(a) != nil {
			continue
		}
		message := fmt.Sprintf("step %s goes on, as %s wants", d.p.Step.Name, attribution(a))
		d.p.Pause = nil
		d.transition(v1alpha1.TransitionStepEntered, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonPromoting, message)
		d.applied(a, message)
	}
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

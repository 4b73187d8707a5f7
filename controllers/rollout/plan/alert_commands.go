package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

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

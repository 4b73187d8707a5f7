package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

const (
	// pollTimeout is how long a source may take to answer.
	pollTimeout = 5 * time.Second
	// repairTimeout bounds what follows from one answer.
	repairTimeout = 30 * time.Second
	// settleTime is how long an alert's command may be older than what was asked for
	// the alert's absence to mean that it was resolved: not every Alertmanager of
	// several learns of it at the same time.
	settleTime = 10 * time.Second
)

// Watch is what the leader knows of alerts: it asks every few seconds, repairs what
// was not pushed, and says for which alerts releases are held.
type Watch struct {
	recorder *Recorder
	sources  []Source
	pushed   bool
	every    time.Duration
	maxAge   time.Duration
	linger   time.Duration
	// trusted is whose permissions alerts have that were found by asking; nil for the
	// operator's own.
	trusted *identity
	gate    *gate
	clock   clock.WithTicker
	log     logr.Logger
	now     chan struct{}

	mu      sync.Mutex
	view    view
	seen    map[string]sighting // by fingerprint
	told    map[types.NamespacedName]string
	changed func(types.NamespacedName)
}

// sighting is when an alert was last in an answer.
type sighting struct {
	alert Alert
	at    time.Time
}

// view is the latest answer, and what is missing from it but not for long.
type view struct {
	alerts []Alert
	// asked is when; zero for never.
	asked time.Time
	// exact is false for one from a source that knows of no silences, while there is
	// another that does: it holds releases and ends none.
	exact bool
	// problem is why the latest attempt failed, or empty.
	problem string
}

// WatchOptions are what a watch needs.
type WatchOptions struct {
	// Client reads Rollouts and RolloutActions from a cache, and writes the latter.
	Client client.Client
	// Sources to ask, in this order, until one answers; without any nobody is asked.
	Sources []Source
	// Pushed is true when there is a receiver.
	Pushed bool
	// Every is how often to ask, and MaxAge how old an answer may be that is relied on.
	Every, MaxAge time.Duration
	// Linger is for how long an alert must be missing from answers to be over.
	Linger time.Duration
	// As is whose permissions alerts have that are found by asking. Empty: the source is
	// trusted with every Rollout that has a rule for the alert.
	As string
	// Clock tells the time.
	Clock clock.WithTicker
	// Log takes what was done.
	Log logr.Logger
}

// NewWatch makes a watch.
func NewWatch(o WatchOptions) *Watch {
	w := &Watch{
		recorder: &Recorder{client: o.Client, now: o.Clock.Now},
		sources:  o.Sources, pushed: o.Pushed, every: o.Every, maxAge: o.MaxAge, linger: o.Linger,
		gate: newGate(o.Client, o.Clock, nil), seen: map[string]sighting{},
		clock: o.Clock, log: o.Log, now: make(chan struct{}, 1),
		told: map[types.NamespacedName]string{}, changed: func(types.NamespacedName) {},
	}
	if o.As != "" {
		as := userNamed(o.As)
		w.trusted = &as
	}
	return w
}

// OnChange sets who is told of a Rollout for which something else is known of
// alerts than before.
func (w *Watch) OnChange(changed func(types.NamespacedName)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = changed
}

// Look asks for a poll at once.
func (w *Watch) Look() {
	select {
	case w.now <- struct{}{}:
	default: // One is asked for already.
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: one replica asks.
func (w *Watch) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable: it polls until ctx ends.
func (w *Watch) Start(ctx context.Context) error {
	if len(w.sources) == 0 {
		return nil
	}
	ctx = log.IntoContext(ctx, w.log)
	ticker := w.clock.NewTicker(w.every)
	defer ticker.Stop()
	for {
		w.poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		case <-w.now:
		}
	}
}

// poll asks once and does what follows.
func (w *Watch) poll(ctx context.Context) {
	w.ask(ctx)
	if err := w.repair(ctx); err != nil && ctx.Err() == nil {
		w.log.Error(err, "Acting on alerts failed, trying again with the next poll")
	}
	if err := w.tell(ctx); err != nil && ctx.Err() == nil {
		w.log.Error(err, "Finding the releases that alerts hold failed")
	}
}

// ask takes the answer of the first source that gives one.
func (w *Watch) ask(ctx context.Context) {
	var errs []error
	known := slices.ContainsFunc(w.sources, Source.Exact)
	for _, s := range w.sources {
		asked := w.clock.Now()
		alerts, err := w.askOne(ctx, s, asked)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			polls.WithLabelValues(s.Name(), "failed").Inc()
			errs = append(errs, fmt.Errorf("%s: %w", s.Name(), err))
			continue
		}
		polls.WithLabelValues(s.Name(), "answered").Inc()
		w.mu.Lock()
		w.view = view{alerts: w.withLingering(alerts, asked), asked: asked, exact: s.Exact() || !known}
		w.mu.Unlock()
		return
	}
	err := errors.Join(errs...)
	w.mu.Lock()
	news := w.view.problem != err.Error()
	w.view.problem = err.Error()
	w.mu.Unlock()
	if news {
		w.log.Info("Which alerts fire could not be found out", "cause", err.Error())
	}
}

// withLingering adds what is missing from an answer, but not for long.
func (w *Watch) withLingering(alerts []Alert, asked time.Time) []Alert {
	for _, a := range alerts {
		w.seen[a.Fingerprint] = sighting{a, asked}
	}
	for fingerprint, s := range w.seen {
		switch {
		case asked.Sub(s.at) >= w.linger && !s.at.Equal(asked):
			delete(w.seen, fingerprint)
		case !s.at.Equal(asked):
			s.alert.Lingering = true
			alerts = append(alerts, s.alert)
		}
	}
	return alerts
}

func (w *Watch) askOne(ctx context.Context, s Source, now time.Time) ([]Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout+time.Second)
	defer cancel()
	return s.Firing(ctx, now)
}

// current returns the latest answer, and why it cannot be relied on, if so.
func (w *Watch) current(now time.Time) (view, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.view
	switch {
	case len(w.sources) == 0 && w.pushed:
		return v, "the operator is told of alerts, but asks nobody which fire: give it --alerts-alertmanager-address or --alerts-prometheus-address"
	case len(w.sources) == 0:
		return v, "the operator is neither told of alerts nor asks which fire: see its flags --alerts-..."
	case v.asked.IsZero() && v.problem == "":
		return v, "the operator has not asked yet"
	case v.asked.IsZero() || now.Sub(v.asked) > w.maxAge:
		return v, shorten("nobody answered: "+v.problem, 400)
	}
	return v, ""
}

// repair records what was not pushed, and cancels what was resolved unseen.
func (w *Watch) repair(ctx context.Context) error {
	now := w.clock.Now()
	v, unknown := w.current(now)
	if unknown != "" || !v.exact || v.problem != "" {
		return nil
	}
	exact := w.exactSource()
	if exact {
		if err := w.cancelResolved(ctx, v); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	releases, err := w.recorder.releases(ctx)
	if err != nil || len(releases) == 0 || len(v.alerts) == 0 {
		return err
	}
	matches, err := due(ctx, releases, v.alerts, now)
	if err != nil {
		return err
	}
	// What has not lasted for long enough is looked at again with the next poll.
	matches = slices.DeleteFunc(matches, func(m match) bool { return m.From.After(now) })
	errs := []error{nil}
	if w.trusted != nil {
		matches, errs[0] = w.gate.permitted(ctx, *w.trusted, matches)
	}
	counts := abortedBy(matches)
	for i := range matches {
		m := &matches[i]
		known, err := w.isKnown(ctx, m, exact)
		if err == nil && !known {
			err = w.recorder.recordSeen(ctx, m, "alert poller", counts[m.Alert.Fingerprint])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (w *Watch) exactSource() bool { return slices.ContainsFunc(w.sources, Source.Exact) }

// isKnown reports whether a match was recorded already. A source whose starts and
// fingerprints are not Alertmanager's own cannot find what was pushed by its name:
// there, anything of the same rule that was recorded since the alert began is it.
func (w *Watch) isKnown(ctx context.Context, m *match, exact bool) (bool, error) {
	if exact {
		return false, nil // Its name says so when it is recorded.
	}
	actions, err := w.recorder.alertActions(ctx, client.InNamespace(m.target.Rollout.Namespace))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(actions, func(a *v1alpha1.RolloutAction) bool {
		return !overtaken(a, m.Rule.DryRun) && a.Spec.Rollout == m.target.Rollout.Name && a.Spec.Revision == m.target.Canary &&
			a.Spec.Alert.Rule == m.Rule.Name && a.Spec.Action == v1alpha1.ActionType(m.Rule.Action) &&
			!a.Spec.Alert.ReceivedAt.Time.Before(m.Alert.StartsAt)
	}), nil
}

// cancelResolved ends what waits for an alert that does not fire any more, or is
// silenced.
func (w *Watch) cancelResolved(ctx context.Context, v view) error {
	firing := make(map[string]bool, len(v.alerts))
	for i := range v.alerts {
		firing[v.alerts[i].Fingerprint] = true
	}
	return w.recorder.cancelWhere(ctx, func(a *v1alpha1.RolloutAction) bool {
		return !firing[a.Spec.Alert.Fingerprint] && a.Spec.Alert.ReceivedAt.Add(settleTime).Before(v.asked)
	})
}

// See returns what is known of the alerts that concern a Rollout.
func (w *Watch) See(rollout *v1alpha1.Rollout, rules []Rule) plan.Alerts {
	now := w.clock.Now()
	v, unknown := w.current(now)
	known := plan.Alerts{Unknown: unknown, Pushed: len(w.sources) == 0 && w.pushed, Asked: v.asked, Exact: v.exact && w.exactSource()}
	if unknown != "" {
		return known
	}
	target, releasing := TargetOf(rollout)
	for i := range rules {
		rule := &rules[i]
		for j := range v.alerts {
			a := &v.alerts[j]
			if !rule.selects(a, rollout.Namespace) {
				continue
			}
			known.Firing = append(known.Firing, a.Fingerprint)
			if !a.Lingering {
				known.Seen = append(known.Seen, a.Fingerprint)
			}
		}
		if releasing {
			hold(&known, Bind(rule, &target, v.alerts, now), v.exact, now)
			if stableFires(rule, &target, v.alerts) {
				known.StableFires = append(known.StableFires, rule.Name)
			}
		}
	}
	return known
}

// hold adds the findings for which a release is held.
func hold(known *plan.Alerts, found []Finding, exact bool, now time.Time) {
	for _, f := range found {
		if f.Effect == EffectNone {
			continue
		}
		if f.From.After(now) {
			if known.Changes.IsZero() || f.From.Before(known.Changes) {
				known.Changes = f.From
			}
			continue
		}
		why := f.Why
		switch {
		case f.Effect == EffectAct && exact:
			why = "its command is on its way, or could not be recorded"
		case f.Effect == EffectAct:
			why = "it is not known whether it is silenced"
		}
		known.Holding = append(known.Holding, plan.HoldingAlert{Rule: f.Rule.Name, Message: f.Alert.describe() + ": " + why})
	}
}

// tell wakes the Rollouts for which something else is known than before.
func (w *Watch) tell(ctx context.Context) error {
	var list v1alpha1.RolloutList
	if err := w.recorder.client.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing Rollouts: %w", err)
	}
	_, unknown := w.current(w.clock.Now())
	blindGauge.Set(0)
	if unknown != "" {
		blindGauge.Set(1)
	}
	told, woken := map[types.NamespacedName]string{}, []types.NamespacedName{}
	for i := range list.Items {
		rollout := &list.Items[i]
		if len(rollout.Spec.Alerts) == 0 {
			continue
		}
		rules, _ := ParseRules(&rollout.Spec)
		if _, releasing := TargetOf(rollout); !releasing {
			continue
		}
		name, known := client.ObjectKeyFromObject(rollout), w.See(rollout, rules)
		slices.Sort(known.Firing)
		slices.Sort(known.Seen)
		told[name] = fmt.Sprintf("%q %q %q %q %q", known.Unknown, known.Holding, known.Firing, known.Seen, known.StableFires)
		if was, ok := w.told[name]; !ok || was != told[name] {
			woken = append(woken, name)
		}
	}
	w.told = told
	w.mu.Lock()
	changed := w.changed
	w.mu.Unlock()
	for _, name := range woken {
		changed(name)
	}
	return nil
}

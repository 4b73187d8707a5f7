package alerts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// actionTTL is how long an alert's command may take effect once it is due.
	actionTTL = time.Hour
	// dryRunTTL is how long what a rule would have done is kept, and once more.
	dryRunTTL = 84 * time.Hour
	// maxEpisodes is how often one alert without a break is written down again.
	maxEpisodes = 8
)

// match is a finding about a release.
type match struct {
	Finding
	target *Target
}

// Recorder finds the releases that alerts concern, and writes down what is to be
// done as RolloutActions.
type Recorder struct {
	client client.Client
	now    func() time.Time
}

// releases returns the releases of Rollouts with usable alert rules that alerts may
// still end.
func (r *Recorder) releases(ctx context.Context) ([]release, error) {
	var list v1alpha1.RolloutList
	// What the workers here are writing at the moment need not be waited for.
	if err := r.client.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("listing Rollouts: %w", err)
	}
	var out []release
	for i := range list.Items {
		rollout := &list.Items[i]
		if len(rollout.Spec.Alerts) == 0 {
			continue
		}
		target, ok := TargetOf(rollout)
		if !ok {
			continue
		}
		rules, _ := ParseRules(&rollout.Spec) // What is not usable makes the Rollout Stalled.
		out = append(out, release{target: target, rules: rules})
	}
	return out, nil
}

// release is one that alerts may end, with its rules.
type release struct {
	target Target
	rules  []Rule
}

// due returns the findings by which something is to be done, and notes of each how
// many Rollouts its alert is to abort.
func due(ctx context.Context, releases []release, alerts []Alert, now time.Time) ([]match, error) {
	var matches []match
	for i := range releases {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for j := range releases[i].rules {
			rule := &releases[i].rules[j]
			for _, f := range Bind(rule, &releases[i].target, alerts, now) {
				findings.WithLabelValues(string(rule.Action), string(f.Effect)).Inc()
				if f.Effect == EffectAct {
					matches = append(matches, match{Finding: f, target: &releases[i].target})
				}
			}
		}
	}
	return matches, nil
}

// abortedBy counts the Rollouts that each alert is to abort.
func abortedBy(matches []match) map[string]int32 {
	rollouts := map[string]map[types.UID]bool{}
	for _, m := range matches {
		if m.Rule.Action != v1alpha1.AlertActionAbort || m.Rule.DryRun {
			continue
		}
		if rollouts[m.Alert.Fingerprint] == nil {
			rollouts[m.Alert.Fingerprint] = map[types.UID]bool{}
		}
		rollouts[m.Alert.Fingerprint][m.target.UID] = true
	}
	counts := make(map[string]int32, len(rollouts))
	for fingerprint, uids := range rollouts {
		counts[fingerprint] = int32(len(uids))
	}
	return counts
}

// actionName is the same for every delivery of an alert, so that it is acted on
// once however often it arrives. The episode counts how often it was written down
// again.
func actionName(rule string, t *Target, a *Alert, episode int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s",
		a.Fingerprint, a.StartsAt.UTC().Format(time.RFC3339Nano), t.UID, t.Canary, rule))
	name := t.Rollout.Name + "-alert-" + hex.EncodeToString(sum[:8])
	if episode > 0 {
		name += fmt.Sprintf("-%d", episode)
	}
	return name
}

// makeAction builds the command that a match stands for.
func makeAction(m *match, by string, episode int, matched int32, now time.Time) *v1alpha1.RolloutAction {
	origin := &v1alpha1.AlertOrigin{
		Rule:        m.Rule.Name,
		Fingerprint: m.Alert.Fingerprint,
		StartsAt:    microTime(m.Alert.StartsAt),
		ReceivedAt:  microTime(now),
		Matched:     matched,
		DryRun:      m.Rule.DryRun,
	}
	ttl := actionTTL
	if m.Rule.DryRun {
		ttl = dryRunTTL
	}
	if m.From.After(now) {
		from := microTime(m.From)
		origin.NotBefore, ttl = &from, ttl+m.From.Sub(now)
	}
	return &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: m.target.Rollout.Namespace,
			Name:      actionName(m.Rule.Name, m.target, m.Alert, episode),
		},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout:     m.target.Rollout.Name,
			Action:      v1alpha1.ActionType(m.Rule.Action),
			Revision:    m.target.Canary,
			Reason:      shorten(fmt.Sprintf("rule %s: %s fires since %s", m.Rule.Name, m.Alert.describe(), m.Alert.StartsAt.UTC().Format(time.RFC3339)), 512),
			RequestedBy: shorten(by, 253),
			TimeToLive:  &metav1.Duration{Duration: ttl},
			Alert:       origin,
		},
	}
}

func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}

// record writes a command down, unless it is already. It is durable when there is
// no error.
func (r *Recorder) record(ctx context.Context, m *match, by string, matched int32) error {
	return r.create(ctx, makeAction(m, by, 0, matched, r.now()), m)
}

// recordSeen is record for an alert that was seen to fire just now. A command that was
// refused though the alert fires and is due is written again under another name: the
// alert was silenced for a while, or missing, or the rule was another. A message cannot
// do that: it may be old.
func (r *Recorder) recordSeen(ctx context.Context, m *match, by string, matched int32) error {
	for episode := range maxEpisodes {
		standing, err := r.standing(ctx, m, episode)
		if err != nil {
			return err
		}
		if standing == nil {
			return r.create(ctx, makeAction(m, by, episode, matched, r.now()), m)
		}
		if !overtaken(standing, m.Rule.DryRun) {
			recorded.WithLabelValues(string(standing.Spec.Action), "duplicate").Inc()
			return nil
		}
	}
	return nil
}

// standing returns the command of an episode, if there is one.
func (r *Recorder) standing(ctx context.Context, m *match, episode int) (*v1alpha1.RolloutAction, error) {
	a := &v1alpha1.RolloutAction{}
	key := types.NamespacedName{Namespace: m.target.Rollout.Namespace, Name: actionName(m.Rule.Name, m.target, m.Alert, episode)}
	err := r.client.Get(ctx, key, a, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that there is none is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("reading RolloutAction %s: %w", key.Name, err)
	}
	return a, nil
}

// overtaken reports whether a command was refused for what is not so any more.
func overtaken(a *v1alpha1.RolloutAction, dryRun bool) bool {
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionRefused)
	if c == nil || c.Status != metav1.ConditionTrue {
		return false
	}
	switch c.Reason {
	case v1alpha1.ReasonAlertResolved, v1alpha1.ReasonAlertRuleChanged, v1alpha1.ReasonExpired:
		return true
	case v1alpha1.ReasonDryRun:
		return !dryRun
	}
	return false
}

func (r *Recorder) create(ctx context.Context, a *v1alpha1.RolloutAction, m *match) error {
	err := r.client.Create(ctx, a, client.DisableReadYourWritesConsistency)
	switch {
	case apierrors.IsAlreadyExists(err): // and the cache has yet to hear of it
		recorded.WithLabelValues(string(a.Spec.Action), "duplicate").Inc()
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // and the release with it
	case err != nil:
		recorded.WithLabelValues(string(a.Spec.Action), "failed").Inc()
		return fmt.Errorf("recording RolloutAction %s: %w", a.Name, err)
	}
	recorded.WithLabelValues(string(a.Spec.Action), "recorded").Inc()
	log.FromContext(ctx).Info("Recorded what an alert is to do", "rollout", m.target.Rollout, "rule", m.Rule.Name,
		"action", a.Spec.Action, "revision", a.Spec.Revision, "rolloutAction", a.Name, "requestedBy", a.Spec.RequestedBy)
	return nil
}

// alertActions returns the commands of alerts, of one Rollout or of all.
func (r *Recorder) alertActions(ctx context.Context, opts ...client.ListOption) ([]*v1alpha1.RolloutAction, error) {
	var list v1alpha1.RolloutActionList
	opts = append(opts, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err := r.client.List(ctx, &list, opts...); err != nil {
		return nil, fmt.Errorf("listing RolloutActions: %w", err)
	}
	var out []*v1alpha1.RolloutAction
	for i := range list.Items {
		if list.Items[i].Spec.Alert != nil {
			out = append(out, &list.Items[i])
		}
	}
	return out, nil
}

// pending reports whether a command has yet to take effect.
func pending(a *v1alpha1.RolloutAction) bool {
	return a.DeletionTimestamp == nil &&
		!meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionApplied) &&
		!meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionRefused)
}

// cancelWhere ends commands that have not taken effect, and whose alert was
// resolved.
func (r *Recorder) cancelWhere(ctx context.Context, resolved func(*v1alpha1.RolloutAction) bool) error {
	actions, err := r.alertActions(ctx)
	if err != nil {
		return err
	}
	for _, a := range actions {
		if !pending(a) || !resolved(a) {
			continue
		}
		if err := r.cancel(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// cancel refuses a command that nothing became of yet.
func (r *Recorder) cancel(ctx context.Context, a *v1alpha1.RolloutAction) error {
	written := a.DeepCopy()
	written.Status.ObservedGeneration = a.Generation
	meta.SetStatusCondition(&written.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionRefused, Status: metav1.ConditionTrue, ObservedGeneration: a.Generation,
		Reason: v1alpha1.ReasonAlertResolved, Message: "the alert was resolved before the action took effect",
	})
	// A conflict is an error, too: what the cache had was old, and whoever sent this is
	// to send it again.
	err := r.client.Status().Update(ctx, written)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cancelling RolloutAction %s: %w", a.Name, err)
	}
	recorded.WithLabelValues(string(a.Spec.Action), "cancelled").Inc()
	return nil
}

package story

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Target is what a command is bound to: at any other revision or step the operator
// refuses it.
type Target struct {
	Revision, Step string
	// To is the revision that a rollback makes stable; empty for the one that is kept
	// ready.
	To string
}

// Aim binds a command to what a Rollout is at, or to the revision and step that the
// user states. It fails where the command would change nothing, and says why.
func Aim(r *v1alpha1.Rollout, kind v1alpha1.ActionType, stated Target) (Target, error) {
	if problem := pointless(r, kind); problem != "" {
		return Target{}, fmt.Errorf("nothing to %s: %s", verbOf(kind), problem)
	}
	if problem := nowhere(r, kind, stated); problem != "" {
		return Target{}, errors.New(problem)
	}
	at := current(r, kind)
	at.To = stated.To
	if stated.Revision != "" && stated.Revision != at.Revision {
		return Target{}, fmt.Errorf("nothing was done: you said revision %s, but Rollout %s is at %s", stated.Revision, r.Name, at.Revision)
	}
	if stated.Step != "" && stated.Step != at.Step {
		return Target{}, fmt.Errorf("nothing was done: you said step %s, but Rollout %s is at step %s", stated.Step, r.Name, at.Step)
	}
	// One step is passed because of what was seen in it. What ends a release, or
	// passes all of it, is meant at whatever step.
	if kind != v1alpha1.ActionPromote {
		at.Step = stated.Step
	}
	return at, nil
}

// current is what a command would be bound to: the canary, or, once that was promoted,
// the stable revision.
func current(r *v1alpha1.Rollout, kind v1alpha1.ActionType) Target {
	if kind == v1alpha1.ActionRollback || kind == v1alpha1.ActionAbort && Watched(r) {
		return Target{Revision: r.Status.Stable.Revision}
	}
	at := Target{Revision: r.Status.Canary.Revision}
	if r.Status.Step != nil {
		at.Step = r.Status.Step.Name
	}
	return at
}

// nowhere says why there is no revision to roll back to, or is empty.
func nowhere(r *v1alpha1.Rollout, kind v1alpha1.ActionType, stated Target) string {
	switch {
	case kind != v1alpha1.ActionRollback:
		return ""
	case stated.To == "" && r.Status.AfterPromotion == nil:
		return fmt.Sprintf("nothing was done: Rollout %s keeps no earlier revision ready (spec.afterPromotion); name one with --to-revision, \"%s\" shows which there are",
			r.Name, Command(r, "get"))
	case stated.To == r.Status.Stable.Revision:
		return fmt.Sprintf("nothing was done: revision %s is stable already", stated.To)
	}
	return ""
}

// pointless says why a command would change nothing, or is empty.
func pointless(r *v1alpha1.Rollout, kind v1alpha1.ActionType) string {
	releasing := Releasing(r)
	switch {
	case r.DeletionTimestamp != nil:
		return fmt.Sprintf("Rollout %s is being deleted, and gives its routing back", r.Name)
	case kind == v1alpha1.ActionRetry:
		return pointlessRetry(r)
	case kind == v1alpha1.ActionRollback && releasing:
		return fmt.Sprintf("revision %s is being released, and stable has not changed; \"%s\" returns all traffic to it",
			r.Status.Canary.Revision, Command(r, "abort"))
	case kind == v1alpha1.ActionRollback && r.Status.Stable == nil:
		return fmt.Sprintf("no revision of Rollout %s is stable yet; %s", r.Name, rest(r))
	case kind == v1alpha1.ActionRollback, kind == v1alpha1.ActionAbort && Watched(r):
		return ""
	case Aborted(r):
		return fmt.Sprintf("the release of revision %s was aborted already (%s): %s; \"%s\" starts it again",
			r.Status.Canary.Revision, r.Status.Abort.Reason, r.Status.Abort.Message, Command(r, "retry"))
	case !releasing:
		return fmt.Sprintf("no release of Rollout %s is in progress; %s", r.Name, rest(r))
	case kind != v1alpha1.ActionAbort:
		return pointlessPromotion(r)
	}
	return ""
}

func pointlessRetry(r *v1alpha1.Rollout) string {
	if Aborted(r) {
		return ""
	}
	return fmt.Sprintf("no release of Rollout %s was aborted; %s", r.Name, rest(r))
}

// pointlessPromotion says so of the final move, unless that was paused.
func pointlessPromotion(r *v1alpha1.Rollout) string {
	if r.Status.Step.Name != v1alpha1.PromotionStep || r.Status.Pause != nil {
		return ""
	}
	return fmt.Sprintf("every step was passed already, and revision %s is becoming stable", r.Status.Canary.Revision)
}

// rest says what a Rollout does instead.
func rest(r *v1alpha1.Rollout) string {
	standing := StandingOf(r)
	if Releasing(r) {
		return fmt.Sprintf("revision %s is at step %s", r.Status.Canary.Revision, Position(r))
	}
	return fmt.Sprintf("it is %s: %s", standing.State, standing.Message)
}

func verbOf(kind v1alpha1.ActionType) string {
	if kind == v1alpha1.ActionPromoteFull {
		return "promote"
	}
	return strings.ToLower(string(kind))
}

// Impact says in sentences what a command would change; to is where a rollback leads.
func Impact(s *Snapshot, kind v1alpha1.ActionType, to string) []string {
	var out []string
	if kind == v1alpha1.ActionAbort && Watched(s.Rollout) {
		kind = v1alpha1.ActionRollback // to the revision that is kept ready
	}
	switch kind {
	case v1alpha1.ActionAbort:
		out = impactOfAbort(s)
	case v1alpha1.ActionRollback:
		out = impactOfRollback(s, to)
	case v1alpha1.ActionPromote:
		out = impactOfPromote(s)
	case v1alpha1.ActionPromoteFull:
		out = impactOfPromoteFull(s)
	case v1alpha1.ActionRetry:
		out = impactOfRetry(s)
	case v1alpha1.ActionPause:
		out = []string{"The release holds its weight until somebody promotes its step."}
	}
	if s.Rollout.Status.ObservedGeneration < s.Rollout.Generation {
		out = append(out, "The spec was changed a moment ago and the operator has not looked at it yet: another revision may replace this one.")
	}
	return out
}

func impactOfAbort(s *Snapshot) []string {
	r := s.Rollout
	out := []string{fmt.Sprintf("Revision %s is at step %s, with %d%% of requests.", r.Status.Canary.Revision, Position(r), r.Status.Canary.Weight)}
	if st := r.Status.Stable; st != nil {
		out = append(out, fmt.Sprintf("They go back to stable revision %s, of which %d of %d pods are available.", st.Revision, st.Available, st.Replicas))
		if st.Available < st.Proven {
			out = append(out, fmt.Sprintf("It last carried everything with %d: it takes back at once what it can carry, and the rest as its pods come.", st.Proven))
		}
	}
	return append(out, "The spec stays as it is. A retry, or another template, starts again from the first step.")
}

func impactOfRollback(s *Snapshot, to string) []string {
	r := s.Rollout
	kept := ""
	if r.Status.AfterPromotion != nil {
		kept = r.Status.AfterPromotion.Previous
	}
	if to == "" {
		to = kept
	}
	out := []string{fmt.Sprintf("Revision %s becomes stable again in place of %s.", to, r.Status.Stable.Revision)}
	if to == kept {
		out = append(out, "Its pods are kept ready: all traffic follows with one change of weight.")
	} else {
		out = append(out, "Its pods are started first; traffic follows when they can carry it.")
	}
	return append(out, fmt.Sprintf("The spec stays as it is, and revision %s counts as aborted: a retry, or another template, goes on from there.", r.Status.Stable.Revision))
}

func impactOfPromote(s *Snapshot) []string {
	r := s.Rollout
	if r.Status.Step.Name == v1alpha1.PromotionStep {
		return []string{fmt.Sprintf("The final move of revision %s goes on after its pause.", r.Status.Canary.Revision)}
	}
	out := []string{fmt.Sprintf("Step %s of revision %s is passed now.", Position(r), r.Status.Canary.Revision)}
	out = append(out, skipped(s)...)
	steps, after := Steps(r), int(r.Status.Step.Index)+1
	if after < len(steps) {
		out = append(out, fmt.Sprintf("Step %s follows, with %d%% of requests as soon as the canary's pods can carry them.", steps[after].Name, steps[after].Weight))
	} else {
		out = append(out, "It is the last: the canary gets all traffic as soon as its pods can carry it, and becomes stable.")
	}
	if r.Spec.Paused {
		out = append(out, "spec.paused stays true: what follows is held until somebody resumes.")
	}
	return out
}

func impactOfPromoteFull(s *Snapshot) []string {
	r := s.Rollout
	if r.Status.Step.Name == v1alpha1.PromotionStep {
		return impactOfPromote(s)
	}
	var names []string
	for i, step := range Steps(r) {
		if i > int(r.Status.Step.Index) {
			names = append(names, fmt.Sprintf("%s (%d%%)", step.Name, step.Weight))
		}
	}
	out := []string{fmt.Sprintf("Step %s of revision %s is passed now, and every step after it.", Position(r), r.Status.Canary.Revision)}
	out = append(out, skipped(s)...)
	if len(names) > 0 {
		out = append(out, "Left out, with all that would be measured in them: "+strings.Join(names, ", ")+".")
	}
	return append(out, "The canary gets all traffic as soon as its pods can carry it, and becomes stable.")
}

// skipped names what the current step still waits for, besides the promotion itself.
func skipped(s *Snapshot) []string {
	var out []string
	for _, g := range Gates(s) {
		if !g.Open && g.Name != approvalGate {
			out = append(out, fmt.Sprintf("Not waited for: %s (%s).", g.Name, g.Detail))
		}
	}
	return out
}

func impactOfRetry(s *Snapshot) []string {
	r := s.Rollout
	out := []string{fmt.Sprintf("Revision %s was aborted (%s): %s", r.Status.Canary.Revision, r.Status.Abort.Reason, r.Status.Abort.Message)}
	if steps := Steps(r); len(steps) > 0 {
		out = append(out, fmt.Sprintf("The same revision starts again at step %s, with %d%% of requests.", steps[0].Name, steps[0].Weight))
	}
	return out
}

// MovedOn says what changed between two looks at a Rollout.
func MovedOn(was, is *v1alpha1.Rollout) string {
	return fmt.Sprintf("you looked at %s; now %s", place(was), place(is))
}

func place(r *v1alpha1.Rollout) string {
	switch {
	case Releasing(r):
		return fmt.Sprintf("revision %s is at step %s", r.Status.Canary.Revision, Position(r))
	case Aborted(r):
		return fmt.Sprintf("revision %s is aborted (%s)", r.Status.Canary.Revision, r.Status.Abort.Reason)
	case r.Status.Stable != nil:
		return fmt.Sprintf("revision %s is stable and no release is in progress", r.Status.Stable.Revision)
	}
	return "no revision is deployed"
}

package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Release is one attempt to release a revision, as far as it is still known.
type Release struct {
	Canary string
	// Stable is what it was to replace; empty when that is not known any more.
	Stable  string
	Attempt int32
	// Stays are when which step was entered in which the canary had traffic, the oldest
	// first.
	Stays []v1alpha1.AnalysisStep
	// End is when it ended; zero while it is in progress.
	End time.Time
}

// ReleaseOf finds the latest release of a revision in what a Rollout and its
// AnalysisRuns remember; without a revision, the latest of all.
func ReleaseOf(r *v1alpha1.Rollout, runs []v1alpha1.AnalysisRun, canary string) (*Release, error) {
	history := r.Status.History
	begin := -1
	for i := range history {
		if begins(&history[i]) && (canary == "" || history[i].Revision == canary) {
			begin = i
		}
	}
	if begin < 0 {
		return nil, noRelease(r, canary)
	}
	release := &Release{Canary: history[begin].Revision, Attempt: 1}
	for i := begin; i < len(history); i++ {
		t := &history[i]
		if i > begin && ends(t, release.Canary) {
			release.End = t.At.Time
			break
		}
		if t.Revision == release.Canary && (i == begin || t.Type == v1alpha1.TransitionStepEntered) {
			release.enter(r, t)
		}
	}
	release.remember(r, runs, history[:begin])
	return release, nil
}

// noRelease says what is known instead of a release.
func noRelease(r *v1alpha1.Rollout, canary string) error {
	var known []string
	for i := range r.Status.History {
		if t := &r.Status.History[i]; begins(t) && !slices.Contains(known, t.Revision) {
			known = append(known, t.Revision)
		}
	}
	switch {
	case len(known) == 0:
		return fmt.Errorf("rollout %s remembers no release", r.Name)
	case canary == "":
		return fmt.Errorf("rollout %s remembers no release of any revision", r.Name)
	}
	return fmt.Errorf("rollout %s remembers no release of revision %s: it remembers those of %s", r.Name, canary, strings.Join(known, ", "))
}

func begins(t *v1alpha1.Transition) bool {
	return t.Type == v1alpha1.TransitionStarted || t.Type == v1alpha1.TransitionRetried
}

// ends tells whether a transition ends the release of a revision that is in progress.
func ends(t *v1alpha1.Transition, canary string) bool {
	switch t.Type {
	case v1alpha1.TransitionPromoted, v1alpha1.TransitionAborted, v1alpha1.TransitionSuperseded, v1alpha1.TransitionRolledBack:
		return true
	case v1alpha1.TransitionStarted, v1alpha1.TransitionRetried:
		return t.Revision != canary || t.Type == v1alpha1.TransitionRetried
	case v1alpha1.TransitionDeployed, v1alpha1.TransitionStepEntered, v1alpha1.TransitionPaused:
	}
	return false
}

// enter adds a stay, unless its step gives the canary no traffic.
func (l *Release) enter(r *v1alpha1.Rollout, t *v1alpha1.Transition) {
	steps := Steps(r)
	i := slices.IndexFunc(steps, func(s v1alpha1.Step) bool { return s.Name == t.Step })
	if t.Step == "" || t.Step == v1alpha1.PromotionStep || i >= 0 && steps[i].Weight <= 0 {
		return
	}
	index := int32(len(l.Stays))
	if i >= 0 {
		index = int32(i)
	}
	l.Stays = append(l.Stays, v1alpha1.AnalysisStep{Index: index, Name: t.Step, Since: t.At})
}

// remember adds what the AnalysisRuns and the transitions before say.
func (l *Release) remember(r *v1alpha1.Rollout, runs []v1alpha1.AnalysisRun, before []v1alpha1.Transition) {
	run := (*v1alpha1.AnalysisRun)(nil)
	for i := range runs {
		s := &runs[i].Spec.Subject
		if s.Rollout == r.Name && s.CanaryRevision == l.Canary && (run == nil || s.Attempt > run.Spec.Subject.Attempt) {
			run = &runs[i]
		}
	}
	if run != nil {
		l.Stable, l.Attempt = run.Spec.Subject.StableRevision, run.Spec.Subject.Attempt
		l.inForce(run.Status.Step)
		return
	}
	for i := range before {
		switch t := &before[i]; t.Type {
		case v1alpha1.TransitionDeployed, v1alpha1.TransitionPromoted:
			l.Stable = t.Revision
		case v1alpha1.TransitionRolledBack:
			l.Stable = "" // To which of two revisions, the transition does not say.
		default: // The others leave stable as it is.
		}
	}
	if canary := r.Status.Canary; l.Stable == "" && canary != nil && canary.Revision == l.Canary && r.Status.Stable != nil {
		l.Stable = r.Status.Stable.Revision
	}
}

// inForce makes the stay that an AnalysisRun speaks of begin when its weight was in
// force: the history knows only when the step was entered.
func (l *Release) inForce(step *v1alpha1.AnalysisStep) {
	if step == nil {
		return
	}
	for i := range l.Stays {
		s := &l.Stays[i]
		next := i+1 < len(l.Stays) && !step.Since.Time.Before(l.Stays[i+1].Since.Time)
		if s.Name == step.Name && !step.Since.Time.Before(s.Since.Time) && !next {
			s.Since = step.Since
		}
	}
}

// ReleaseOfRun is what an AnalysisRun alone says of its release: one stay, from the
// first weight on. It knows when a weight was in force of its latest step alone.
func ReleaseOfRun(run *v1alpha1.AnalysisRun) *Release {
	s := &run.Spec.Subject
	l := &Release{Canary: s.CanaryRevision, Stable: s.StableRevision, Attempt: s.Attempt}
	switch {
	case run.Spec.Steps <= 1 && run.Status.Step != nil:
		l.Stays = []v1alpha1.AnalysisStep{*run.Status.Step}
	case !run.CreationTimestamp.IsZero():
		l.Stays = []v1alpha1.AnalysisStep{{Name: "all", Since: metav1.NewMicroTime(run.CreationTimestamp.Time)}}
	}
	for i := range run.Status.Conditions {
		if c := &run.Status.Conditions[i]; c.Type == v1alpha1.ConditionCompleted && c.Status == metav1.ConditionTrue {
			l.End = c.LastTransitionTime.Time
		}
	}
	return l
}

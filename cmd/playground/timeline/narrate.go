package timeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Split is how the routing divides requests between two revisions.
type Split struct {
	// Weight is the percentage for the canary destination.
	Weight int32
	// Stable and Canary are the revisions that the destinations are bound to; empty
	// while they are bound to none.
	Stable, Canary string
}

// Share returns the percentage of requests that a revision is given.
func (s Split) Share(revision string) int32 {
	var share int32
	if revision != "" && s.Stable == revision {
		share += 100 - s.Weight
	}
	if revision != "" && s.Canary == revision {
		share += s.Weight
	}
	return share
}

// Narrator tells what changed on the objects of one Rollout. What it is shown first
// is where the story begins; it says nothing of that.
type Narrator struct {
	rollout  *v1alpha1.Rollout
	split    *Split
	measured map[string]time.Time // by run and metric: the latest measurement told
	actions  map[string]bool      // by name: told how it ended
}

// Rollout tells what changed on the Rollout.
func (n *Narrator) Rollout(now *v1alpha1.Rollout) []Note {
	before := n.rollout
	n.rollout = now.DeepCopy()
	if before == nil || before.UID != now.UID {
		return nil
	}
	notes := transitions(before.Status.History, now.Status.History)
	ended := slices.ContainsFunc(notes, func(note Note) bool { return note.Tone == Good || note.Tone == Bad })
	was, is := standing(before), standing(now)
	if is != nil && !ended && is.Reason != v1alpha1.ReasonShifting && (was == nil || was.Type != is.Type || was.Reason != is.Reason) {
		notes = append(notes, Note{Who: Sluice, Text: oneLine(is.Message), Tone: toneOf(is)})
	}
	return notes
}

// standing is the condition that says where the Rollout stands.
func standing(r *v1alpha1.Rollout) *metav1.Condition {
	for _, name := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling} {
		if c := meta.FindStatusCondition(r.Status.Conditions, name); c != nil && c.Status == metav1.ConditionTrue {
			return c
		}
	}
	return meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
}

func toneOf(c *metav1.Condition) Tone {
	switch {
	case c.Type == v1alpha1.ConditionStalled:
		return Bad
	case c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue:
		return Good
	default:
		return Plain
	}
}

// transitions tells the entries that one history has and another had not.
func transitions(before, now []v1alpha1.Transition) []Note {
	var notes []Note
	for i := range now {
		t := &now[i]
		known := slices.ContainsFunc(before, func(old v1alpha1.Transition) bool {
			return old.At.Equal(&t.At) && old.Type == t.Type && old.Step == t.Step
		})
		if known {
			continue
		}
		who, tone := decidedBy(t)
		notes = append(notes, Note{Who: who, Text: string(t.Type) + ": " + oneLine(t.Message), Tone: tone})
	}
	return notes
}

// decidedBy says who is behind a transition, and how it is meant.
func decidedBy(t *v1alpha1.Transition) (who string, tone Tone) {
	switch t.Type {
	case v1alpha1.TransitionPromoted, v1alpha1.TransitionDeployed:
		return Sluice, Good
	case v1alpha1.TransitionAborted:
		switch t.Reason {
		case v1alpha1.ReasonAnalysisFailed, v1alpha1.ReasonAnalysisError:
			return Analysis, Bad
		case v1alpha1.ReasonAlertFiring:
			return Alerts, Bad
		case v1alpha1.ReasonAborted:
			return You, Bad
		}
		return Sluice, Bad
	case v1alpha1.TransitionRolledBack:
		switch t.Reason {
		case v1alpha1.ReasonAnalysisFailed, v1alpha1.ReasonAnalysisError:
			return Analysis, Bad
		case v1alpha1.ReasonAlertFiring:
			return Alerts, Bad
		}
		return You, Step
	case v1alpha1.TransitionRetried, v1alpha1.TransitionSuperseded:
		return You, Step
	case v1alpha1.TransitionStarted, v1alpha1.TransitionStepEntered, v1alpha1.TransitionPaused:
		return Sluice, Step
	}
	return Sluice, Step
}

// Split tells what changed in the routing, and by whose hand.
func (n *Narrator) Split(now Split, who string) []Note {
	before := n.split
	n.split = &now
	if before == nil {
		return nil
	}
	var notes []Note
	if before.Stable != now.Stable {
		notes = append(notes, Note{Who: who, Text: "DestinationRule: stable is " + nameOf(now.Stable)})
	}
	if before.Canary != now.Canary {
		notes = append(notes, Note{Who: who, Text: "DestinationRule: canary is " + nameOf(now.Canary)})
	}
	if before.Weight != now.Weight {
		notes = append(notes, Note{
			Who: who, Tone: Step, Text: fmt.Sprintf("VirtualService: canary %d%% → %d%%", before.Weight, now.Weight),
		})
	}
	return notes
}

func nameOf(revision string) string {
	if revision == "" {
		return "bound to no revision"
	}
	return revision
}

// Run tells of measurements, with the numbers behind each verdict. Measurements
// that were written together share a note.
func (n *Narrator) Run(run *v1alpha1.AnalysisRun) []Note {
	if n.measured == nil {
		n.measured = map[string]time.Time{}
	}
	note, tone := []string{}, Plain
	for i := range run.Status.Metrics {
		s := &run.Status.Metrics[i]
		key := run.Name + "/" + s.Name
		if len(s.Measurements) == 0 {
			continue
		}
		last := &s.Measurements[len(s.Measurements)-1]
		if !last.At.After(n.measured[key]) {
			continue
		}
		n.measured[key] = last.At.Time
		note = append(note, measurement(specOf(run, s.Name), s, last))
		if last.Verdict == v1alpha1.VerdictFailure || last.Verdict == v1alpha1.VerdictError {
			tone = Bad
		}
	}
	if len(note) == 0 {
		return nil
	}
	return []Note{{Who: Analysis, Text: strings.Join(note, ", "), Tone: tone}}
}

func specOf(run *v1alpha1.AnalysisRun, metric string) *v1alpha1.Metric {
	for i := range run.Spec.Metrics {
		if run.Spec.Metrics[i].Name == metric {
			return &run.Spec.Metrics[i]
		}
	}
	return &v1alpha1.Metric{Name: metric}
}

// measurement says in a few words what was measured and what it counts as.
func measurement(spec *v1alpha1.Metric, s *v1alpha1.MetricStatus, last *v1alpha1.Measurement) string {
	condition := spec.SuccessWhen
	if condition == "" {
		condition = "not (" + spec.FailWhen + ")"
	}
	needed := max(spec.Count, 1)
	progress := fmt.Sprintf("%d of %d", min(s.Successful, needed), needed)
	switch last.Verdict {
	case v1alpha1.VerdictSuccess:
		return fmt.Sprintf("%s %s passes %q (%s)", s.Name, number(last.Value), condition, progress)
	case v1alpha1.VerdictFailure:
		return fmt.Sprintf("%s %s fails %q (%d failed, limit %d)",
			s.Name, number(last.Value), condition, s.Failed, spec.FailureLimit)
	case v1alpha1.VerdictError:
		return fmt.Sprintf("%s cannot be measured: %s", s.Name, last.Reason)
	case v1alpha1.VerdictInconclusive:
		return fmt.Sprintf("%s %s is inconclusive (%s)", s.Name, number(last.Value), progress)
	case v1alpha1.VerdictPending:
	}
	return fmt.Sprintf("%s has no data yet (%s)", s.Name, progress)
}

// number rounds a measured value for the eye; the evidence keeps all digits.
func number(value string) string {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// Action tells what became of a command.
func (n *Narrator) Action(a *v1alpha1.RolloutAction) []Note {
	if n.actions == nil {
		n.actions = map[string]bool{}
	}
	refused := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionRefused)
	applied := meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionApplied)
	if n.actions[a.Name] || refused == nil && !applied {
		return nil
	}
	n.actions[a.Name] = true
	if refused == nil {
		return nil // the transition that it led to says it all
	}
	return []Note{{Who: Sluice, Tone: Bad, Text: fmt.Sprintf("%s refused: %s", a.Spec.Action, oneLine(refused.Message))}}
}

// Writer names who wrote an object last: the field manager of its newest entry.
// The operator goes by its own name, and wins where an entry is as old as its own,
// for these times are whole seconds.
func Writer(object metav1.Object) string {
	const operator = "sluice"
	name, at := operator, time.Time{}
	for _, entry := range object.GetManagedFields() {
		if entry.Time == nil {
			continue
		}
		newer := entry.Time.After(at)
		if newer || entry.Time.Time.Equal(at) && entry.Manager == operator {
			name, at = entry.Manager, entry.Time.Time
		}
	}
	if name == operator {
		return Sluice
	}
	return name
}

package rollout

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/trafficrouting"
)

const (
	// historyLength is how many transitions the status keeps.
	historyLength = 20
	// countsDelay is how old counts and wording in a status may be, when nothing
	// else changed in it.
	countsDelay = 2 * time.Second
	// messageLength is the most that a condition's message may have.
	messageLength = 1024
)

// writeStatus writes the one status of a reconcile, if it changed, and then tells
// of the transitions. shifted says that the plan's split is written already.
func (r *Reconciler) writeStatus(ctx context.Context, o *observation, p *plan.Plan, shifted bool) error {
	next := makeStatus(o, p, shifted)
	if equality.Semantic.DeepEqual(&o.rollout.Status, next) {
		o.memory.outdated = time.Time{}
		return nil
	}
	if sameButCounts(&o.rollout.Status, next) {
		if o.memory.outdated.IsZero() {
			o.memory.outdated = o.Now
		}
		if wait := countsDelay - o.Now.Sub(o.memory.outdated); wait > 0 {
			if p.RequeueAfter == 0 || wait < p.RequeueAfter {
				p.RequeueAfter = wait
			}
			return nil
		}
	}
	written := o.rollout.DeepCopy()
	written.Status = *next
	if err := r.client.Status().Update(ctx, written); err != nil {
		if apierrors.IsNotFound(err) {
			return errGone
		}
		return fmt.Errorf("writing the status: %w", err)
	}
	o.memory.outdated = time.Time{}
	o.rollout.ResourceVersion = written.ResourceVersion
	r.announce(o.rollout, written, p)
	return nil
}

// makeStatus builds the whole status.
func makeStatus(o *observation, p *plan.Plan, shifted bool) *v1alpha1.RolloutStatus {
	s := o.rollout.Status.DeepCopy()
	s.ObservedGeneration = o.rollout.Generation
	writePosition(s, p.Position)
	split := o.Routing.State
	if p.Split != nil && !p.Raises && shifted {
		split = trafficrouting.State{
			Stable: p.Split.Stable, Canary: p.Split.Canary,
			MinWeight: p.Split.Weight, MaxWeight: p.Split.Weight,
		}
	}
	s.Stable = revisionStatus(o, p.Position.Stable, split)
	if s.Stable != nil {
		s.Stable.Proven = p.Position.Proven
		s.Replicas = s.Stable.Replicas
	}
	s.Canary = revisionStatus(o, p.Position.Canary, split)
	s.Selector = scaleSelector(o.rollout, p.Position.Stable)
	for i := range p.Transitions {
		s.LastTransition = &p.Transitions[i]
		s.History = append(s.History, p.Transitions[i])
	}
	if excess := len(s.History) - historyLength; excess > 0 {
		s.History = s.History[excess:]
	}
	writeConditions(s, &p.Verdict, o)
	return s
}

func revisionStatus(o *observation, revision string, split trafficrouting.State) *v1alpha1.RevisionStatus {
	if revision == "" {
		return nil
	}
	s := &v1alpha1.RevisionStatus{Revision: revision}
	for i := range o.ReplicaSets {
		if rs := &o.ReplicaSets[i]; rs.Revision == revision {
			s.ReplicaSet, s.Replicas, s.Available = rs.Name, rs.Replicas, rs.Available
		}
	}
	if split.Stable == revision {
		s.Weight += 100 - split.MaxWeight
	}
	if split.Canary == revision {
		s.Weight += split.MaxWeight
	}
	return s
}

// scaleSelector matches stable's pods: an autoscaler must not count the canary's.
func scaleSelector(rollout *v1alpha1.Rollout, stable string) string {
	selector := rollout.Spec.Selector.DeepCopy()
	if stable != "" {
		metav1.AddLabelToSelector(selector, v1alpha1.PodTemplateHashLabel, stable)
	}
	return metav1.FormatLabelSelector(selector)
}

func writeConditions(s *v1alpha1.RolloutStatus, v *plan.Verdict, o *observation) {
	set := func(kind string, c *plan.Condition) {
		if c == nil {
			meta.RemoveStatusCondition(&s.Conditions, kind)
			return
		}
		message := c.Message
		if len(message) > messageLength {
			message = message[:messageLength]
		}
		condition := metav1.Condition{
			Type:               kind,
			Status:             c.Status,
			ObservedGeneration: o.rollout.Generation,
			Reason:             c.Reason,
			Message:            message,
			LastTransitionTime: metav1.NewTime(o.Now),
		}
		meta.SetStatusCondition(&s.Conditions, condition)
	}
	set(v1alpha1.ConditionReady, &v.Ready)
	set(v1alpha1.ConditionReconciling, v.Reconciling)
	set(v1alpha1.ConditionStalled, v.Stalled)
	set(v1alpha1.ConditionRouting, &v.Routing)
	set(v1alpha1.ConditionAnalysis, v.Analysis)
}

// sameButCounts reports whether two statuses differ only in what may be a moment
// old: counts of pods, weights seen, and the wording of conditions. What an
// autoscaler reads is not among it.
func sameButCounts(a, b *v1alpha1.RolloutStatus) bool {
	return equality.Semantic.DeepEqual(withoutCounts(a), withoutCounts(b))
}

func withoutCounts(s *v1alpha1.RolloutStatus) *v1alpha1.RolloutStatus {
	s = s.DeepCopy()
	for _, r := range []*v1alpha1.RevisionStatus{s.Stable, s.Canary} {
		if r != nil {
			r.ReplicaSet, r.Replicas, r.Available, r.Weight = "", 0, 0, 0
		}
	}
	for i := range s.Conditions {
		s.Conditions[i].Reason, s.Conditions[i].Message = "", ""
	}
	if s.Step != nil {
		s.Step.Progress, s.Step.ProgressAt = 0, nil
	}
	return s
}

package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/trafficrouting"
)

const (
	// historyLength is how many transitions the status keeps.
	historyLength = 20
	// standsFor is how long a status must have stood to be written in which only
	// counts, wording, or since when a step is in force changed; it is written latest
	// that long after the first such change. A process that ends in between waits for
	// the step to be in force once more, which it does anyway.
	standsFor = 2 * time.Second
	latest    = 5 * time.Second
	// messageLength is the most that a condition's message may have.
	messageLength = 1024
)

// writeStatus writes the one status of a reconcile, if it changed, and then tells
// of the transitions. shifted says that the plan's split is written already.
func (r *Reconciler) writeStatus(ctx context.Context, o *observation, p *plan.Plan, shifted bool) error {
	r.announceUnsure(o)
	name, next := client.ObjectKeyFromObject(o.rollout), makeStatus(o, p, shifted)
	wait, late := o.memory.late(&o.rollout.Status, o.status, next, o.Now)
	if late {
		r.unwritten.Publish(name, o.rollout.UID, &handover.Unwritten{Written: &o.rollout.Status, Newest: next})
		if p.RequeueAfter == 0 || wait < p.RequeueAfter {
			p.RequeueAfter = wait
		}
		return nil
	}
	if !equality.Semantic.DeepEqual(&o.rollout.Status, next) {
		written := o.rollout.DeepCopy()
		written.Status = *next
		if err := r.client.Status().Update(ctx, written); err != nil {
			if apierrors.IsNotFound(err) {
				return errGone
			}
			if !isConflict(err) && o.memory.unsure == nil {
				o.memory.unsure = o.rollout
			}
			return fmt.Errorf("writing the status: %w", err)
		}
		o.rollout.ResourceVersion = written.ResourceVersion
		o.memory.unsure = nil
		r.announce(o.rollout, written)
	}
	r.unwritten.Forget(name)
	o.memory.wrote()
	return nil
}

// flush writes the statuses that are late, of a process that stops: the next one need
// not find out again since when a step is in force.
func (r *Reconciler) flush(ctx context.Context) {
	unwritten := r.unwritten.All()
	handover.EachAtStop(slices.Collect(maps.Keys(unwritten)), func(name types.NamespacedName) {
		if err := r.flushOne(ctx, name, unwritten[name]); err != nil {
			log.FromContext(ctx).Info("A status was not written before stopping", "rollout", name, "cause", err.Error())
		}
	})
}

func (r *Reconciler) flushOne(ctx context.Context, name types.NamespacedName, u *handover.Unwritten) error {
	rollout := &v1alpha1.Rollout{}
	err := r.client.Get(ctx, name, rollout)
	if err == nil && u.Over(&rollout.Status) {
		rollout.Status = *u.Newest.DeepCopy()
		err = r.client.Status().Update(ctx, rollout)
	}
	return client.IgnoreNotFound(err)
}

// makeStatus builds the whole status.
func makeStatus(o *observation, p *plan.Plan, shifted bool) *v1alpha1.RolloutStatus {
	s := o.status.DeepCopy()
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

// sameButMoments reports whether a status differs from the one that is written only in
// what may be a moment old: counts of pods, weights seen, the wording of conditions,
// since when a step's split is in force, and that commands are known to have ended.
// What an autoscaler reads is not among it.
func sameButMoments(written, next *v1alpha1.RolloutStatus) bool {
	was, is := withoutMoments(written), withoutMoments(next)
	was.AppliedActions = slices.DeleteFunc(was.AppliedActions, func(uid types.UID) bool {
		return !slices.Contains(is.AppliedActions, uid)
	})
	return equality.Semantic.DeepEqual(was, is)
}

func withoutMoments(s *v1alpha1.RolloutStatus) *v1alpha1.RolloutStatus {
	s = s.DeepCopy()
	for _, r := range []*v1alpha1.RevisionStatus{s.Stable, s.Canary} {
		if r != nil {
			r.ReplicaSet, r.Replicas, r.Available, r.Weight = "", 0, 0, 0
		}
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if c.Status == metav1.ConditionUnknown {
			c.Status = metav1.ConditionTrue // The split is in force, or a verdict is there: False is not late.
		}
		c.Reason, c.Message, c.LastTransitionTime = "", "", metav1.Time{}
	}
	if s.Step != nil {
		s.Step.InForceSince, s.Step.Progress, s.Step.ProgressAt = nil, 0, nil
	}
	return s
}

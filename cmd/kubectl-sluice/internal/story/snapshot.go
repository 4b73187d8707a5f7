// Package story says in words where a Rollout stands, what it waits for, when it
// acts next and what a person can do about it. It is pure: objects and the time go
// in, values come out.
package story

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Snapshot is a Rollout and what belongs to it, read at one moment.
type Snapshot struct {
	Rollout *v1alpha1.Rollout
	// ReplicaSets and Pods are those of the Rollout alone.
	ReplicaSets []appsv1.ReplicaSet
	Pods        []corev1.Pod
	Runs        []v1alpha1.AnalysisRun
	Actions     []v1alpha1.RolloutAction
	// Unread names kinds that could not be read, and why: what they would tell is
	// missing above.
	Unread []string
	// Now is when it was read.
	Now time.Time
}

// Revision is one revision of a Rollout with its pods.
type Revision struct {
	Name string
	// Role is Stable, Canary, or Earlier for one that had its time.
	Role Role
	// Status is what the Rollout says of it; nil for an earlier one.
	Status *v1alpha1.RevisionStatus
	// ReplicaSet is nil where it does not exist, or could not be read.
	ReplicaSet *appsv1.ReplicaSet
	Pods       []corev1.Pod
	// Draining is since when it has had no traffic, or nil.
	Draining *time.Time
	// Run is the latest analysis of it, or nil.
	Run *v1alpha1.AnalysisRun
}

// Role is what a revision is to its Rollout.
type Role string

// The roles.
const (
	Stable  Role = "stable"
	Canary  Role = "canary"
	Earlier Role = "earlier"
)

// Revisions lists the revisions: canary, stable, then the earlier ones, newest
// first.
func (s *Snapshot) Revisions() []Revision {
	var out []Revision
	status := &s.Rollout.Status
	if status.Canary != nil {
		out = append(out, s.revision(status.Canary.Revision, Canary, status.Canary))
	}
	if status.Stable != nil {
		out = append(out, s.revision(status.Stable.Revision, Stable, status.Stable))
	}
	sets := slices.Clone(s.ReplicaSets)
	slices.SortFunc(sets, func(a, b appsv1.ReplicaSet) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for i := range sets {
		name := sets[i].Labels[v1alpha1.PodTemplateHashLabel]
		if !slices.ContainsFunc(out, func(r Revision) bool { return r.Name == name }) {
			out = append(out, s.revision(name, Earlier, nil))
		}
	}
	return out
}

func (s *Snapshot) revision(name string, role Role, status *v1alpha1.RevisionStatus) Revision {
	r := Revision{Name: name, Role: role, Status: status}
	for i := range s.ReplicaSets {
		if s.ReplicaSets[i].Labels[v1alpha1.PodTemplateHashLabel] == name {
			r.ReplicaSet = &s.ReplicaSets[i]
		}
	}
	for i := range s.Pods {
		if s.Pods[i].Labels[v1alpha1.PodTemplateHashLabel] == name {
			r.Pods = append(r.Pods, s.Pods[i])
		}
	}
	slices.SortFunc(r.Pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, d := range s.Rollout.Status.Draining {
		if d.Revision == name {
			since := d.Since.Time
			r.Draining = &since
		}
	}
	for i := range s.Runs {
		run := &s.Runs[i]
		if run.Spec.Subject.CanaryRevision == name && (r.Run == nil || run.Spec.Subject.Attempt > r.Run.Spec.Subject.Attempt) {
			r.Run = run
		}
	}
	return r
}

// Wanted is how many pods the revision's ReplicaSet is to have.
func (r *Revision) Wanted() int32 {
	switch {
	case r.ReplicaSet != nil && r.ReplicaSet.Spec.Replicas != nil:
		return *r.ReplicaSet.Spec.Replicas
	case r.Status != nil:
		return r.Status.Replicas
	}
	return 0
}

// Available is how many of its pods can serve.
func (r *Revision) Available() int32 {
	switch {
	case r.ReplicaSet != nil:
		return r.ReplicaSet.Status.AvailableReplicas
	case r.Status != nil:
		return r.Status.Available
	}
	return 0
}

// RecentActions lists the commands that are not ended, and the latest few that are,
// newest first.
func (s *Snapshot) RecentActions(most int) []v1alpha1.RolloutAction {
	out := slices.Clone(s.Actions)
	slices.SortFunc(out, func(a, b v1alpha1.RolloutAction) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	ended := 0
	return slices.DeleteFunc(out, func(a v1alpha1.RolloutAction) bool {
		if Outcome(&a) == nil {
			return false
		}
		ended++
		return ended > most
	})
}

// Outcome returns the condition that ended a command, or nil.
func Outcome(a *v1alpha1.RolloutAction) *metav1.Condition {
	for i := range a.Status.Conditions {
		c := &a.Status.Conditions[i]
		if (c.Type == v1alpha1.ConditionApplied || c.Type == v1alpha1.ConditionRefused) && c.Status == metav1.ConditionTrue {
			return c
		}
	}
	return nil
}

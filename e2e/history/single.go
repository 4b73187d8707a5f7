package history

import (
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// lease is who of the operators may write.
type lease struct {
	// holder is the user that took the lease last.
	holder string
	// identity is of its process, or empty when the lease was given back.
	identity string
	// late counts what others wrote since they lost it.
	late map[string]int
}

// checkLease holds S. A write may be in flight when the lease is lost; one is let
// pass.
func (c *Checker) checkLease(ch *change) {
	if ch.Writer == "" {
		return
	}
	if ch.Kind == KindLease {
		if ch.new == nil {
			return
		}
		taken, _ := ch.new.typed.(*coordinationv1.Lease)
		if ptr.Deref(taken.Spec.HolderIdentity, "") == "" {
			c.lease.identity = ""
			return // Given back: the writer has no more to write, and nobody else may.
		}
		if c.lease.holder != ch.Writer {
			c.lease.late = map[string]int{}
		}
		c.passedOn(ptr.Deref(taken.Spec.HolderIdentity, ""))
		c.lease.holder = ch.Writer
		return
	}
	if c.lease.holder == "" || c.lease.holder == ch.Writer {
		return
	}
	if c.lease.late[ch.Writer]++; c.lease.late[ch.Writer] > 1 {
		c.violate(Single, ch.Version, "%s wrote %s %s though %s has the lease, %d writes after losing it",
			ch.Writer, ch.Kind, ch.Name, c.lease.holder, c.lease.late[ch.Writer])
	}
}

// passedOn notes which process has the lease now. One that lost it without giving it
// back may have ended with evidence that it had not written yet.
func (c *Checker) passedOn(identity string) {
	if c.lease.identity != "" && c.lease.identity != identity {
		c.unproved = nil
	}
	c.lease.identity = identity
}

// checkUnique holds U.
func (c *Checker) checkUnique(ch *change) {
	if ch.old != nil || ch.new == nil {
		return
	}
	switch x := ch.new.typed.(type) {
	case *v1alpha1.AnalysisRun:
		for _, other := range list[v1alpha1.AnalysisRun](c.world, KindAnalysisRun, ch.Namespace) {
			if a, b := x.Spec.Subject, other.Spec.Subject; other.Name != x.Name &&
				a.Rollout == b.Rollout && a.CanaryRevision == b.CanaryRevision && a.Attempt == b.Attempt {
				c.violate(Unique, ch.Version, "AnalysisRuns %s and %s judge the same attempt", other.Name, x.Name)
			}
		}
	case *appsv1.ReplicaSet:
		c.checkTwins(ch, x)
	}
}

func (c *Checker) checkTwins(ch *change, rs *appsv1.ReplicaSet) {
	owner := rs.Labels[v1alpha1.RolloutLabel]
	if owner == "" {
		return
	}
	for _, other := range list[appsv1.ReplicaSet](c.world, KindReplicaSet, ch.Namespace) {
		if other.Name == rs.Name || other.Labels[v1alpha1.RolloutLabel] != owner {
			continue
		}
		const template = v1alpha1.TemplateAnnotation
		if other.Labels[v1alpha1.PodTemplateHashLabel] == rs.Labels[v1alpha1.PodTemplateHashLabel] ||
			other.Annotations[template] != "" && other.Annotations[template] == rs.Annotations[template] {
			c.violate(Unique, ch.Version, "ReplicaSets %s and %s are of the same revision", other.Name, rs.Name)
		}
	}
}

package history

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// log notes a version as a line: when, revision, what, by whom, and how it is now.
func (c *Checker) log(ch *change) {
	now := summary(ch.new)
	if ch.new == nil && !ch.Deleted() {
		now = "cannot be read"
	}
	if ch.old != nil && ch.new != nil && summary(ch.old) == now {
		if ch.Kind == KindLease || ch.Kind == KindPod {
			return
		}
		now = "(as before) " + now
	}
	writer := ch.Writer
	if writer == "" {
		writer = "-"
	}
	c.entries = append(c.entries, entry{
		revision: ch.Revision, namespace: ch.Namespace,
		line: fmt.Sprintf("%s %6d %-15s %-28s %-10s %s", ch.Seen.Format("15:04:05.000"), ch.Revision, ch.Kind, ch.Name,
			writer[strings.LastIndex(writer, ":")+1:], now),
	})
}

func summary(o *object) string {
	if o == nil {
		return "deleted"
	}
	switch x := o.typed.(type) {
	case *v1alpha1.Rollout:
		return rolloutSummary(x)
	case *v1alpha1.AnalysisRun:
		return runSummary(x)
	case *v1alpha1.RolloutAction:
		outcome := "pending"
		for _, c := range x.Status.Conditions {
			outcome = c.Type + "/" + c.Reason
		}
		return fmt.Sprintf("%s revision=%s step=%s %s", x.Spec.Action, x.Spec.Revision, x.Spec.Step, outcome)
	case *virtualService:
		var parts []string
		for _, h := range x.Spec.HTTP {
			for _, d := range h.Route {
				parts = append(parts, fmt.Sprintf("%s/%s%s=%d", h.Name, d.Destination.Host, "."+d.Destination.Subset, d.Weight))
			}
		}
		return strings.Join(parts, " ")
	case *destinationRule:
		var parts []string
		for _, s := range x.Spec.Subsets {
			parts = append(parts, s.Name+"="+s.Labels[v1alpha1.PodTemplateHashLabel])
		}
		return strings.Join(parts, " ")
	case *corev1.Service:
		return "selects " + x.Spec.Selector[v1alpha1.PodTemplateHashLabel]
	case *appsv1.ReplicaSet:
		return fmt.Sprintf("wants %d, has %d, %d ready, %d available", ptr.Deref(x.Spec.Replicas, 1),
			x.Status.Replicas, x.Status.ReadyReplicas, x.Status.AvailableReplicas)
	case *corev1.Pod:
		return fmt.Sprintf("ready=%t deleting=%t %s", podReady(x), x.DeletionTimestamp != nil, x.Status.Phase)
	case *coordinationv1.Lease:
		return "held by " + ptr.Deref(x.Spec.HolderIdentity, "")
	}
	return ""
}

func rolloutSummary(r *v1alpha1.Rollout) string {
	s := &r.Status
	parts := []string{fmt.Sprintf("generation=%d/%d", s.ObservedGeneration, r.Generation)}
	if s.Stable != nil {
		parts = append(parts, fmt.Sprintf("stable=%s:%d(%d of %d)", s.Stable.Revision, s.Stable.Weight, s.Stable.Available, s.Stable.Replicas))
	}
	if s.Canary != nil {
		parts = append(parts, fmt.Sprintf("canary=%s:%d(%d of %d)", s.Canary.Revision, s.Canary.Weight, s.Canary.Available, s.Canary.Replicas))
	}
	if s.Step != nil {
		since := "not in force"
		if s.Step.InForceSince != nil {
			since = "since " + s.Step.InForceSince.Format("05.000")
		}
		parts = append(parts, fmt.Sprintf("attempt %d step %d %s:%d %s", s.Attempt, s.Step.Index, s.Step.Name, s.Step.Weight, since))
	}
	if s.Abort != nil {
		parts = append(parts, "aborted: "+s.Abort.Reason)
	}
	if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); ready != nil {
		parts = append(parts, "Ready="+string(ready.Status)+"/"+ready.Reason)
	}
	if r.DeletionTimestamp != nil {
		parts = append(parts, "deleting")
	}
	return strings.Join(parts, " ")
}

func runSummary(r *v1alpha1.AnalysisRun) string {
	out := fmt.Sprintf("canary=%s attempt=%d verdict=%s", r.Spec.Subject.CanaryRevision, r.Spec.Subject.Attempt, r.Status.Verdict)
	if r.Status.Step != nil {
		out += fmt.Sprintf(" step=%d since %s", r.Status.Step.Index, r.Status.Step.Since.Format("05.000"))
	}
	return out + " " + r.Status.Message
}

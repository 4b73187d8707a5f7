package story

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Command writes a command of the plugin for a Rollout, ready to be copied.
func Command(r *v1alpha1.Rollout, verb string) string {
	return fmt.Sprintf("kubectl sluice %s %s -n %s", verb, r.Name, r.Namespace)
}

// advise lists what a person can do, the likeliest first.
func advise(s *Snapshot, state State) []Advice {
	r := s.Rollout
	switch {
	case state == Unobserved:
		return []Advice{{"kubectl get pods -A -l app.kubernetes.io/name=sluice", "tells whether the operator runs, which writes the status of every Rollout"}}
	case r.DeletionTimestamp != nil:
		return nil
	case Aborted(r):
		return append(troubles(s), adviseAborted(r)...)
	case Releasing(r):
		return append(troubles(s), adviseReleasing(r, state)...)
	case Watched(r):
		return []Advice{{Command(r, "rollback"), fmt.Sprintf("gives revision %s, which is kept ready, all traffic back", r.Status.AfterPromotion.Previous)}}
	case state == Degraded:
		return []Advice{{What: "change what the message names; the Rollout goes on by itself then"}}
	}
	return nil
}

func adviseAborted(r *v1alpha1.Rollout) []Advice {
	return []Advice{
		{Command: Command(r, "history"), What: "reads what led there"},
		{What: "push a template that is fixed: its release starts at the first step"},
		{Command: Command(r, "retry"), What: fmt.Sprintf("starts revision %s again from the first step, if the revision was not to blame", r.Status.Canary.Revision)},
	}
}

func adviseReleasing(r *v1alpha1.Rollout, state State) []Advice {
	var out []Advice
	if r.Spec.Paused {
		out = append(out, Advice{Command(r, "resume"), "lets the release go on"})
	}
	abort := Advice{Command(r, "abort"), "returns all traffic to stable"}
	step := CurrentStep(r)
	switch {
	case r.Status.Pause != nil:
		return append(out, abort, Advice{Command(r, "promote"), "lets the release go on after its pause, with the next step"})
	case step == nil || state != Paused && state != Progressing:
		return append(out, abort)
	case step.Approval == v1alpha1.ApprovalRequired:
		return append(out, Advice{Command(r, "promote"), fmt.Sprintf("approves step %s, and passes it", step.Name)}, abort)
	}
	return append(out, abort, Advice{Command(r, "promote"), fmt.Sprintf("passes step %s now, whatever it still waits for", step.Name)})
}

// troubles points at pods that do not start.
func troubles(s *Snapshot) []Advice {
	for _, pod := range s.canary().Pods {
		if PodState(&pod).Trouble != "" {
			return []Advice{{fmt.Sprintf("kubectl describe pod %s -n %s", pod.Name, pod.Namespace), "tells why the pod does not start"}}
		}
	}
	return nil
}

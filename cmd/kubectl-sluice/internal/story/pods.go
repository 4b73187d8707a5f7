package story

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Pod is how a pod fares.
type Pod struct {
	// Word is what "kubectl get pods" says of it.
	Word string
	// Ready is whether it can serve.
	Ready bool
	// Restarts of all its containers.
	Restarts int32
	// Trouble says in a sentence what keeps it from starting, or is empty.
	Trouble string
}

// PodState reads how a pod fares.
func PodState(p *corev1.Pod) Pod {
	out := Pod{Word: string(p.Status.Phase)}
	if p.Status.Reason != "" {
		out.Word = p.Status.Reason
		out.Trouble = because(p.Status.Reason, p.Status.Message)
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			out.Ready = c.Status == corev1.ConditionTrue
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			out.Trouble = because(c.Reason, c.Message)
		}
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			out.readContainer(&list[i])
		}
	}
	if p.DeletionTimestamp != nil {
		out.Word, out.Ready, out.Trouble = "Terminating", false, ""
	}
	return out
}

// harmless are reasons to wait that every pod has at its start.
var harmless = map[string]bool{"ContainerCreating": true, "PodInitializing": true, "": true}

func (p *Pod) readContainer(c *corev1.ContainerStatus) {
	p.Restarts += c.RestartCount
	if w := c.State.Waiting; w != nil && !harmless[w.Reason] {
		p.Word = w.Reason
		p.Trouble = because("container "+c.Name+" is in "+w.Reason, w.Message)
	}
	if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
		p.Word = t.Reason
		p.Trouble = because(fmt.Sprintf("container %s ended with exit code %d", c.Name, t.ExitCode), t.Message)
	}
}

func because(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + message
}

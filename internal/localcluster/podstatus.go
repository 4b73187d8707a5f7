package localcluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations that a pod (template) may carry to say how it behaves here.
const (
	// AnnotationStartupDelay is a duration ("2s") from the pod's start until
	// its app listens and it is ready. It adds to what the image tag says.
	AnnotationStartupDelay = "localcluster.sluice.dev/startup-delay"
	// AnnotationNeverReady ("true") makes a pod run and never become ready.
	AnnotationNeverReady = "localcluster.sluice.dev/never-ready"
	// AnnotationDrain is how long a pod keeps serving once it is deleted, in
	// place of its termination grace period.
	AnnotationDrain = "localcluster.sluice.dev/drain"
)

// PauseImage prefixes the images of pods that get a status and listen to
// nothing, which is cheap.
const PauseImage = "localcluster/pause"

// podPlan is what a pod's spec asks of the runner.
type podPlan struct {
	behaviour  Behaviour
	startDelay time.Duration
	drain      time.Duration
	neverReady bool
	pause      bool
	invalid    string // why it cannot start; it stays waiting
}

// planPod reads a pod. Mistakes in it do not stop the runner: such a pod stays
// waiting, as one with a bad image does on a real node.
func planPod(pod *corev1.Pod) podPlan {
	var p podPlan
	var err error
	image := ""
	if len(pod.Spec.Containers) > 0 {
		image = pod.Spec.Containers[0].Image
	}
	p.pause = strings.HasPrefix(image, PauseImage)
	p.neverReady = pod.Annotations[AnnotationNeverReady] == "true"
	if p.behaviour, err = behaviourOf(image); err != nil {
		p.invalid = err.Error()
	}
	p.startDelay = p.behaviour.StartDelay
	if d, err := annotatedDuration(pod, AnnotationStartupDelay); err != nil {
		p.invalid = err.Error()
	} else {
		p.startDelay += d
	}
	if d, err := annotatedDuration(pod, AnnotationDrain); err != nil {
		p.invalid = err.Error()
	} else if _, ok := pod.Annotations[AnnotationDrain]; ok {
		p.drain = d
	} else if !p.pause {
		p.drain = gracePeriod(pod)
	}
	return p
}

func annotatedDuration(pod *corev1.Pod, key string) (time.Duration, error) {
	raw, ok := pod.Annotations[key]
	if !ok {
		return 0, nil
	}
	d, err := time.ParseDuration(raw)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("annotation %s: %q is no duration", key, raw)
	}
	return d, nil
}

// gracePeriod prefers the one that the deletion was asked with.
func gracePeriod(pod *corev1.Pod) time.Duration {
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		seconds = *s
	}
	if s := pod.DeletionGracePeriodSeconds; s != nil {
		seconds = *s
	}
	return time.Duration(seconds) * time.Second
}

// podFacts is what is true of a pod; its status follows from it.
type podFacts struct {
	ip      string
	started time.Time
	changed time.Time // when ready last changed
	ready   bool
	killed  bool
	waiting string // why it does not start
}

// podStatus builds the status a kubelet would report.
func podStatus(pod *corev1.Pod, node, nodeIP string, f podFacts) corev1.PodStatus {
	started := metav1.NewTime(f.started)
	condition := func(kind corev1.PodConditionType, ok bool, since time.Time) corev1.PodCondition {
		c := corev1.PodCondition{
			Type: kind, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(since), ObservedGeneration: pod.Generation,
		}
		if !ok {
			c.Status = corev1.ConditionFalse
		}
		return c
	}
	status := corev1.PodStatus{
		ObservedGeneration: pod.Generation,
		Phase:              corev1.PodRunning,
		StartTime:          &started,
		HostIP:             nodeIP, HostIPs: []corev1.HostIP{{IP: nodeIP}},
		PodIP: f.ip, PodIPs: []corev1.PodIP{{IP: f.ip}},
		Conditions: []corev1.PodCondition{
			condition(corev1.PodReadyToStartContainers, true, f.started),
			condition(corev1.PodInitialized, true, f.started),
			condition(corev1.ContainersReady, f.ready, f.changed),
			condition(corev1.PodReady, f.ready, f.changed),
		},
	}
	switch {
	case f.killed:
		status.Phase, status.Reason, status.Message = corev1.PodFailed, "Killed", "killed on "+node
	case f.waiting != "":
		status.Phase = corev1.PodPending
	}
	for i := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(&pod.Spec.Containers[i], pod, f))
	}
	return status
}

func containerStatus(c *corev1.Container, pod *corev1.Pod, f podFacts) corev1.ContainerStatus {
	running := !f.killed && f.waiting == ""
	s := corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: "localcluster://" + c.Image,
		Ready: f.ready, Started: &running,
	}
	if running || f.killed {
		s.ContainerID = fmt.Sprintf("localcluster://%s/%s", pod.UID, c.Name)
	}
	switch {
	case f.killed:
		s.State.Terminated = &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "Error",
			StartedAt: metav1.NewTime(f.started), FinishedAt: metav1.NewTime(f.changed),
		}
	case f.waiting != "":
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "InvalidImageName", Message: f.waiting}
	default:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(f.started)}
	}
	return s
}

// statusPatch is a strategic merge patch that fails when the pod of that name
// is another one by now, and leaves alone the conditions of others.
func statusPatch(pod *corev1.Pod, status *corev1.PodStatus) ([]byte, error) {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status":   status,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a pod's status: %w", err)
	}
	return patch, nil
}

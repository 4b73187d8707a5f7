// Package storytest builds snapshots for tests, around a fixed time.
package storytest

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// Now is the time of every snapshot.
var Now = time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)

// The two revisions.
const (
	StableRevision = "6d6cb5488c"
	CanaryRevision = "5d8c7b6f9"
)

// Ago is a moment before Now.
func Ago(d time.Duration) metav1.Time { return metav1.NewTime(Now.Add(-d)) }

func micro(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(Now.Add(-d)) }

// Healthy is a Rollout at rest: ten pods of one revision.
func Healthy() *story.Snapshot {
	r := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "checkout", UID: "rollout", Generation: 3,
			CreationTimestamp: Ago(90 * 24 * time.Hour), ResourceVersion: "1",
		},
		Spec: v1alpha1.RolloutSpec{
			Replicas: ptr.To[int32](10),
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{
				{Name: "smoke", Weight: 1, Approval: v1alpha1.ApprovalRequired},
				{Weight: 10, Bake: &metav1.Duration{Duration: 5 * time.Minute}},
				{Name: "half", Weight: 50, Bake: &metav1.Duration{Duration: 10 * time.Minute}},
			}}},
			Analysis: &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{
				Name: "error-ratio", Count: 5, Interval: &metav1.Duration{Duration: 30 * time.Second},
			}}},
		},
		Status: v1alpha1.RolloutStatus{
			ObservedGeneration: 3, Attempt: 7,
			Stable: &v1alpha1.RevisionStatus{
				Revision: StableRevision, ReplicaSet: "checkout-" + StableRevision, Replicas: 10, Available: 10, Proven: 10, Weight: 100,
			},
		},
	}
	s := &story.Snapshot{Rollout: r, Now: Now}
	s.ReplicaSets = append(s.ReplicaSets, replicaSet(StableRevision, 10, 10, 48*time.Hour), replicaSet("77c4f8b5d", 0, 0, 96*time.Hour))
	for i := range 10 {
		s.Pods = append(s.Pods, pod(StableRevision, i, true, 48*time.Hour))
	}
	Say(s, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPromoted, "revision "+StableRevision+" is stable and has all traffic")
	Say(s, v1alpha1.ConditionRouting, metav1.ConditionTrue, v1alpha1.ReasonInForce, "all traffic for stable "+StableRevision)
	return s
}

// Say sets a condition of the Rollout.
func Say(s *story.Snapshot, kind string, status metav1.ConditionStatus, reason, message string) {
	conditions := &s.Rollout.Status.Conditions
	for i := range *conditions {
		if (*conditions)[i].Type == kind {
			*conditions = append((*conditions)[:i], (*conditions)[i+1:]...)
			break
		}
	}
	*conditions = append(*conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

// Moving makes a Rollout reconcile for a reason.
func Moving(s *story.Snapshot, reason, message string) {
	Say(s, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	Say(s, v1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, message)
}

// released gives the Rollout a canary in a step.
func released(index int32, name string, weight, pods, available int32) *story.Snapshot {
	s := Healthy()
	status := &s.Rollout.Status
	status.Canary = &v1alpha1.RevisionStatus{
		Revision: CanaryRevision, ReplicaSet: "checkout-" + CanaryRevision, Replicas: pods, Available: available, Weight: weight,
	}
	status.Stable.Weight = 100 - weight
	status.Step = &v1alpha1.StepStatus{Index: index, Name: name, Weight: weight, EnteredAt: micro(4 * time.Minute)}
	s.ReplicaSets = append(s.ReplicaSets, replicaSet(CanaryRevision, pods, available, 20*time.Minute))
	for i := range int(pods) {
		s.Pods = append(s.Pods, pod(CanaryRevision, i, i < int(available), 20*time.Minute))
	}
	return s
}

// Approval waits for a person in its first step, with evidence.
func Approval() *story.Snapshot {
	s := released(0, "smoke", 1, 1, 1)
	s.Rollout.Status.Step.InForceSince = ptr.To(micro(3 * time.Minute))
	Moving(s, v1alpha1.ReasonPaused, "step smoke waits for somebody to promote it")
	Say(s, v1alpha1.ConditionRouting, metav1.ConditionTrue, v1alpha1.ReasonInForce, "1% for canary "+CanaryRevision)
	Say(s, v1alpha1.ConditionAnalysis, metav1.ConditionUnknown, v1alpha1.ReasonAnalysing, "error-ratio: 3 of 5 measurements succeeded")
	s.Runs = append(s.Runs, run(s, v1alpha1.VerdictPending, "error-ratio: 3 of 5 measurements succeeded", 3, 0, "0.002", "0.004", "0.001"))
	s.Actions = append(s.Actions, action("waiting", v1alpha1.ActionPromote, time.Second, "jane", "looked at it by hand", nil))
	return s
}

// Baking is in its second step, with nothing but time missing.
func Baking() *story.Snapshot {
	s := released(1, "step-2", 10, 1, 1)
	s.Rollout.Status.Step.InForceSince = ptr.To(micro(3 * time.Minute))
	Moving(s, v1alpha1.ReasonBaking, "step step-2 bakes until 2026-11-25T03:02:00Z")
	Say(s, v1alpha1.ConditionAnalysis, metav1.ConditionTrue, v1alpha1.ReasonPassing, "error-ratio: 5 of 5 measurements succeeded")
	s.Runs = append(s.Runs, run(s, v1alpha1.VerdictSuccess, "error-ratio: 5 of 5 measurements succeeded", 5, 0, "0.002"))
	return s
}

// Waiting has pods that do not start.
func Waiting() *story.Snapshot {
	s := released(2, "half", 50, 5, 2)
	s.Rollout.Status.Canary.Weight, s.Rollout.Status.Stable.Weight = 10, 90
	Moving(s, v1alpha1.ReasonWaitingForPods, "step half waits for pods: 2 of 5 of revision "+CanaryRevision+" are available")
	Say(s, v1alpha1.ConditionRouting, metav1.ConditionUnknown, v1alpha1.ReasonShifting, "10% of 50% for the canary")
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Labels[v1alpha1.PodTemplateHashLabel] == CanaryRevision && p.Status.Conditions[0].Status != corev1.ConditionTrue {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: "app", RestartCount: 4,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s restarting failed container"}},
			}}
		}
	}
	return s
}

// Aborted had a metric that failed.
func Aborted() *story.Snapshot {
	s := released(2, "half", 0, 0, 0)
	status := &s.Rollout.Status
	status.Step = nil
	message := "error-ratio: 1 of at most 0 failed; value 0.31 <= 0.01 is false"
	status.Abort = &v1alpha1.AbortStatus{Reason: v1alpha1.ReasonAnalysisFailed, Message: message, At: micro(time.Minute), Step: "half"}
	status.Draining = []v1alpha1.DrainStatus{{Revision: CanaryRevision, Since: micro(10 * time.Second)}}
	said := "revision " + CanaryRevision + " was aborted in step half: " + message
	Say(s, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAnalysisFailed, said)
	Say(s, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonAnalysisFailed, said)
	s.Runs = append(s.Runs, run(s, v1alpha1.VerdictFailure, message, 2, 1, "0.31", "0.002"))
	status.History = []v1alpha1.Transition{
		{At: micro(time.Hour), Type: v1alpha1.TransitionStarted, Revision: CanaryRevision, Step: "smoke", Reason: v1alpha1.ReasonWaitingForPods, Message: "revision " + CanaryRevision + " is released over " + StableRevision},
		{At: micro(10 * time.Minute), Type: v1alpha1.TransitionStepEntered, Revision: CanaryRevision, Step: "half", Reason: v1alpha1.ReasonPassing, Message: "step step-2 passed: error-ratio: 5 of 5 measurements succeeded"},
		{At: micro(time.Minute), Type: v1alpha1.TransitionAborted, Revision: CanaryRevision, Step: "half", Reason: v1alpha1.ReasonAnalysisFailed, Message: message},
	}
	refused := &metav1.Condition{
		Type: v1alpha1.ConditionRefused, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNothingInProgress,
		Message: "the release of revision " + CanaryRevision + " was aborted",
	}
	s.Actions = append(s.Actions, action("late", v1alpha1.ActionPromote, 30*time.Second, "jane", "", refused))
	return s
}

// Hostile has texts that would write to the terminal if they were let.
func Hostile() *story.Snapshot {
	s := Approval()
	s.Actions[0].Spec.RequestedBy = "mallory\x1b[2J\x1b[1;1H"
	s.Actions[0].Spec.Reason = "all\ris\nwell \u202egnihton"
	return s
}

func replicaSet(revision string, wanted, available int32, age time.Duration) appsv1.ReplicaSet {
	return appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "checkout-" + revision, UID: types.UID(revision), CreationTimestamp: Ago(age),
			Labels: map[string]string{v1alpha1.PodTemplateHashLabel: revision},
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: ptr.To(wanted)},
		Status: appsv1.ReplicaSetStatus{Replicas: wanted, AvailableReplicas: available},
	}
}

func pod(revision string, i int, ready bool, age time.Duration) corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: fmt.Sprintf("checkout-%s-%05d", revision, i), CreationTimestamp: Ago(age),
			Labels: map[string]string{v1alpha1.PodTemplateHashLabel: revision},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
		},
	}
}

// run is the analysis of the present attempt; its values are newest first.
func run(s *story.Snapshot, verdict v1alpha1.Verdict, message string, good, failed int32, values ...string) v1alpha1.AnalysisRun {
	m := v1alpha1.MetricStatus{
		Name: "error-ratio", Verdict: verdict, Successful: good, Failed: failed,
		LastMeasuredAt: ptr.To(micro(10 * time.Second)), Query: "sum(rate(errors[1m]))",
	}
	for i := len(values) - 1; i >= 0; i-- {
		m.Measurements = append(m.Measurements, v1alpha1.Measurement{Value: values[i]})
	}
	return v1alpha1.AnalysisRun{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout-" + CanaryRevision + "-7", CreationTimestamp: Ago(19 * time.Minute)},
		Spec: v1alpha1.AnalysisRunSpec{
			Subject: v1alpha1.AnalysisSubject{Rollout: "checkout", StableRevision: StableRevision, CanaryRevision: CanaryRevision, Attempt: 7},
			Metrics: s.Rollout.Spec.Analysis.Metrics,
		},
		Status: v1alpha1.AnalysisRunStatus{Verdict: verdict, Message: message, Metrics: []v1alpha1.MetricStatus{m}},
	}
}

func action(name string, kind v1alpha1.ActionType, age time.Duration, by, why string, outcome *metav1.Condition) v1alpha1.RolloutAction {
	a := v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: Ago(age)},
		Spec:       v1alpha1.RolloutActionSpec{Rollout: "checkout", Action: kind, Revision: CanaryRevision, RequestedBy: by, Reason: why},
	}
	if outcome != nil {
		a.Status.Conditions = []metav1.Condition{*outcome}
	}
	return a
}

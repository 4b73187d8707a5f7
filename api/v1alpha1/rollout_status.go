package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RolloutStatus is what Sluice did and sees.
type RolloutStatus struct {
	// conditions tell where the Rollout stands. See the Condition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// replicas is the number of stable's pods: what an autoscaler must see.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`

	// selector matches stable's pods, in the form that an autoscaler needs.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Selector string `json:"selector,omitempty"`

	// stable is the revision that has the traffic which the canary does not have.
	// +optional
	Stable *RevisionStatus `json:"stable,omitempty"`

	// canary is the revision that is being released, or the one that was aborted
	// last.
	// +optional
	Canary *RevisionStatus `json:"canary,omitempty"`

	// attempt counts the releases that this Rollout started, retries included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`

	// step is where the release is. Absent without a release in progress.
	// +optional
	Step *StepStatus `json:"step,omitempty"`

	// abort tells why the canary was aborted. Absent unless it was.
	// +optional
	Abort *AbortStatus `json:"abort,omitempty"`

	// afterPromotion tells of the revision that stable replaced, while that is kept
	// ready to return. Absent without one.
	// +optional
	AfterPromotion *AfterPromotionStatus `json:"afterPromotion,omitempty"`

	// pause tells why the release waits for somebody to promote it, where a Pause
	// action or an alert made it wait. Absent unless one did.
	// +optional
	Pause *PauseStatus `json:"pause,omitempty"`

	// alerts tells which alerts do nothing more in this attempt. Absent without alert
	// rules, and without a release that is in progress or watched after its promotion.
	// +optional
	Alerts *AlertsStatus `json:"alerts,omitempty"`

	// draining tells since when no traffic is routed to revisions that nobody
	// needs: those that wait for their drain time, and those that lost their pods
	// since the latest release began.
	// +optional
	// +listType=map
	// +listMapKey=revision
	// +kubebuilder:validation:MaxItems=64
	Draining []DrainStatus `json:"draining,omitempty"`

	// appliedActions are the UIDs of actions whose effect is in this status while
	// their own status does not say so yet.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	AppliedActions []types.UID `json:"appliedActions,omitempty"`

	// lastTransition is the newest entry of history.
	// +optional
	LastTransition *Transition `json:"lastTransition,omitempty"`

	// history lists the latest 20 transitions, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	History []Transition `json:"history,omitempty"`
}

// RevisionStatus tells about the pods and the traffic of one revision.
type RevisionStatus struct {
	// revision is the value of the label pod-template-hash on its pods.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision"`
	// replicaSet is the name of its ReplicaSet.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ReplicaSet string `json:"replicaSet,omitempty"`
	// replicas is the number of its pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`
	// available is the number of its pods that are available.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Available int32 `json:"available"`
	// proven is the number of pods with which it last carried all traffic: what
	// its return needs. Only for stable.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Proven int32 `json:"proven,omitempty"`
	// weight is the percentage of requests that the routes give it now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
}

// PromotionStep names the final move of all traffic to the canary, which follows
// the user's steps. Its index is their number.
const PromotionStep = "promotion"

// StepStatus tells where in the steps a release is.
type StepStatus struct {
	// index of the step, from 0. The number of steps itself stands for the final
	// move of all traffic to the canary.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50
	Index int32 `json:"index"`
	// name of the step; "promotion" for the final move.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// weight of the step, kept so that a release continues at the right place when
	// the steps are edited.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// enteredAt is when the step became current.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	EnteredAt metav1.MicroTime `json:"enteredAt"`
	// inForceSince is when the step's weight was observed in force. Bake and
	// analysis count from here. Absent until then.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	InForceSince *metav1.MicroTime `json:"inForceSince,omitempty"`
	// progress is the most canary pods that were available in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Progress int32 `json:"progress,omitempty"`
	// progressAt is when progress last rose. The progress deadline counts from
	// here.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	ProgressAt *metav1.MicroTime `json:"progressAt,omitempty"`
}

// AbortStatus tells why and when a canary was aborted.
type AbortStatus struct {
	// reason is one of the Reason constants.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// message says what was seen, and by whom it was decided.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// at is when it was decided.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	At metav1.MicroTime `json:"at"`
	// step is the name of the step in which it was decided.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Step string `json:"step,omitempty"`
}

// AfterPromotionStep names the watch over a revision that became stable, where a step
// is named.
const AfterPromotionStep = "after-promotion"

// AfterPromotionStatus tells of the revision that stable replaced.
type AfterPromotionStatus struct {
	// previous is the revision that is kept ready to return.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Previous string `json:"previous"`
	// proven is the number of pods with which it last carried all traffic: what its
	// return needs.
	// +required
	// +kubebuilder:validation:Minimum=0
	Proven int32 `json:"proven"`
	// promotedAt is when stable replaced it. Bake and analysis count from here.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	PromotedAt metav1.MicroTime `json:"promotedAt"`
	// bakedAt is when the bake was over. Absent until then.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	BakedAt *metav1.MicroTime `json:"bakedAt,omitempty"`
}

// DrainStatus tells since when a ReplicaSet has had no traffic.
type DrainStatus struct {
	// revision of the ReplicaSet.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision"`
	// since is when it was first seen without traffic.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	Since metav1.MicroTime `json:"since"`
}

// Transition is a change of a release that a person would want to read about.
type Transition struct {
	// at is when it happened.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	At metav1.MicroTime `json:"at"`
	// type of the transition.
	// +required
	Type TransitionType `json:"type"`
	// revision that it concerns.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`
	// step that was entered or in which it happened.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Step string `json:"step,omitempty"`
	// reason is one of the Reason constants.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// message says why, with the numbers behind it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// TransitionType is the kind of a transition.
//
// +kubebuilder:validation:Enum=Deployed;Started;StepEntered;Promoted;Aborted;Retried;Superseded;RolledBack;Paused
type TransitionType string

// Values of TransitionType.
const (
	// TransitionDeployed: the first revision got all traffic.
	TransitionDeployed TransitionType = "Deployed"
	// TransitionStarted: a new revision became the canary.
	TransitionStarted TransitionType = "Started"
	// TransitionStepEntered: a step became current.
	TransitionStepEntered TransitionType = "StepEntered"
	// TransitionPromoted: the canary became stable.
	TransitionPromoted TransitionType = "Promoted"
	// TransitionAborted: traffic goes back to stable.
	TransitionAborted TransitionType = "Aborted"
	// TransitionRetried: an aborted revision starts again.
	TransitionRetried TransitionType = "Retried"
	// TransitionSuperseded: a newer revision replaced the canary.
	TransitionSuperseded TransitionType = "Superseded"
	// TransitionRolledBack: the spec went back to stable's template, or stable gave its
	// place back to an earlier revision.
	TransitionRolledBack TransitionType = "RolledBack"
	// TransitionPaused: the release waits for somebody to promote it.
	TransitionPaused TransitionType = "Paused"
)

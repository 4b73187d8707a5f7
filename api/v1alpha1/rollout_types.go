package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Rollout describes a service's release once: its pods, how traffic moves to a
// new revision step by step, and what must hold on the way.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=ro,categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.name`
// +kubebuilder:printcolumn:name="Weight",type=integer,JSONPath=`.status.canary.weight`
// +kubebuilder:printcolumn:name="Stable",type=string,JSONPath=`.status.stable.revision`
// +kubebuilder:printcolumn:name="Canary",type=string,JSONPath=`.status.canary.revision`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="the name may have at most 52 characters, so that names of ReplicaSets and pods fit"
type Rollout struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the user wants. Controllers never write it.
	// +required
	Spec RolloutSpec `json:"spec"`
	// status is what Sluice did and sees.
	// +optional
	Status RolloutStatus `json:"status,omitempty"`
}

// RolloutList is a list of Rollouts.
//
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollout `json:"items"`
}

// RolloutSpec is what the user wants.
//
// +kubebuilder:validation:XValidation:rule="!has(self.alerts) || self.alerts.all(a, !has(a.during) || !has(a.during.afterPromotion) || duration(a.during.afterPromotion) == duration('0s') || has(self.afterPromotion) && duration(has(self.afterPromotion.keepPrevious) ? self.afterPromotion.keepPrevious : self.afterPromotion.bake) >= duration(a.during.afterPromotion))",message="an alert's during.afterPromotion must not be longer than afterPromotion keeps the previous revision: set afterPromotion.keepPrevious"
type RolloutSpec struct {
	// replicas is the number of pods that carry all of the service's traffic.
	// Default 1. A HorizontalPodAutoscaler may own it through the scale
	// subresource: leave it out of your manifests then.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Replicas *int32 `json:"replicas,omitempty"`

	// selector matches the pods of this Rollout, of every revision. It must match
	// the labels of the pod template and no other workload's pods. It cannot be
	// changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="selector cannot be changed"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || !('pod-template-hash' in self.matchLabels)",message="selector must not have pod-template-hash: it differs from revision to revision"
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && size(self.matchLabels) > 0 || has(self.matchExpressions) && size(self.matchExpressions) > 0",message="selector must not be empty: it would match every pod"
	Selector metav1.LabelSelector `json:"selector"`

	// workload says which pods to run.
	// +required
	Workload Workload `json:"workload"`

	// strategy says how a new revision is released.
	// +required
	Strategy Strategy `json:"strategy"`

	// traffic says which routing objects split the service's requests.
	// +required
	Traffic Traffic `json:"traffic"`

	// analysis says what is measured while the canary has traffic. Without it steps
	// pass on time and approval alone, and no metric is looked at, unless the operator
	// compares canaries by default: then one that is worse is aborted all the same.
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`

	// afterPromotion keeps watch over a revision that became stable, and the one
	// before ready to return. Without it a release is over with its promotion.
	// +optional
	AfterPromotion *AfterPromotion `json:"afterPromotion,omitempty"`

	// alerts say which alerts abort, pause or hold a release. At most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Alerts []AlertRule `json:"alerts,omitempty"`

	// paused true holds every release where it is: the canary's weight does not
	// rise and no step is passed. Aborts, a newer revision and scaling still take
	// effect. Default false.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// progressDeadline is how long the canary's pods may take to become
	// available in a step before the release is aborted. The time starts again
	// whenever more of them are available than ever before in this step.
	// Default 10m, 1s to 24h.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="progressDeadline must be between 1s and 24h"
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`

	// minReadySeconds is how long, in seconds, a new pod must be ready without a
	// container crashing before it counts as available. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`

	// revisionHistoryLimit is how many ReplicaSets of earlier revisions are kept
	// at zero pods, so that going back to one of them is recognised as such.
	// Default 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// deletionPolicy says what becomes of the pods that serve when the Rollout is
	// deleted. Orphan (default): the stable ReplicaSet stays and goes on serving,
	// so that deleting a Rollout, or the whole of Sluice, takes no service down.
	// Delete: it goes with the Rollout. The routing is given back in both cases.
	// +optional
	// +kubebuilder:default=Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// DeletionPolicy says what becomes of the serving pods of a deleted Rollout.
//
// +kubebuilder:validation:Enum=Orphan;Delete
type DeletionPolicy string

const (
	// DeletionPolicyOrphan keeps the stable ReplicaSet.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
	// DeletionPolicyDelete deletes the stable ReplicaSet with the Rollout.
	DeletionPolicyDelete DeletionPolicy = "Delete"
)

// Workload says which pods to run.
//
// +kubebuilder:validation:XValidation:rule="has(self.template)",message="workload.template is required"
type Workload struct {
	// template is the pod template, as in a Deployment. It is checked by the API
	// server with a dry run before anything moves, not by this schema, so that
	// fields newer than Sluice work.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Template *runtime.RawExtension `json:"template,omitempty"`
}

// AfterPromotion keeps watch over a revision that became stable. A metric that fails
// in that time, or an Abort or Rollback action, gives all traffic back to the previous
// revision, once; the spec is left untouched, and the Rollout is Stalled until a new
// revision, a Retry or the previous template comes. A newer revision ends the watch.
//
// +kubebuilder:validation:XValidation:rule="has(self.bake) || has(self.keepPrevious)",message="at least one of bake and keepPrevious must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.bake) || !has(self.keepPrevious) || duration(self.keepPrevious) >= duration(self.bake)",message="keepPrevious must not be shorter than bake: a rollback needs the previous revision's pods"
type AfterPromotion struct {
	// bake is how long after the promotion metrics go on being judged by their
	// thresholds; there is no other revision any more to compare with. Default 0s,
	// at most 168h. The Rollout is Reconciling until then.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="bake must be between 0s and 168h"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// keepPrevious is how long after the promotion the previous revision keeps as
	// many pods as replicas says, so that its return needs none. At least bake, at
	// most 168h; bake without it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="keepPrevious must be between 0s and 168h"
	KeepPrevious *metav1.Duration `json:"keepPrevious,omitempty"`
}

// Strategy says how a new revision is released.
//
// +kubebuilder:validation:XValidation:rule="has(self.canary)",message="strategy.canary is required"
type Strategy struct {
	// canary moves traffic to the new revision step by step.
	// +optional
	Canary *CanaryStrategy `json:"canary,omitempty"`
}

// CanaryStrategy moves traffic to the new revision step by step.
//
// +kubebuilder:validation:XValidation:rule="self.steps.all(s, !has(s.name) || self.steps.exists_one(t, has(t.name) && t.name == s.name))",message="step names must be unique"
type CanaryStrategy struct {
	// steps are passed in order. After the last one the canary gets all traffic
	// and becomes stable. 1 to 50 steps.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Steps []Step `json:"steps"`
}

// Step is a state, not an instruction: everything in it holds while the step is
// current, and is put right when something else changes it.
//
// +kubebuilder:validation:XValidation:rule="self.weight == 0 || !has(self.scale) || !has(self.scale.replicas) || self.scale.replicas > 0",message="a step with weight needs at least one canary pod"
// +kubebuilder:validation:XValidation:rule="self.weight == 0 || !has(self.scale) || !has(self.scale.percent) || self.scale.percent > 0",message="a step with weight needs at least one canary pod"
// +kubebuilder:validation:XValidation:rule="!has(self.name) || self.name != 'promotion' && self.name != 'after-promotion'",message="the name promotion stands for the final move of all traffic, and after-promotion for the watch that follows"
type Step struct {
	// name tells the step apart in status, events and commands. Default
	// "step-<n>", n from 1. Names of that form cannot be chosen, nor can
	// "promotion", which is the move of all traffic after the last step.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('^step-[0-9]+$')",message="names such as step-1 stand for steps without a name"
	Name string `json:"name,omitempty"`

	// weight is the percentage of requests that go to the canary, 0 to 100.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`

	// bake is the least time for which the weight must have been in force before
	// the step is passed. Default 0s, at most 168h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="bake must be between 0s and 168h"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// scale sets the number of canary pods in this step. Without it there are as
	// many as the weight's share of replicas, rounded up, and at least one.
	// +optional
	Scale *StepScale `json:"scale,omitempty"`

	// approval Required holds the step until somebody promotes it. Default None.
	// +optional
	// +kubebuilder:default=None
	Approval Approval `json:"approval,omitempty"`
}

// Approval says whether a person must promote a step.
//
// +kubebuilder:validation:Enum=None;Required
type Approval string

const (
	// ApprovalNone lets the step pass by itself.
	ApprovalNone Approval = "None"
	// ApprovalRequired holds the step until a Promote action.
	ApprovalRequired Approval = "Required"
)

// StepScale sets the number of canary pods in a step.
//
// +kubebuilder:validation:XValidation:rule="has(self.replicas) != has(self.percent)",message="exactly one of replicas and percent must be set"
type StepScale struct {
	// replicas is a number of pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Replicas *int32 `json:"replicas,omitempty"`
	// percent is a percentage of spec.replicas, rounded up, 0 to 100.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RolloutAction is a command to a Rollout: it is looked at once, and either
// applied or refused; its conditions say which and why. Who may command is plain
// RBAC: create on rolloutactions, and the action as a verb on the rollout.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=roa,categories=sluice
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.spec.rollout`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Applied",type=string,JSONPath=`.status.conditions[?(@.type=="Applied")].status`
// +kubebuilder:printcolumn:name="Refused",type=string,JSONPath=`.status.conditions[?(@.type=="Refused")].reason`
// +kubebuilder:printcolumn:name="Why",type=string,priority=1,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RolloutAction struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the command. It cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec cannot be changed: create another RolloutAction"
	Spec RolloutActionSpec `json:"spec"`
	// status tells what became of it.
	// +optional
	Status RolloutActionStatus `json:"status,omitempty"`
}

// RolloutActionList is a list of RolloutActions.
//
// +kubebuilder:object:root=true
type RolloutActionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RolloutAction `json:"items"`
}

// RolloutActionSpec is a command.
//
// +kubebuilder:validation:XValidation:rule="!has(self.toRevision) || self.action == 'Rollback'",message="toRevision is for action Rollback"
// +kubebuilder:validation:XValidation:rule="!has(self.toRevision) || self.toRevision != self.revision",message="toRevision must be another revision than the one to leave"
type RolloutActionSpec struct {
	// rollout is the name of the Rollout, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Rollout string `json:"rollout"`

	// action to take. Promote passes the current step now, whatever its bake,
	// approval or analysis still wait for. PromoteFull passes all remaining steps.
	// Abort returns traffic to stable and leaves the spec untouched; while a revision
	// is watched after its promotion, it returns traffic to the previous one. Retry
	// starts an aborted revision again from the first step. Rollback makes an earlier
	// revision stable again and leaves the spec untouched. Pause keeps the release
	// from advancing until it is promoted. None of them gives a revision more traffic
	// than its pods can carry.
	// +required
	Action ActionType `json:"action"`

	// revision for which the command is meant: the canary, or for a Rollback, and an
	// Abort after the promotion, the stable one. At any other the command is refused.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision"`

	// toRevision is the revision that a Rollback makes stable; its ReplicaSet must still
	// exist. Without it, it is the one that status.afterPromotion keeps.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ToRevision string `json:"toRevision,omitempty"`

	// step is the name of the step for which the command is meant; at any other the
	// command is refused. Without it any step will do.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Step string `json:"step,omitempty"`

	// reason is shown wherever the effect of the command is.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`

	// requestedBy names who asks, to be shown with the effect. It is what the
	// creator claims, not a proven identity.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RequestedBy string `json:"requestedBy,omitempty"`

	// timeToLive is how long after its creation the command may take effect, and
	// how long after that the object is kept. Default 1h, 1s to 168h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="timeToLive must be between 1s and 168h"
	TimeToLive *metav1.Duration `json:"timeToLive,omitempty"`

	// alert is what the command answers to, where Sluice itself gave it.
	// +optional
	Alert *AlertOrigin `json:"alert,omitempty"`
}

// ActionType is the kind of a command.
//
// +kubebuilder:validation:Enum=Promote;PromoteFull;Abort;Retry;Rollback;Pause
type ActionType string

// Values of ActionType.
const (
	// ActionPromote passes the current step.
	ActionPromote ActionType = "Promote"
	// ActionPromoteFull passes all remaining steps.
	ActionPromoteFull ActionType = "PromoteFull"
	// ActionAbort returns traffic to stable.
	ActionAbort ActionType = "Abort"
	// ActionRetry starts an aborted revision again.
	ActionRetry ActionType = "Retry"
	// ActionRollback makes an earlier revision stable again.
	ActionRollback ActionType = "Rollback"
	// ActionPause keeps the release from advancing until it is promoted.
	ActionPause ActionType = "Pause"
)

// RolloutActionStatus tells what became of a command.
type RolloutActionStatus struct {
	// conditions are Applied or Refused, once the command was looked at.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

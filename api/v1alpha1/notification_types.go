package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Notifier tells people, or programs, what happens to Rollouts of its namespace. It
// is told after the fact, and never asked: no release waits for it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ntf,categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Notifier struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says whom to tell of what.
	// +required
	Spec NotifierSpec `json:"spec"`
	// status tells whether the notifier is usable.
	// +optional
	Status NotifierStatus `json:"status,omitempty"`
}

// NotifierList is a list of Notifiers.
//
// +kubebuilder:object:root=true
type NotifierList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Notifier `json:"items"`
}

// NotifierSpec says whom to tell of what.
//
// +kubebuilder:validation:XValidation:rule="[has(self.slack), has(self.teams), has(self.webhook), has(self.cloudEvents)].filter(x, x).size() == 1",message="exactly one of slack, teams, webhook and cloudEvents must be set"
type NotifierSpec struct {
	// slack posts a text to an incoming webhook of Slack, or of a server that takes
	// the same.
	// +optional
	Slack *ChatWebhook `json:"slack,omitempty"`

	// teams posts an Adaptive Card to the webhook of a Teams workflow.
	// +optional
	Teams *ChatWebhook `json:"teams,omitempty"`

	// webhook posts a JSON object, with the text and all that it was made of.
	// +optional
	Webhook *NotificationEndpoint `json:"webhook,omitempty"`

	// cloudEvents posts a CloudEvent 1.0 in structured JSON mode. Its data is what
	// webhook posts, its type is dev.sluice.rollout. and the trigger's type in lower
	// case.
	// +optional
	CloudEvents *NotificationEndpoint `json:"cloudEvents,omitempty"`

	// selector picks Rollouts of the namespace by their labels. Without it all are
	// told of.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// triggers are what to tell of, at most one for each type. Default Aborted,
	// RolledBack, Promoted, Paused, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={{type: Aborted}, {type: RolledBack}, {type: Promoted}, {type: Paused}, {type: Stalled}}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Triggers []NotificationTrigger `json:"triggers,omitempty"`
}

// ChatWebhook is the webhook of a chat. Whoever knows its address can write there, so
// that it has its place in a Secret.
type ChatWebhook struct {
	// addressFrom is the key with the address, http or https. Redirects are not
	// followed. Addresses that are loopback, link-local or the API server's own are
	// refused.
	// +required
	AddressFrom SecretKeyReference `json:"addressFrom"`
}

// NotificationEndpoint is a server that takes notifications.
//
// +kubebuilder:validation:XValidation:rule="has(self.address) != has(self.addressFrom)",message="exactly one of address and addressFrom must be set"
type NotificationEndpoint struct {
	// address to post to, http or https, with an optional path and without
	// credentials or query. Redirects are not followed. Addresses that are loopback,
	// link-local or the API server's own are refused.
	// +optional
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="address must be an http or https URL"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="address must not contain credentials, a query or a fragment: use addressFrom"
	Address string `json:"address,omitempty"`

	// addressFrom is the key with the address, for one that has a secret in it. It
	// may have a query.
	// +optional
	AddressFrom *SecretKeyReference `json:"addressFrom,omitempty"`

	// bearer is a token to send in the header Authorization. Without it nothing is
	// sent.
	// +optional
	Bearer *SecretKeyReference `json:"bearer,omitempty"`

	// tls says how to verify an https server. Without it the system's authorities
	// are trusted. TLS 1.2 is the least.
	// +optional
	TLS *ProviderTLS `json:"tls,omitempty"`
}

// NotificationTrigger is one thing to tell of.
type NotificationTrigger struct {
	// type is that of a Rollout's transition, or Stalled: a Rollout that only a
	// person can get further, for another reason than an abort. An abort is told once,
	// as Aborted, and what takes traffic back after a promotion once, as RolledBack.
	// Paused tells of every release that waits for somebody: for an alert, a command,
	// spec.paused, or a step's approval.
	// +required
	Type NotificationType `json:"type"`

	// reasons limit the trigger to these reasons of the transition, or of the
	// condition Stalled. Without it every reason is told.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Reasons []string `json:"reasons,omitempty"`

	// template is the text to send, in the syntax of Go's text/template, with the
	// fields Namespace, Rollout, Labels, Type, Reason, Revision, Step, Stable, Canary,
	// Message and Time. It may have if, else, with, variables, comparisons, and, or,
	// not and index; no loops and no other functions. The text is cut after 4096
	// bytes. Without it a sentence says all that matters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Template string `json:"template,omitempty"`
}

// NotificationType is a kind of notification: a TransitionType, or Stalled.
//
// +kubebuilder:validation:Enum=Deployed;Started;StepEntered;Promoted;Aborted;Retried;Superseded;RolledBack;Paused;Stalled
type NotificationType string

// NotificationTypes that conditions lead to.
const (
	// NotificationStalled, which no transition is: a Rollout has a new reason to be
	// Stalled, and no release was aborted.
	NotificationStalled NotificationType = ConditionStalled
	// NotificationPaused: a release waits for somebody to promote it. Besides the
	// transition it tells of steps that want approval, and of spec.paused.
	NotificationPaused = NotificationType(TransitionPaused)
)

// NotifierStatus tells whether the notifier is usable.
type NotifierStatus struct {
	// conditions holds Ready.
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

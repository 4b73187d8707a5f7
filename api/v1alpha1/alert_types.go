package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AlertRule says which alerts concern the releases of a Rollout, and what they do
// to one. An alert that began before the release did never ends or pauses it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.during) || !has(self.during.afterPromotion) || self.action == 'Abort'",message="during.afterPromotion needs action Abort: after its promotion there is nothing to pause or to hold"
type AlertRule struct {
	// name tells the rule apart in actions, events and metrics.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// matchers select alerts by their labels, as in Alertmanager: severity="page",
	// team!="data", alertname=~"Checkout.*" or zone!~"eu-.+". All must match; a
	// regular expression must match the whole value; a label that an alert does not
	// have is empty. At least one of them must not match an empty value, or every
	// alert would be selected. 1 to 16 matchers.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=2
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.all(m, m.matches('^\\\\s*[a-zA-Z_:][a-zA-Z0-9_:]*\\\\s*(=~|!=|!~|=)'))",message="a matcher is a label name, one of =, !=, =~ and !~, and a value, such as severity=\"page\""
	Matchers []string `json:"matchers"`

	// action is what the alert does to the release. Abort (default): traffic goes back
	// to stable, or after the promotion to the previous revision. Pause: the release
	// does not advance until somebody promotes it. Hold: it does not advance while the
	// alert fires.
	// +optional
	// +kubebuilder:default=Abort
	Action AlertAction `json:"action,omitempty"`

	// for is how long the alert must have been firing without a break. One that is
	// resolved sooner does nothing. Default 0s, at most 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="for must be between 0s and 24h"
	For *metav1.Duration `json:"for,omitempty"`

	// scope says whose alerts count. Canary (default): only those whose
	// revisionLabel names the canary. Service: also those without that label, if
	// they began since the current step's weight has been in force; while alerts of
	// the same rule name stable, the release is held instead, as the cause cannot be
	// the canary alone.
	// +optional
	// +kubebuilder:default=Canary
	Scope AlertScope `json:"scope,omitempty"`

	// revisionLabel is the label of alerts that holds the revision, as it is called
	// in Istio's metrics. Default "destination_canonical_revision".
	// +optional
	// +kubebuilder:default=destination_canonical_revision
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	RevisionLabel string `json:"revisionLabel,omitempty"`

	// namespaceLabel is the label of alerts that holds the namespace, as it is called
	// in Istio's metrics. An alert that has it concerns no Rollout of another
	// namespace. Default "destination_workload_namespace".
	// +optional
	// +kubebuilder:default=destination_workload_namespace
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	NamespaceLabel string `json:"namespaceLabel,omitempty"`

	// during limits when the rule is in force. Without it, it is from the start of a
	// release to its promotion and, if it aborts, for as long after that as
	// spec.afterPromotion.bake says.
	// +optional
	During *AlertWindow `json:"during,omitempty"`

	// whenUnknown says what becomes of a release while nobody can see which alerts
	// fire, because Prometheus or Alertmanager cannot be read or was never named to
	// the operator. Hold (default): it does not advance. Ignore: it does.
	// +optional
	// +kubebuilder:default=Hold
	WhenUnknown AlertsUnknown `json:"whenUnknown,omitempty"`

	// dryRun true records what the rule would have done, in RolloutActions that are
	// refused and in metrics, and does nothing. Default false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// AlertWindow limits when an alert rule is in force.
//
// +kubebuilder:validation:XValidation:rule="has(self.steps) || has(self.afterPromotion)",message="at least one of steps and afterPromotion must be set"
type AlertWindow struct {
	// steps are names of steps in which the rule is in force; "promotion" is the
	// final move of all traffic. Without them it is in all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=51
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Steps []string `json:"steps,omitempty"`

	// afterPromotion is for how long after its promotion the alert may take a revision
	// back. Only an Abort does so, and only while spec.afterPromotion keeps the previous
	// revision's pods, so that it can be no longer than that. Default 0s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="during.afterPromotion must be between 0s and 168h"
	AfterPromotion *metav1.Duration `json:"afterPromotion,omitempty"`
}

// AlertAction is what an alert does to a release.
//
// +kubebuilder:validation:Enum=Abort;Pause;Hold
type AlertAction string

// Values of AlertAction.
const (
	// AlertActionAbort returns traffic to stable.
	AlertActionAbort AlertAction = "Abort"
	// AlertActionPause keeps the release from advancing until somebody promotes it.
	AlertActionPause AlertAction = "Pause"
	// AlertActionHold keeps the release from advancing while the alert fires.
	AlertActionHold AlertAction = "Hold"
)

// AlertScope says whose alerts count.
//
// +kubebuilder:validation:Enum=Canary;Service
type AlertScope string

// Values of AlertScope.
const (
	// AlertScopeCanary takes alerts that name the canary's revision.
	AlertScopeCanary AlertScope = "Canary"
	// AlertScopeService takes alerts that name no revision, too.
	AlertScopeService AlertScope = "Service"
)

// AlertsUnknown says what becomes of a release while alerts cannot be seen.
//
// +kubebuilder:validation:Enum=Hold;Ignore
type AlertsUnknown string

// Values of AlertsUnknown.
const (
	// AlertsUnknownHold keeps the release from advancing.
	AlertsUnknownHold AlertsUnknown = "Hold"
	// AlertsUnknownIgnore lets it go on.
	AlertsUnknownIgnore AlertsUnknown = "Ignore"
)

// AlertOrigin tells of the alert that a command stands for.
type AlertOrigin struct {
	// rule is the name of the Rollout's alert rule.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Rule string `json:"rule"`
	// fingerprint tells the alert apart from others by its labels.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]+$`
	Fingerprint string `json:"fingerprint"`
	// startsAt is when the alert began to fire.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	StartsAt metav1.MicroTime `json:"startsAt"`
	// receivedAt is when Sluice learned of it.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	ReceivedAt metav1.MicroTime `json:"receivedAt"`
	// notBefore is when the command takes effect, unless the alert is resolved by
	// then. Absent for at once.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	NotBefore *metav1.MicroTime `json:"notBefore,omitempty"`
	// matched is the number of Rollouts whose releases the alert was to abort. With
	// more of them than the operator's limit, they are paused instead.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Matched int32 `json:"matched,omitempty"`
	// dryRun true has the command refused, with what it would have done.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// PauseStatus tells why a release waits for a person.
type PauseStatus struct {
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
}

// AlertsStatus tells which alerts do nothing more in an attempt: those that are not the
// canary's doing, and those that were acted on.
type AlertsStatus struct {
	// attempt that it speaks of.
	// +required
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt"`
	// since is when the attempt began. Alerts that began earlier do not count.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	Since metav1.MicroTime `json:"since"`
	// firingBefore are fingerprints of alerts that fired when the attempt began.
	// They do not count until they were resolved.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	FiringBefore []string `json:"firingBefore,omitempty"`
	// handled are alerts that were acted on in this attempt, as rule/fingerprint. They
	// do nothing more until they were resolved: what a person made of that stands.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	Handled []string `json:"handled,omitempty"`
}

// Reasons of alerts. They are never renamed.
const (
	// ReasonAlertFiring: an alert fires; the release was aborted for it, or is held
	// while it does.
	ReasonAlertFiring = "AlertFiring"
	// ReasonAlertsUnknown: nobody can see which alerts fire, and the release is held
	// meanwhile.
	ReasonAlertsUnknown = "AlertsUnknown"
	// ReasonAlertBreakerOpen: alerts would end more releases than may be ended without a
	// person; this one was paused instead.
	ReasonAlertBreakerOpen = "AlertBreakerOpen"
	// ReasonAlertHandled: the alert of an action was acted on already in the same
	// attempt.
	ReasonAlertHandled = "AlertHandled"
	// ReasonAlertResolved: the alert of an action was resolved before the action
	// took effect.
	ReasonAlertResolved = "AlertResolved"
	// ReasonAlertRuleChanged: the alert rule of an action is not in force any more.
	ReasonAlertRuleChanged = "AlertRuleChanged"
	// ReasonDryRun: the alert rule of an action only tells what it would do.
	ReasonDryRun = "DryRun"
)

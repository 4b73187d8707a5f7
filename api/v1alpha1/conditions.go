package v1alpha1

// Condition types of a Rollout. Ready is set from the first visit; Reconciling
// and Stalled are present only while they are True, and never both.
const (
	// ConditionReady is the summary: True when the revision in the spec has all
	// traffic and all its pods are available.
	ConditionReady = "Ready"
	// ConditionReconciling is True while a release moves, waits for pods, bakes,
	// is analysed or waits for a person.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when only a person can get the Rollout further: a
	// release was aborted, or the spec or the routing is not usable.
	ConditionStalled = "Stalled"
	// ConditionAnalysis tells how the canary compares while it is analysed: True
	// when every metric passed in this step, False when one failed, Unknown while
	// evidence is missing.
	ConditionAnalysis = "AnalysisPassing"
	// ConditionRouting is True when the split that was asked for is in force,
	// False when the routing objects make that impossible, Unknown while it
	// spreads or cannot be read.
	ConditionRouting = "RoutingInForce"
)

// Reasons of a Rollout's conditions. They are never renamed.
const (
	// ReasonPromoted: the revision in the spec is stable and has all traffic.
	ReasonPromoted = "Promoted"
	// ReasonDeploying: the first revision is getting its pods.
	ReasonDeploying = "Deploying"
	// ReasonScaling: stable's pods are not all available, without a release in
	// progress.
	ReasonScaling = "Scaling"
	// ReasonWaitingForPods: the step waits until the canary's pods can carry its
	// weight.
	ReasonWaitingForPods = "WaitingForPods"
	// ReasonShifting: a split was asked for and is spreading.
	ReasonShifting = "Shifting"
	// ReasonBaking: the step's minimum time has not passed.
	ReasonBaking = "Baking"
	// ReasonAnalysing: metrics have not passed yet.
	ReasonAnalysing = "Analysing"
	// ReasonPaused: waits for a person, by spec.paused or a step's approval.
	ReasonPaused = "Paused"
	// ReasonPromoting: every step passed; the canary is becoming stable.
	ReasonPromoting = "Promoting"
	// ReasonReturning: traffic is going back to stable.
	ReasonReturning = "Returning"
	// ReasonTerminating: the Rollout is being deleted and gives its routing back.
	ReasonTerminating = "Terminating"
	// ReasonAnalysisFailed: a metric failed and the release was aborted.
	ReasonAnalysisFailed = "AnalysisFailed"
	// ReasonAnalysisError: metrics could not be measured and the release was held
	// or aborted, as the metric's policy says.
	ReasonAnalysisError = "AnalysisError"
	// ReasonAborted: somebody aborted the release.
	ReasonAborted = "Aborted"
	// ReasonProgressDeadlineExceeded: the canary's pods did not become available
	// in time and the release was aborted.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonInvalidSpec: the spec cannot be carried out; the message says what to
	// change.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonPodTemplateRejected: the API server refused the pod template.
	ReasonPodTemplateRejected = "PodTemplateRejected"
	// ReasonPodTemplateUnchecked: the API server could not try the pod template
	// yet, and nothing is started before it did.
	ReasonPodTemplateUnchecked = "PodTemplateUnchecked"
	// ReasonObjectMissing: a routing object that the spec names does not exist.
	ReasonObjectMissing = "ObjectMissing"
	// ReasonRouteMissing: a routing object lacks the route that the spec names.
	ReasonRouteMissing = "RouteMissing"
	// ReasonDestinationMissing: a route lacks the stable or canary destination.
	ReasonDestinationMissing = "DestinationMissing"
	// ReasonRouteNotAccepted: what carries out a route says that it does not accept
	// it, or cannot resolve what it refers to.
	ReasonRouteNotAccepted = "RouteNotAccepted"
	// ReasonReferenceNotPermitted: the spec names a routing object in another
	// namespace, where no ReferenceGrant permits that.
	ReasonReferenceNotPermitted = "ReferenceNotPermitted"
	// ReasonRouteClaimed: another Rollout, older than this one, moves the weights
	// of the same routing object.
	ReasonRouteClaimed = "RouteClaimed"
	// ReasonRoutingUnreadable: the routing objects could not be read or written.
	ReasonRoutingUnreadable = "RoutingUnreadable"
	// ReasonWatching: a revision became stable and is still judged.
	ReasonWatching = "Watching"
	// ReasonInForce: the split that was asked for is in force.
	ReasonInForce = "InForce"
	// ReasonPassing: every metric passed in this step.
	ReasonPassing = "Passing"
	// ReasonSuperseded: a newer revision replaced the canary.
	ReasonSuperseded = "Superseded"
	// ReasonRolledBack: the spec went back to stable's template and the canary was
	// dismissed, or somebody gave an earlier revision its place back.
	ReasonRolledBack = "RolledBack"
)

// Condition types of an AnalysisRun.
const (
	// ConditionCompleted is True when the run measures no more. Its reason is one
	// of the Verdict values, or ReasonTerminated.
	ConditionCompleted = "Completed"
	// ReasonMeasuring: the run is measuring.
	ReasonMeasuring = "Measuring"
	// ReasonTerminated: what the run judged is gone: the release was promoted,
	// aborted or superseded before the run came to a failure.
	ReasonTerminated = "Terminated"
)

// Condition types and reasons of a RolloutAction. Exactly one of the two is
// present once the action was looked at; either ends it.
const (
	// ConditionApplied is True when the action took effect.
	ConditionApplied = "Applied"
	// ConditionRefused is True when the action's preconditions did not hold, or it
	// made no sense where the Rollout was. Nothing was changed.
	ConditionRefused = "Refused"

	// ReasonActionApplied is the reason of ConditionApplied.
	ReasonActionApplied = "Applied"
	// ReasonRolloutNotFound: the Rollout does not exist.
	ReasonRolloutNotFound = "RolloutNotFound"
	// ReasonRevisionMismatch: the Rollout is at another revision than the one that
	// the action names.
	ReasonRevisionMismatch = "RevisionMismatch"
	// ReasonStepMismatch: the Rollout is at another step than the one that the
	// action names.
	ReasonStepMismatch = "StepMismatch"
	// ReasonNothingInProgress: no release is in progress.
	ReasonNothingInProgress = "NothingInProgress"
	// ReasonNotAborted: only an aborted release can be retried.
	ReasonNotAborted = "NotAborted"
	// ReasonReleaseInProgress: a release is in progress, which must be aborted before
	// stable can give its place back.
	ReasonReleaseInProgress = "ReleaseInProgress"
	// ReasonRevisionNotFound: there is no ReplicaSet of the revision that the action
	// asks for.
	ReasonRevisionNotFound = "RevisionNotFound"
	// ReasonExpired: the action was not applied within its time to live.
	ReasonExpired = "Expired"
)

// Condition types and reasons of a MetricProvider.
const (
	// ReasonProviderUsable is the reason of a True Ready condition.
	ReasonProviderUsable = "Usable"
)

// Reasons of a Notifier's condition Ready.
const (
	// ReasonNotifierUsable is the reason of a True Ready condition. Whether the
	// server takes what it is sent is not asked.
	ReasonNotifierUsable = "Usable"
	// ReasonSelectorInvalid: the selector is none.
	ReasonSelectorInvalid = "SelectorInvalid"
	// ReasonTemplateInvalid: a template cannot be used; the message says which one and
	// why.
	ReasonTemplateInvalid = "TemplateInvalid"
	// ReasonAddressInvalid: the address is not an http or https URL.
	ReasonAddressInvalid = "AddressInvalid"
	// ReasonAuthorityInvalid: the bundle of authorities has no certificate.
	ReasonAuthorityInvalid = "AuthorityInvalid"
	// ReasonNotifierSecretMissing: a Secret that the Notifier names, or its key, does not
	// exist.
	ReasonNotifierSecretMissing = "SecretMissing"
	// ReasonNotifierSecretForbidden: the operator may not read a Secret that the
	// Notifier names.
	ReasonNotifierSecretForbidden = "SecretForbidden"
	// ReasonNotifierSecretUnreadable: a Secret could not be read just now.
	ReasonNotifierSecretUnreadable = "SecretUnreadable"
)

// ReasonNotificationFailed is the reason of an Event that says that a Notifier could not
// tell of something, and why.
const ReasonNotificationFailed = "NotificationFailed"

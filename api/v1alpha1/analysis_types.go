package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Analysis says what is measured while the canary has traffic.
type Analysis struct {
	// metrics are measured in every step that gives the canary weight. 1 to 20.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Metrics []Metric `json:"metrics"`
}

// Metric is one query and the conditions that its value must meet.
//
// Each measurement is exactly one of: successful, failed, inconclusive (neither
// condition holds), without data, or an error. Each of them has a policy of its
// own. A step is passed only when the metric was measured count times with
// success since the step's weight was in force.
//
// +kubebuilder:validation:XValidation:rule="has(self.successWhen) || has(self.failWhen)",message="at least one of successWhen and failWhen must be set"
type Metric struct {
	// name tells the metric apart in status and events.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// provider names the MetricProvider to ask, in the Rollout's namespace.
	// Without it the operator's default Prometheus is asked.
	// +optional
	Provider *ProviderReference `json:"provider,omitempty"`

	// query in PromQL, giving an instant vector or a scalar. The placeholders
	// {{namespace}}, {{rollout}}, {{stable}}, {{canary}} (revisions) and {{window}}
	// are filled in, escaped for use inside a quoted label value. {{window}} is the
	// time since the step's weight was in force, at most window. A range that is
	// written out, such as [5m], delays the first measurement until it lies
	// within the step: no query ever sees data from before the step.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query"`

	// window is the most that {{window}} stands for. Default 5m, 1s to 24h.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="window must be between 1s and 24h"
	Window *metav1.Duration `json:"window,omitempty"`

	// successWhen is a condition in CEL over value (a double). With it alone,
	// false is a failure.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	SuccessWhen string `json:"successWhen,omitempty"`

	// failWhen is a condition in CEL over value (a double); it wins over
	// successWhen. With it alone, false is a success. With both, neither true is
	// inconclusive.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	FailWhen string `json:"failWhen,omitempty"`

	// interval between measurements. Default 30s, 1s to 24h.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="interval must be between 1s and 24h"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// initialDelay is how long after a step's weight was in force the first
	// measurement is made. Default 0s, at most 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="initialDelay must be between 0s and 24h"
	InitialDelay *metav1.Duration `json:"initialDelay,omitempty"`

	// count is how many successful measurements each step needs. Measuring goes on
	// while the step lasts. Default 1, 1 to 1000.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`

	// failureLimit is how many failed measurements a release may have, over all
	// its steps, before it is aborted. Default 0: the first one aborts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	FailureLimit int32 `json:"failureLimit,omitempty"`

	// consecutiveErrorLimit is how many measurements in a row may end in an error
	// before onError applies. Default 4.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveErrorLimit *int32 `json:"consecutiveErrorLimit,omitempty"`

	// onError says what becomes of the release when more than
	// consecutiveErrorLimit measurements in a row ended in an error: the query
	// timed out, was refused (4xx) or failed (5xx), or its result is not usable.
	// Hold (default): the step waits, and goes on when measurements succeed again.
	// Abort: the release is aborted.
	// +optional
	// +kubebuilder:default=Hold
	OnError ErrorPolicy `json:"onError,omitempty"`

	// noData says what a measurement without data counts as: an empty result, and
	// NaN unless nonFinite says otherwise.
	// +optional
	NoData *NoData `json:"noData,omitempty"`

	// series says what to do with a result of several series. Error (default): the
	// measurement is an error. All: each value must succeed, one failure fails.
	// Any: one success is enough, and only when all fail does it fail.
	// +optional
	// +kubebuilder:default=Error
	Series SeriesPolicy `json:"series,omitempty"`

	// nonFinite says what to do with NaN and infinite values. NoData (default):
	// NaN counts as no data, an infinite value as an error. Error: both are
	// errors. Evaluate: both are given to the conditions; mind that NaN compares
	// as false.
	// +optional
	// +kubebuilder:default=NoData
	NonFinite NonFinitePolicy `json:"nonFinite,omitempty"`

	// warnings says what to do with a result that Prometheus, or what answers in
	// its place, attached warnings to, such as a partial response. Error
	// (default): the measurement is an error. Ignore: the value is used.
	// +optional
	// +kubebuilder:default=Error
	Warnings WarningPolicy `json:"warnings,omitempty"`
}

// ProviderReference names a MetricProvider in the same namespace.
type ProviderReference struct {
	// name of the MetricProvider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// NoData says what a measurement without data counts as.
type NoData struct {
	// policy says what it counts as. Hold (default): nothing, so the step waits for
	// data. Success and Failure count as such.
	// +optional
	// +kubebuilder:default=Hold
	Policy NoDataPolicy `json:"policy,omitempty"`
	// after is how long, since the step's weight was in force, measurements
	// without data are held before policy applies. Default 0s, at most 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="after must be between 0s and 24h"
	After *metav1.Duration `json:"after,omitempty"`
}

// NoDataPolicy says what no data counts as.
//
// +kubebuilder:validation:Enum=Hold;Success;Failure
type NoDataPolicy string

// Values of NoDataPolicy.
const (
	// NoDataHold counts for nothing.
	NoDataHold NoDataPolicy = "Hold"
	// NoDataSuccess counts as a successful measurement.
	NoDataSuccess NoDataPolicy = "Success"
	// NoDataFailure counts as a failed measurement.
	NoDataFailure NoDataPolicy = "Failure"
)

// ErrorPolicy says what becomes of a release that cannot be measured.
//
// +kubebuilder:validation:Enum=Hold;Abort
type ErrorPolicy string

// Values of ErrorPolicy.
const (
	// ErrorHold holds the step.
	ErrorHold ErrorPolicy = "Hold"
	// ErrorAbort aborts the release.
	ErrorAbort ErrorPolicy = "Abort"
)

// SeriesPolicy says what to do with a result of several series.
//
// +kubebuilder:validation:Enum=Error;All;Any
type SeriesPolicy string

// Values of SeriesPolicy.
const (
	// SeriesError makes several series an error.
	SeriesError SeriesPolicy = "Error"
	// SeriesAll wants every series to succeed.
	SeriesAll SeriesPolicy = "All"
	// SeriesAny wants one series to succeed.
	SeriesAny SeriesPolicy = "Any"
)

// NonFinitePolicy says what to do with NaN and infinite values.
//
// +kubebuilder:validation:Enum=NoData;Error;Evaluate
type NonFinitePolicy string

// Values of NonFinitePolicy.
const (
	// NonFiniteNoData takes NaN for no data and an infinite value for an error.
	NonFiniteNoData NonFinitePolicy = "NoData"
	// NonFiniteError takes both for errors.
	NonFiniteError NonFinitePolicy = "Error"
	// NonFiniteEvaluate gives both to the conditions.
	NonFiniteEvaluate NonFinitePolicy = "Evaluate"
)

// WarningPolicy says what to do with a result that has warnings.
//
// +kubebuilder:validation:Enum=Error;Ignore
type WarningPolicy string

// Values of WarningPolicy.
const (
	// WarningError makes the measurement an error.
	WarningError WarningPolicy = "Error"
	// WarningIgnore uses the value.
	WarningIgnore WarningPolicy = "Ignore"
)

// Verdict is what measurements come to.
//
// +kubebuilder:validation:Enum=Success;Failure;Inconclusive;Error;Pending
type Verdict string

// Values of Verdict.
const (
	// VerdictSuccess: the conditions held often enough.
	VerdictSuccess Verdict = "Success"
	// VerdictFailure: a condition failed more often than allowed.
	VerdictFailure Verdict = "Failure"
	// VerdictInconclusive: measured, but neither good nor bad.
	VerdictInconclusive Verdict = "Inconclusive"
	// VerdictError: could not be measured more often than allowed.
	VerdictError Verdict = "Error"
	// VerdictPending: not measured often enough yet.
	VerdictPending Verdict = "Pending"
)

// AnalysisRun is one judgement in progress: the metrics of one attempt to
// release one revision, over all its steps. Its spec cannot be changed; all its
// evidence is in its status. Sluice creates it with the first weight.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ar,categories=sluice
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.name`
// +kubebuilder:printcolumn:name="Canary",type=string,JSONPath=`.spec.subject.canaryRevision`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AnalysisRun struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what to judge. It cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec cannot be changed: create another AnalysisRun"
	Spec AnalysisRunSpec `json:"spec"`
	// status is the evidence.
	// +optional
	Status AnalysisRunStatus `json:"status,omitempty"`
}

// AnalysisRunList is a list of AnalysisRuns.
//
// +kubebuilder:object:root=true
type AnalysisRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisRun `json:"items"`
}

// AnalysisRunSpec is what to judge.
type AnalysisRunSpec struct {
	// subject is the attempt that is judged.
	// +required
	Subject AnalysisSubject `json:"subject"`
	// metrics to measure.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Metrics []Metric `json:"metrics"`
}

// AnalysisSubject is one attempt to release one revision.
type AnalysisSubject struct {
	// rollout is the name of the Rollout, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Rollout string `json:"rollout"`
	// stableRevision is what the canary is compared with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StableRevision string `json:"stableRevision"`
	// canaryRevision is what is judged.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	CanaryRevision string `json:"canaryRevision"`
	// attempt is the Rollout's count of releases, retries included, from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt"`
}

// AnalysisRunStatus is the evidence.
type AnalysisRunStatus struct {
	// conditions tell whether the run is completed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// step is the step that verdict and the counters of the step speak of.
	// +optional
	Step *AnalysisStep `json:"step,omitempty"`
	// verdict over all metrics for that step: the worst of theirs. Failure is
	// final.
	// +optional
	Verdict Verdict `json:"verdict,omitempty"`
	// message says in a sentence what the verdict rests on.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// metrics hold the evidence of each metric.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Metrics []MetricStatus `json:"metrics,omitempty"`
}

// AnalysisStep identifies a step of the release.
type AnalysisStep struct {
	// index of the step, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50
	Index int32 `json:"index"`
	// name of the step.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// since is when the step's weight was in force: no measurement looks further
	// back.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	Since metav1.MicroTime `json:"since"`
}

// MetricStatus is the evidence of one metric.
type MetricStatus struct {
	// name of the metric.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// verdict of the metric for the step.
	// +required
	Verdict Verdict `json:"verdict"`
	// message says in a sentence what the verdict rests on.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// query is the latest query, with placeholders filled in.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Query string `json:"query,omitempty"`
	// successful measurements in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Successful int32 `json:"successful,omitempty"`
	// failed measurements in this attempt, over all steps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed int32 `json:"failed,omitempty"`
	// inconclusive measurements in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Inconclusive int32 `json:"inconclusive,omitempty"`
	// withoutData counts measurements without data in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	WithoutData int32 `json:"withoutData,omitempty"`
	// errors in this attempt, over all steps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Errors int32 `json:"errors,omitempty"`
	// consecutiveErrors counts the errors since the latest measurement that was
	// none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ConsecutiveErrors int32 `json:"consecutiveErrors,omitempty"`
	// lastMeasuredAt is when the latest measurement was due. The next one is due
	// an interval later.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	LastMeasuredAt *metav1.MicroTime `json:"lastMeasuredAt,omitempty"`
	// measurements are the latest 10, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Measurements []Measurement `json:"measurements,omitempty"`
}

// Measurement is one judged sample.
type Measurement struct {
	// at is the time for which the query was evaluated.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	At metav1.MicroTime `json:"at"`
	// verdict of this measurement alone.
	// +required
	Verdict Verdict `json:"verdict"`
	// value that was measured, in the shortest decimal form; several values are
	// separated by commas. Empty without data.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
	// reason is a fixed word for what kept the measurement from being judged, such
	// as NoData, NonFinite, SeveralSeries, Warnings, Timeout, Refused,
	// Unavailable, Condition.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
}

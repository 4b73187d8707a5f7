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

	ComparisonPolicy `json:",inline"`
}

// Metric is something to measure: exactly one of builtin, ratio and histogram, which
// compare the canary with stable, and query, whose value must meet conditions.
//
// A comparison counts the requests of both revisions in the same windows of time,
// an interval long, and collects evidence over the whole release. The canary is
// condemned when all comparisons together are sure, with alpha, that it is worse
// than tolerated; a step is passed when each is sure, with beta, that the canary
// is better than unacceptable. See ComparisonPolicy.
//
// Each measurement of a query is exactly one of: successful, failed, inconclusive
// (neither condition holds), without data, or an error. Each of them has a policy
// of its own. A step is passed only when the metric was measured count times with
// success since the step's weight was in force.
//
// +kubebuilder:validation:XValidation:rule="(has(self.query) ? 1 : 0) + (has(self.builtin) ? 1 : 0) + (has(self.ratio) ? 1 : 0) + (has(self.histogram) ? 1 : 0) == 1",message="exactly one of query, builtin, ratio and histogram must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || has(self.successWhen) || has(self.failWhen)",message="at least one of successWhen and failWhen must be set"
// +kubebuilder:validation:XValidation:rule="has(self.query) || !(has(self.successWhen) || has(self.failWhen))",message="successWhen and failWhen are for query"
// +kubebuilder:validation:XValidation:rule="has(self.query) || (!has(self.count) || self.count == 1) && (!has(self.failureLimit) || self.failureLimit == 0)",message="count and failureLimit are for query"
// +kubebuilder:validation:XValidation:rule="has(self.query) || (!has(self.series) || self.series == 'Error') && (!has(self.nonFinite) || self.nonFinite == 'NoData') && (!has(self.warnings) || self.warnings == 'Error')",message="series, nonFinite and warnings are for query"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || !has(self.compare)",message="compare is for builtin, ratio and histogram"
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
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query,omitempty"`

	// builtin compares what the mesh measures already.
	// +optional
	Builtin *BuiltinMetric `json:"builtin,omitempty"`

	// ratio compares the share of what is bad in two counters of the user's own.
	// +optional
	Ratio *RatioMetric `json:"ratio,omitempty"`

	// histogram compares how much is slow, or large, in a histogram of the user's own.
	// +optional
	Histogram *HistogramMetric `json:"histogram,omitempty"`

	// compare says what is worse, for builtin, ratio and histogram.
	// +optional
	Compare *Compare `json:"compare,omitempty"`

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

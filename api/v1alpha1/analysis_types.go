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

// ComparisonPolicy says how sure one must be of what comparisons of the canary with
// stable say, and what happens while they say nothing. It is for the metrics with
// builtin or ratio alone: a metric with query has its own conditions.
type ComparisonPolicy struct {
	// alpha is the probability with which a canary that is no worse than tolerated
	// is aborted, in the whole release: over all its comparisons, all its steps and
	// however often they are looked at. A decimal number. Default 0.01, 0.000001 to
	// 0.5.
	// +optional
	// +kubebuilder:default="0.01"
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^0\.[0-9]{1,6}$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.000001 && double(self) <= 0.5",message="alpha must be between 0.000001 and 0.5"
	Alpha string `json:"alpha,omitempty"`

	// beta is the probability with which a canary that is unacceptable passes on
	// evidence. A decimal number. Default 0.05, 0.000001 to 0.5.
	// +optional
	// +kubebuilder:default="0.05"
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^0\.[0-9]{1,6}$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.000001 && double(self) <= 0.5",message="beta must be between 0.000001 and 0.5"
	Beta string `json:"beta,omitempty"`

	// settle is how long after a step's weight was in force comparisons look away:
	// caches warm up, and the first scrape still has requests from before. Default
	// 30s, 0s to 24h.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="settle must be between 0s and 24h"
	Settle *metav1.Duration `json:"settle,omitempty"`

	// lag is how far behind now comparisons look: at least the scrape interval and
	// what it takes until a sample can be queried. Default 20s, 1s to 10m.
	// +optional
	// +kubebuilder:default="20s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="lag must be between 1s and 10m"
	Lag *metav1.Duration `json:"lag,omitempty"`

	// maxDuration is how long after a step's weight was in force a comparison may be
	// without a verdict until onTimeout applies to it. Default 15m, 1s to 168h.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="maxDuration must be between 1s and 168h"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`

	// onTimeout says what becomes of a comparison that had no verdict in
	// maxDuration. Promote (default): the step is passed if the canary had
	// minRequests in it and the latest measurement had data; nothing says that
	// the canary is worse. Pause: the step waits for a verdict, or for somebody to
	// promote it. Abort: the release is aborted.
	// +optional
	// +kubebuilder:default=Promote
	OnTimeout TimeoutPolicy `json:"onTimeout,omitempty"`
}

// TimeoutPolicy says what becomes of a comparison that comes to no verdict.
//
// +kubebuilder:validation:Enum=Promote;Pause;Abort
type TimeoutPolicy string

// Values of TimeoutPolicy.
const (
	// TimeoutPromote passes the step.
	TimeoutPromote TimeoutPolicy = "Promote"
	// TimeoutPause holds the step.
	TimeoutPause TimeoutPolicy = "Pause"
	// TimeoutAbort aborts the release.
	TimeoutAbort TimeoutPolicy = "Abort"
)

// Metric is something to measure: exactly one of builtin and ratio, which compare
// the canary with stable, and query, whose value must meet conditions.
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
// +kubebuilder:validation:XValidation:rule="(has(self.query) ? 1 : 0) + (has(self.builtin) ? 1 : 0) + (has(self.ratio) ? 1 : 0) == 1",message="exactly one of query, builtin and ratio must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || has(self.successWhen) || has(self.failWhen)",message="at least one of successWhen and failWhen must be set"
// +kubebuilder:validation:XValidation:rule="has(self.query) || !(has(self.successWhen) || has(self.failWhen))",message="successWhen and failWhen are for query"
// +kubebuilder:validation:XValidation:rule="has(self.query) || (!has(self.count) || self.count == 1) && (!has(self.failureLimit) || self.failureLimit == 0)",message="count and failureLimit are for query"
// +kubebuilder:validation:XValidation:rule="has(self.query) || (!has(self.series) || self.series == 'Error') && (!has(self.nonFinite) || self.nonFinite == 'NoData') && (!has(self.warnings) || self.warnings == 'Error')",message="series, nonFinite and warnings are for query"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || !has(self.compare)",message="compare is for builtin and ratio"
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

	// compare says what is worse, for builtin and ratio.
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

// BuiltinMetric is a metric that needs no PromQL.
type BuiltinMetric struct {
	// kind of metric. ErrorRatio: the share of requests that failed, by Istio's
	// istio_requests_total. A request failed with an HTTP status of 500 or more,
	// with gRPC status 2, 4, 13, 14 or 15, or without an answer (code 0) unless the
	// caller itself went away (flag DC).
	// +required
	Kind BuiltinKind `json:"kind"`
	// reporter says whose count is taken; requests are never counted twice. Source
	// (default): the callers' sidecars and gateways, which also see requests that
	// reached no pod. Destination: the sidecars of the pods themselves, where
	// callers have none. Waypoint: the waypoint of an ambient mesh.
	// +optional
	// +kubebuilder:default=Source
	Reporter Reporter `json:"reporter,omitempty"`
}

// BuiltinKind is a kind of metric that needs no PromQL.
//
// +kubebuilder:validation:Enum=ErrorRatio
type BuiltinKind string

// BuiltinErrorRatio is the share of requests that failed.
const BuiltinErrorRatio BuiltinKind = "ErrorRatio"

// Reporter says who counted requests.
//
// +kubebuilder:validation:Enum=Source;Destination;Waypoint
type Reporter string

// Values of Reporter.
const (
	// ReporterSource is the caller's side.
	ReporterSource Reporter = "Source"
	// ReporterDestination is the called pod's side.
	ReporterDestination Reporter = "Destination"
	// ReporterWaypoint is a waypoint proxy.
	ReporterWaypoint Reporter = "Waypoint"
)

// RatioMetric is two counters, of what is bad and of everything.
//
// Each is a selector of series in PromQL, such as
// failed_total{revision="{{revision}}"}, without a range, functions or operators.
// {{revision}} must be in it, and stands for the revision that is counted;
// {{namespace}} and {{rollout}} are filled in as in query. Both should come from the
// same scrape.
type RatioMetric struct {
	// bad selects the counter of what is bad.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Bad string `json:"bad"`
	// total selects the counter of everything, the bad included.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Total string `json:"total"`
}

// Compare says what is worse. Both numbers are ratios of the canary's odds of a bad
// request to stable's; as long as few requests are bad, that is how many times as
// many of them are.
//
// +kubebuilder:validation:XValidation:rule="double(self.unacceptable) >= double(self.tolerance)",message="unacceptable must not be less than tolerance"
type Compare struct {
	// tolerance is what the canary may be without being aborted for it. A decimal
	// number. Default 1.2, 1 to 100.
	// +optional
	// +kubebuilder:default="1.2"
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,4})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.0 && double(self) <= 100.0",message="tolerance must be between 1 and 100"
	Tolerance string `json:"tolerance,omitempty"`
	// unacceptable is what the canary must be shown to be better than to pass. The
	// closer to 1, the more requests that takes. A decimal number. Default 2.0, 1.25
	// to 100.
	// +optional
	// +kubebuilder:default="2.0"
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,4})?$`
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.25 && double(self) <= 100.0",message="unacceptable must be between 1.25 and 100"
	Unacceptable string `json:"unacceptable,omitempty"`
	// minRequests is how many requests the canary must have had in a step to pass it,
	// whatever is known from earlier ones. Default 50, 1 to 1000000000.
	// +optional
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MinRequests int32 `json:"minRequests,omitempty"`
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

	ComparisonPolicy `json:",inline"`

	// steps is how many steps with weight the release was planned to have; evidence
	// is collected anew in so many of them. Default 1, 1 to 50.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	Steps int32 `json:"steps,omitempty"`
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
	// comparison is the evidence of all comparisons together.
	// +optional
	Comparison *FamilyEvidence `json:"comparison,omitempty"`
}

// FamilyEvidence is the evidence of all comparisons of a release together, each with
// the same share.
type FamilyEvidence struct {
	// e is the evidence now that the canary is worse than tolerated: 1 at the start.
	// The canary is condemned when it reaches 1/alpha.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	E string `json:"e,omitempty"`
	// p is a p-value that may be looked at at every moment: 1 over the largest e so far.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	P string `json:"p,omitempty"`
	// leading is the metric with the largest part in it.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Leading string `json:"leading,omitempty"`
	// state is what a process that starts goes on with. It is for Sluice alone.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	State string `json:"state,omitempty"`
}

// ComparisonEvidence is what one comparison knows, over all steps.
type ComparisonEvidence struct {
	// e is the evidence now that the canary is worse than tolerated: 1 at the start.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	E string `json:"e,omitempty"`
	// p is a p-value that may be looked at at every moment: 1 over the largest e so far.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	P string `json:"p,omitempty"`
	// odds is how many times stable's odds of a bad request the canary has. Empty
	// while there is nothing to tell it from.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Odds string `json:"odds,omitempty"`
	// interval that holds the true odds, at all moments at once, with a probability
	// of 95%, such as "1.8 to 4.1".
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Interval string `json:"interval,omitempty"`
	// canary is what was counted of the canary.
	// +optional
	Canary RequestCounts `json:"canary,omitempty,omitzero"`
	// stable is what was counted of stable at the same time.
	// +optional
	Stable RequestCounts `json:"stable,omitempty,omitzero"`
	// inStep is how many requests the canary had in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	InStep int64 `json:"inStep,omitempty"`
	// dispersion is how much more the bad requests vary than if each were bad on its
	// own; evidence counts for so much less. It is at least 1.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Dispersion string `json:"dispersion,omitempty"`
	// dispersionMessage says where the dispersion comes from.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DispersionMessage string `json:"dispersionMessage,omitempty"`
	// missing says what it takes until there is a verdict.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Missing string `json:"missing,omitempty"`
	// through is up to when requests were counted.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	Through *metav1.MicroTime `json:"through,omitempty"`
	// state is what a process that starts goes on with. It is for Sluice alone.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	State string `json:"state,omitempty"`
}

// RequestCounts are requests and how many of them were bad.
type RequestCounts struct {
	// requests that were counted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests,omitempty"`
	// bad ones among them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bad int64 `json:"bad,omitempty"`
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
	// successful measurements in this step; of a comparison the windows in which the
	// canary had requests.
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
	// comparison is the evidence of a metric that compares the canary with stable.
	// +optional
	Comparison *ComparisonEvidence `json:"comparison,omitempty"`
}

// Measurement is one judged sample.
type Measurement struct {
	// at is the time for which the query was evaluated.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	At metav1.MicroTime `json:"at"`
	// verdict of this measurement alone; of a comparison what all its evidence came
	// to with it.
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

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ComparisonPolicy says how sure one must be of what comparisons of the canary with
// stable say, and what happens while they say nothing. It is for the metrics with
// builtin, ratio or histogram alone: a metric with query has its own conditions.
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

// BuiltinMetric is a metric that needs no PromQL.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'LatencyDistribution' || !has(self.quantiles) && !has(self.le)",message="quantiles and le are for LatencyDistribution"
// +kubebuilder:validation:XValidation:rule="(has(self.quantiles) ? size(self.quantiles) : 0) + (has(self.le) ? size(self.le) : 0) <= 4",message="at most 4 bounds can be compared: quantiles and le together"
type BuiltinMetric struct {
	// kind of metric.
	//
	// ErrorRatio: the share of requests that failed, by Istio's
	// istio_requests_total. A request failed with an HTTP status of 500 or more,
	// with gRPC status 2, 4, 13, 14 or 15, or without an answer (code 0) unless the
	// caller itself went away (flag DC).
	//
	// LatencyDistribution: the shares of requests that took longer than a few bounds,
	// by Istio's istio_request_duration_milliseconds. See quantiles and le. Requests
	// that failed count as any other.
	// +required
	Kind BuiltinKind `json:"kind"`
	// reporter says whose count is taken; requests are never counted twice. Source
	// (default): the callers' sidecars and gateways, which also see requests that
	// reached no pod. Destination: the sidecars of the pods themselves, where
	// callers have none. Waypoint: the waypoint of an ambient mesh.
	// +optional
	// +kubebuilder:default=Source
	Reporter Reporter `json:"reporter,omitempty"`

	BucketBounds `json:",inline"`
}

// BucketBounds say at which bounds of a histogram's buckets the two revisions are
// compared: how much was more than the bound. Both revisions must have these bounds;
// nothing between two of them is ever guessed.
type BucketBounds struct {
	// quantiles of stable's: for each, the lowest bound of a bucket that at least
	// this part was not above, in the hour before the canary is first looked at. So
	// nothing of what is judged has a say in it. The bounds stay for the whole
	// release. Decimal numbers, 0.01 to 0.9999. Default 0.5, 0.9 and 0.99, unless le
	// is set.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Quantiles []Quantile `json:"quantiles,omitempty"`
	// le are bounds of buckets, such as an objective, in the histogram's own unit:
	// milliseconds for LatencyDistribution. Each must be one that the histogram has.
	// Decimal numbers, 0 to 999999999.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Le []BucketBound `json:"le,omitempty"`
}

// Quantile is a decimal number, 0.01 to 0.9999.
//
// +kubebuilder:validation:MaxLength=6
// +kubebuilder:validation:Pattern=`^0\.[0-9]{1,4}$`
// +kubebuilder:validation:XValidation:rule="double(self) >= 0.01 && double(self) <= 0.9999",message="a quantile must be between 0.01 and 0.9999"
type Quantile string

// BucketBound is the upper bound of a bucket, a decimal number.
//
// +kubebuilder:validation:MaxLength=16
// +kubebuilder:validation:Pattern=`^[0-9]{1,9}(\.[0-9]{1,6})?$`
type BucketBound string

// BuiltinKind is a kind of metric that needs no PromQL.
//
// +kubebuilder:validation:Enum=ErrorRatio;LatencyDistribution
type BuiltinKind string

// Values of BuiltinKind.
const (
	// BuiltinErrorRatio is the share of requests that failed.
	BuiltinErrorRatio BuiltinKind = "ErrorRatio"
	// BuiltinLatencyDistribution is the shares of requests that took longer than a
	// few bounds.
	BuiltinLatencyDistribution BuiltinKind = "LatencyDistribution"
)

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

// HistogramMetric is a histogram of the user's own, of which more is worse.
//
// +kubebuilder:validation:XValidation:rule="(has(self.quantiles) ? size(self.quantiles) : 0) + (has(self.le) ? size(self.le) : 0) <= 4",message="at most 4 bounds can be compared: quantiles and le together"
type HistogramMetric struct {
	// buckets selects the series of the histogram's buckets, those with the label le,
	// in PromQL, such as took_seconds_bucket{revision="{{revision}}"}, without a range,
	// functions or operators. {{revision}} must be in it, and stands for the revision
	// that is counted; {{namespace}} and {{rollout}} are filled in as in query. Native
	// histograms have no such series, and cannot be compared.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Buckets string `json:"buckets"`

	BucketBounds `json:",inline"`
}

// Compare says what is worse. Both numbers are ratios of the canary's odds of a bad
// request to stable's; as long as few requests are bad, that is how many times as
// many of them are. Of a histogram a request is bad that was above the bound.
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
	// le is the bound that odds, interval, canary and stable speak of, of a histogram:
	// the one with the most evidence against the canary.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Le string `json:"le,omitempty"`
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
	// canaryShare is the percentage of the requests of both revisions that the canary had in
	// the windows of this step that were counted last: the weight as it was measured,
	// such as "9.8". Empty until one was counted.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	CanaryShare string `json:"canaryShare,omitempty"`
	// dispersion is how much more the bad requests vary than if each were bad on its
	// own; evidence counts for so much less. It is at least 1.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Dispersion string `json:"dispersion,omitempty"`
	// dispersionMessage says where the dispersion comes from.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DispersionMessage string `json:"dispersionMessage,omitempty"`
	// bounds are what is known at each bound of a histogram, ascending.
	// +optional
	// +listType=map
	// +listMapKey=le
	// +kubebuilder:validation:MaxItems=4
	Bounds []BoundEvidence `json:"bounds,omitempty"`
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
	// +kubebuilder:validation:MaxLength=32768
	State string `json:"state,omitempty"`
}

// BoundEvidence is what is known at one bound of a histogram, over all steps.
type BoundEvidence struct {
	// le is the bound; what was above it counts as bad.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Le string `json:"le"`
	// e is the evidence now that more of the canary's is above the bound than
	// tolerated. The metric's evidence is the mean of all bounds'.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	E string `json:"e,omitempty"`
	// odds is how many times stable's odds to be above the bound the canary has. Empty
	// while there is nothing to tell it from.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Odds string `json:"odds,omitempty"`
	// canary is how many of the canary's requests were above the bound.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Canary int64 `json:"canary,omitempty"`
	// stable is how many of stable's requests were.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Stable int64 `json:"stable,omitempty"`
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

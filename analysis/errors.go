package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Reason is a fixed word for what kept a measurement from being judged. It stands
// in the evidence and labels metrics; reasons are never renamed.
type Reason string

// Reasons for which a query gave no sample.
const (
	// ReasonTimeout: no answer within the time allowed.
	ReasonTimeout Reason = "Timeout"
	// ReasonRefused: the server refused the query (4xx).
	ReasonRefused Reason = "Refused"
	// ReasonUnauthorized: the server refused the credentials (401 and 403).
	ReasonUnauthorized Reason = "Unauthorized"
	// ReasonRedirected: the server pointed elsewhere (3xx); redirects are not
	// followed.
	ReasonRedirected Reason = "Redirected"
	// ReasonUnavailable: the server could not be reached or failed (5xx).
	ReasonUnavailable Reason = "Unavailable"
	// ReasonMalformed: the answer is not an instant vector of floats or a scalar, or,
	// of a comparison, not the samples of counters.
	ReasonMalformed Reason = "Malformed"
	// ReasonTooLarge: the answer exceeds the limit.
	ReasonTooLarge Reason = "TooLarge"
	// ReasonAddressRefused: the address resolves to one that must not be asked.
	ReasonAddressRefused Reason = "AddressRefused"
	// ReasonProviderMissing: the MetricProvider does not exist, or none is named
	// and the operator has no default.
	ReasonProviderMissing Reason = "ProviderMissing"
	// ReasonProviderInvalid: the MetricProvider is not usable as it is written.
	ReasonProviderInvalid Reason = "ProviderInvalid"
	// ReasonSecretMissing: a Secret that the MetricProvider names, or its key,
	// does not exist.
	ReasonSecretMissing Reason = "SecretMissing"
	// ReasonSecretForbidden: the operator may not read a Secret that the
	// MetricProvider names.
	ReasonSecretForbidden Reason = "SecretForbidden"
)

// Reasons for which a sample was not judged.
const (
	// ReasonNoData: the result is empty, or NaN counts as no data.
	ReasonNoData Reason = "NoData"
	// ReasonNonFinite: a value is NaN or infinite.
	ReasonNonFinite Reason = "NonFinite"
	// ReasonSeveralSeries: the result has several series.
	ReasonSeveralSeries Reason = "SeveralSeries"
	// ReasonWarnings: the server attached warnings to the result.
	ReasonWarnings Reason = "Warnings"
	// ReasonCondition: a condition could not be evaluated for the value.
	ReasonCondition Reason = "Condition"
	// ReasonQuery: the query cannot be built.
	ReasonQuery Reason = "Query"
	// ReasonRawUnsupported: the provider cannot read the samples of a range, which a
	// comparison needs.
	ReasonRawUnsupported Reason = "RawUnsupported"
	// ReasonImpossibleCounts: counters contradict each other, such as more bad
	// requests than requests.
	ReasonImpossibleCounts Reason = "ImpossibleCounts"
	// ReasonBucketBounds: a bound that is compared is missing in the buckets of a
	// revision.
	ReasonBucketBounds Reason = "BucketBounds"
	// ReasonNotHistogram: the series are not the buckets of a classic histogram.
	ReasonNotHistogram Reason = "NotHistogram"
	// ReasonNativeHistogram: the series are native histograms, which cannot be
	// compared.
	ReasonNativeHistogram Reason = "NativeHistogram"
	// ReasonState: the evidence in the status cannot be gone on with: another version
	// wrote it, or it was damaged.
	ReasonState Reason = "State"
)

// sentences say each reason in words, for messages.
var sentences = map[Reason]string{
	ReasonTimeout:         "the query timed out",
	ReasonRefused:         "the server refused the query",
	ReasonUnauthorized:    "the server refused the credentials",
	ReasonRedirected:      "the server answered with a redirect, which is not followed",
	ReasonUnavailable:     "the server could not be reached or failed",
	ReasonMalformed:       "the answer is not what was asked for",
	ReasonTooLarge:        "the answer is too large",
	ReasonAddressRefused:  "the provider's address is one that must not be asked",
	ReasonProviderMissing: "the provider does not exist",
	ReasonProviderInvalid: "the provider is not usable as it is written",
	ReasonSecretMissing:   "a Secret that the provider names, or its key, does not exist",
	ReasonSecretForbidden: "the operator may not read a Secret that the provider names",
	ReasonNoData:          "no data",
	ReasonNonFinite:       "a value is not finite",
	ReasonSeveralSeries:   "the result has several series",
	ReasonWarnings:        "the result has warnings",
	ReasonCondition:       "a condition could not be evaluated",
	ReasonQuery:           "the query cannot be built",

	ReasonRawUnsupported:   "the provider cannot read the samples of a range",
	ReasonImpossibleCounts: "the counters contradict each other",
	ReasonBucketBounds:     "a bound that is compared is missing in the buckets of a revision",
	ReasonNotHistogram:     "the series are not the buckets of a classic histogram",
	ReasonNativeHistogram:  "the series are native histograms, which cannot be compared: expose classic buckets too",
	ReasonState:            "the evidence in the status cannot be gone on with",
}

// Sentence says the reason in words, in lower case.
func (r Reason) Sentence() string {
	if s, ok := sentences[r]; ok {
		return s
	}
	return "the measurement failed"
}

// Error tells why there is no sample. It has no room for anything that a server
// sent.
type Error struct {
	// Reason is one of the Reason constants.
	Reason Reason
	// Status is the HTTP status, or 0.
	Status int
}

// Error is a fixed sentence.
func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s (HTTP %d)", e.Reason.Sentence(), e.Status)
	}
	return e.Reason.Sentence()
}

// ReasonOf returns the reason of an error: that of the *Error in its chain,
// ReasonTimeout for an exceeded deadline, and otherwise ReasonUnavailable.
func ReasonOf(err error) Reason {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	default:
		return ReasonUnavailable
	}
}

// IsTimeout tells whether there was no answer in time.
func IsTimeout(err error) bool { return is(err, ReasonTimeout) }

// IsRefused tells whether the server refused to answer: 4xx and redirects.
func IsRefused(err error) bool {
	return is(err, ReasonRefused, ReasonUnauthorized, ReasonRedirected)
}

// IsUnauthorized tells whether the server refused the credentials.
func IsUnauthorized(err error) bool { return is(err, ReasonUnauthorized) }

// IsUnavailable tells whether the server could not be reached or failed (5xx).
func IsUnavailable(err error) bool { return is(err, ReasonUnavailable) }

// IsMalformed tells whether the answer cannot be used.
func IsMalformed(err error) bool { return is(err, ReasonMalformed) }

// IsTooLarge tells whether the answer exceeds the limit.
func IsTooLarge(err error) bool { return is(err, ReasonTooLarge) }

func is(err error, reasons ...Reason) bool {
	return err != nil && slices.Contains(reasons, ReasonOf(err))
}

// Reasons returns every reason, sorted: the values that a label may take.
func Reasons() []Reason {
	all := make([]Reason, 0, len(sentences))
	for r := range sentences {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}

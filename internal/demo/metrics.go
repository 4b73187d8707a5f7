package demo

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// badStatuses are the gRPC codes that are the server's fault: Unknown,
// DeadlineExceeded, Internal, Unavailable and DataLoss.
const badStatuses = "2|4|13|14|15"

// metricWindow is the most that the metrics look back.
const metricWindow = time.Minute

// ErrorRatio is a metric on the share of the canary's requests that fail: at
// most the given number ("0.05"). It is without data while the canary has no
// requests.
//
// Requests are counted exactly: a series that begins within the window counts
// from zero. The first errors of a new revision are always such a series, and
// increase() and rate() would take their first sample for no errors at all.
func ErrorRatio(most string, interval time.Duration, count int32) v1alpha1.Metric {
	all := canarySelector("")
	// Only gRPC has a status of its own: its failures are no HTTP errors.
	bad := canarySelector(fmt.Sprintf(`,grpc_response_status=~"%s"`, badStatuses))
	badHTTP := canarySelector(`,grpc_response_status="",response_code=~"5.."`)
	return v1alpha1.Metric{
		Name: "error-ratio",
		Query: "((" + counted("istio_requests_total", bad) + " or vector(0)) + (" +
			counted("istio_requests_total", badHTTP) + " or vector(0)))\n/\n" +
			counted("istio_requests_total", all),
		SuccessWhen: "value <= " + most,
		Interval:    &metav1.Duration{Duration: interval},
		Window:      &metav1.Duration{Duration: metricWindow},
		Count:       count,
	}
}

// Latency is a metric on the 95th percentile of the duration of the canary's
// requests: at most the given number of milliseconds ("250.0"). It is without
// data while the canary has no requests.
func Latency(most string, interval time.Duration, count int32) v1alpha1.Metric {
	return v1alpha1.Metric{
		Name: "latency-p95",
		Query: "histogram_quantile(0.95, sum by (le) (rate(" +
			"istio_request_duration_milliseconds_bucket" + canarySelector("") + "[{{window}}])))",
		SuccessWhen: "value <= " + most,
		Interval:    &metav1.Duration{Duration: interval},
		Window:      &metav1.Duration{Duration: metricWindow},
		Count:       count,
	}
}

// canarySelector selects what callers of the canary's pods saw.
func canarySelector(more string) string {
	return `{reporter="source",destination_workload_namespace="{{namespace}}",` +
		`destination_workload="{{rollout}}",destination_canonical_revision="{{canary}}"` + more + "}"
}

// counted is how much a counter grew within the window. A series that was not
// there at its beginning, or that was reset since, counts from zero.
func counted(name, selector string) string {
	series := name + selector
	return fmt.Sprintf("sum(((%[1]s - %[1]s offset {{window}}) >= 0) or %[1]s)", series)
}

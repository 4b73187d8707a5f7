package localcluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"
)

// telemetryPort is where a traffic client serves /metrics, on its own address.
const telemetryPort = "15020"

// latencyBuckets are those of the mesh's own duration histogram, in
// milliseconds.
func latencyBuckets() []float64 {
	return []float64{
		0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
		30000, 60000, 300000, 600000, 1800000, 3600000,
	}
}

// telemetryLabels are the labels of the mesh's standard metrics that queries
// select and group by.
func telemetryLabels() []string {
	return []string{
		"reporter", "request_protocol", "connection_security_policy",
		"source_workload", "source_workload_namespace",
		"destination_workload", "destination_workload_namespace",
		"destination_service", "destination_service_name", "destination_service_namespace",
		"destination_canonical_service", "destination_canonical_revision", "destination_version",
		"response_code", "grpc_response_status", "response_flags",
	}
}

// telemetry is what a sidecar of the client would export.
type telemetry struct {
	source   [2]string // workload, namespace
	target   destination
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	registry *prometheus.Registry
	server   *http.Server
	addr     string
}

func newTelemetry(source [2]string, target destination) *telemetry {
	t := &telemetry{
		source: source, target: target,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "istio_requests_total", Help: "Requests sent, as the caller saw them.",
		}, telemetryLabels()),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "istio_request_duration_milliseconds", Help: "Duration of requests sent, as the caller saw them.",
			Buckets: latencyBuckets(),
		}, telemetryLabels()),
		registry: prometheus.NewRegistry(),
	}
	t.registry.MustRegister(t.requests, t.duration)
	return t
}

// serve exports the metrics on ip until close.
func (t *telemetry) serve(ip string) error {
	t.addr = net.JoinHostPort(ip, telemetryPort)
	l, err := net.Listen("tcp", t.addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{}))
	t.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := t.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close()
		}
	}()
	return nil
}

func (t *telemetry) close() {
	if t.server != nil {
		_ = t.server.Close()
	}
}

// record counts one call.
func (t *telemetry) record(o outcome) {
	labels := prometheus.Labels{
		"reporter": "source", "request_protocol": o.protocol(), "connection_security_policy": "unknown",
		"source_workload": t.source[0], "source_workload_namespace": t.source[1],
		"destination_service": t.target.host, "destination_service_name": t.target.name,
		"destination_service_namespace":  t.target.namespace,
		"destination_workload":           o.workload,
		"destination_workload_namespace": o.namespace,
		"destination_canonical_service":  o.canonicalService,
		"destination_canonical_revision": o.canonicalRevision,
		"destination_version":            o.version,
		"response_code":                  o.httpCode(),
		"grpc_response_status":           o.grpcStatus(),
		"response_flags":                 o.flags(),
	}
	t.requests.With(labels).Inc()
	t.duration.With(labels).Observe(float64(o.took) / float64(time.Millisecond))
}

func (o outcome) protocol() string {
	if o.http {
		return "http"
	}
	return "grpc"
}

// grpcStatus is empty for calls that are not gRPC.
func (o outcome) grpcStatus() string {
	if o.http {
		return ""
	}
	return strconv.Itoa(int(o.code))
}

// httpCode is the HTTP status of the answer. Under gRPC an answer of the app is
// always 200, its gRPC status is separate. Failures without an answer are the
// client's, and get what a sidecar would report.
func (o outcome) httpCode() string {
	switch {
	case o.status != 0:
		return strconv.Itoa(o.status)
	case o.reached:
		return "200"
	case o.code == codes.DeadlineExceeded:
		return "504"
	default:
		return "503"
	}
}

func (o outcome) flags() string {
	switch {
	case o.reached:
		return "-"
	case o.code == codes.DeadlineExceeded:
		return "UT" // upstream request timeout
	default:
		return "UF" // upstream connection failure
	}
}

// MetricsAddr returns the address whose /metrics has the client's telemetry.
// Prometheus scrapes it already when the cluster has one.
func (t *Traffic) MetricsAddr() string { return t.telemetry.addr }

// forgetTarget is best effort: at the end of a cluster Prometheus may be gone.
func (t *Traffic) forgetTarget() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = t.cluster.RemoveScrapeTarget(ctx, t.options.Name, t.telemetry.addr)
}

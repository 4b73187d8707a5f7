// Package prometheus is the metric provider for servers with the Prometheus HTTP
// API.
//
// A server is chosen by whoever may write a MetricProvider, so it is treated as
// hostile: addresses are checked after resolution, redirects and proxies are not
// followed, bodies and time are bounded, and nothing that a server sent gets into
// an error.
package prometheus

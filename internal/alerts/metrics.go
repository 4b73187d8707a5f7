package alerts

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_requests_total",
		Help: "Requests to the alert receiver, by HTTP status.",
	}, []string{"code"})
	received = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_received_total",
		Help: "Alerts that were pushed: firing, resolved, dropped as not readable, or truncated by Alertmanager.",
	}, []string{"result"})
	findings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_findings_total",
		Help: "What alerts that a rule selects meant for releases, each time that they were looked at.",
	}, []string{"action", "effect"})
	recorded = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_actions_total",
		Help: "RolloutActions of alerts: recorded, duplicate, cancelled, forbidden to the caller, or failed to be recorded.",
	}, []string{"action", "result"})
	polls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_polls_total",
		Help: "Times that Alertmanager or Prometheus was asked for alerts, by result.",
	}, []string{"source", "result"})
	blindGauge = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_alerts_blind",
		Help: "1 while it is not known which alerts fire, so that releases with alert rules are held.",
	})
	breakerGauge = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_alerts_breaker_open",
		Help: "1 while alerts abort no further release without a person, as they aborted too many.",
	}, func() float64 {
		if b := currentBreaker.Load(); b != nil && b.open() {
			return 1
		}
		return 0
	})
)

// currentBreaker is the one that acts: a replica that starts over makes another.
var currentBreaker atomic.Pointer[Breaker]

// RegisterMetrics registers the collectors; doing so again changes nothing.
func RegisterMetrics(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{requests, received, findings, recorded, polls, blindGauge, breakerGauge} {
		if err := registry.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

package notify

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var (
	notifications = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_notifications_total",
		Help: "Notifications by type and result: Sent, or the reason why it was not.",
	}, []string{"type", "result"})
	waiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_notifications_queued",
		Help: "Notifications that wait or are being sent.",
	})
)

// Register adds the metrics to a registry; doing so again changes nothing.
func Register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{notifications, waiting} {
		if err := registry.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

func count(kind v1alpha1.NotificationType, result Reason) {
	notifications.WithLabelValues(string(kind), string(result)).Inc()
}

package analysisrun

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-dev/sluice/analysis"
)

const resultAnswered = "Answered"

var (
	queriesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_analysis_queries_total",
		Help: "Queries by result: Answered, or the reason why there was no answer.",
	}, []string{"result"})
	queryDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "sluice_analysis_query_duration_seconds",
		Help:    "Time that queries took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	measurementsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_analysis_measurements_total",
		Help: "Measurements in the evidence of runs, by verdict.",
	}, []string{"verdict"})
)

// register adds the metrics to a registry, once.
func register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{queriesTotal, queryDuration, measurementsTotal} {
		var known prometheus.AlreadyRegisteredError
		if err := r.Register(c); err != nil && !errors.As(err, &known) {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func observe(seconds float64, err error) {
	result := resultAnswered
	if err != nil {
		result = string(analysis.ReasonOf(err))
	}
	queriesTotal.WithLabelValues(result).Inc()
	queryDuration.Observe(seconds)
}

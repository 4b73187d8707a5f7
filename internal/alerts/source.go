package alerts

import (
	"context"
	"errors"
	"math"
	"net/url"
	"time"

	"github.com/sluice-dev/sluice/analysis"
)

// Source tells which alerts fire.
type Source interface {
	// Name of the source, for people and metrics.
	Name() string
	// Firing asks once.
	Firing(ctx context.Context, now time.Time) ([]Alert, error)
	// Exact reports whether fingerprints and starts are Alertmanager's own, and
	// silences are honoured.
	Exact() bool
}

// Getter reads from one server, by rules that bound what it can do to us.
type Getter interface {
	Get(ctx context.Context, path string, query url.Values) ([]byte, error)
}

type listing struct{ server Getter }

// Alertmanager asks Alertmanager, which leaves out what is silenced or inhibited.
func Alertmanager(server Getter) Source { return listing{server} }

func (listing) Name() string { return "alertmanager" }

func (listing) Exact() bool { return true }

func (l listing) Firing(ctx context.Context, now time.Time) ([]Alert, error) {
	body, err := l.server.Get(ctx, "/api/v2/alerts", url.Values{
		"active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}, "unprocessed": {"false"},
	})
	if err != nil {
		return nil, err
	}
	return decodeList(body, now)
}

// firingQuery has the labels of every alert that fires, and since when its condition
// has held.
const firingQuery = `ALERTS_FOR_STATE and ignoring(alertstate) ALERTS{alertstate="firing"}`

type promql struct{ server analysis.Provider }

// Prometheus asks a server with the Prometheus API. It knows of no silences, and
// labels that Prometheus adds on the way to Alertmanager are missing.
func Prometheus(server analysis.Provider) Source { return promql{server} }

func (promql) Name() string { return "prometheus" }

func (promql) Exact() bool { return false }

func (p promql) Firing(ctx context.Context, now time.Time) ([]Alert, error) {
	sample, err := p.server.Query(ctx, analysis.Query{Expr: firingQuery, At: now, Timeout: pollTimeout})
	if err != nil {
		return nil, err
	}
	if len(sample.Warnings) > 0 {
		return nil, errors.New("the answer has warnings: it may not be complete")
	}
	var alerts []Alert
	for _, s := range sample.Series {
		if math.IsNaN(s.Value) || math.Abs(s.Value) > 1<<40 {
			continue
		}
		labels := make(map[string]string, len(s.Labels))
		for name, value := range s.Labels {
			if name != "__name__" && name != "alertstate" {
				labels[name] = value
			}
		}
		if a, ok := newAlert(labels, "", time.UnixMilli(int64(s.Value*1000)), true); ok {
			alerts = append(alerts, a)
		}
	}
	return alerts, nil
}

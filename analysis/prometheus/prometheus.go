package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/internal/egress"
)

const (
	// DefaultMaxBody is the default limit of an answer, in bytes.
	DefaultMaxBody = 1 << 20
	// grace is how much longer than the server's own limit a query may take.
	grace = 500 * time.Millisecond
	// leastTimeout is the shortest limit that is asked of a server.
	leastTimeout = time.Millisecond
	// rawBodies is how many times as large raw samples may be.
	rawBodies = 4
)

// Options say what a provider may do. The zero value is the strictest.
type Options struct {
	// Options say where the provider may be.
	egress.Options
	// MaxBody is the limit of an answer in bytes, after decompression. Default
	// DefaultMaxBody.
	MaxBody int64
}

// Opener returns what makes providers with these options.
func Opener(o Options) analysis.Opener {
	return func(e analysis.Endpoint) (analysis.Provider, error) {
		p, err := New(e, o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

// Provider asks one server. It is safe for concurrent use.
type Provider struct {
	api       v1.API
	raw       v1.API
	transport *http.Transport
}

var (
	_ analysis.Provider  = (*Provider)(nil)
	_ analysis.RawReader = (*Provider)(nil)
)

// New makes a provider. It does not connect. The error is an *analysis.Error with
// ReasonProviderInvalid.
func New(e analysis.Endpoint, o Options) (*Provider, error) {
	c, transport, err := newClient(e, o)
	if err != nil {
		return nil, err
	}
	raw := *c
	raw.maxBody = rawBodies * c.maxBody
	return &Provider{api: v1.NewAPI(c), raw: v1.NewAPI(&raw), transport: transport}, nil
}

func newClient(e analysis.Endpoint, o Options) (*client, *http.Transport, error) {
	base, err := parseAddress(e.Address)
	if err != nil {
		return nil, nil, &analysis.Error{Reason: analysis.ReasonProviderInvalid}
	}
	transport, err := egress.NewTransport(e.CA, o.Options)
	if err != nil {
		return nil, nil, &analysis.Error{Reason: analysis.ReasonProviderInvalid}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	return &client{
		base:     base,
		endpoint: e,
		maxBody:  o.MaxBody,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, transport, nil
}

// parseAddress accepts an http or https URL without credentials, query or fragment.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("parse address: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("address must be an http or https URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, errors.New("address must not have credentials, a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// Close closes idle connections; queries in flight end as usual.
func (p *Provider) Close() error {
	p.transport.CloseIdleConnections()
	return nil
}

// Query asks the server once.
func (p *Provider) Query(ctx context.Context, q analysis.Query) (analysis.Sample, error) {
	value, warnings, err := send(ctx, p.api, q)
	if err != nil {
		return analysis.Sample{}, err
	}
	sample, err := sampleOf(value)
	sample.Warnings = warnings
	return sample, err
}

// ReadRaw asks the server once for the samples of a range.
func (p *Provider) ReadRaw(ctx context.Context, q analysis.Query) (analysis.Matrix, error) {
	value, warnings, err := send(ctx, p.raw, q)
	if err != nil {
		return analysis.Matrix{}, err
	}
	found, ok := value.(model.Matrix)
	if !ok {
		return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonMalformed}
	}
	m := analysis.Matrix{Series: make([]analysis.RawSeries, 0, len(found)), Warnings: warnings}
	for _, stream := range found {
		switch {
		case stream == nil:
			return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonMalformed}
		case len(stream.Histograms) > 0:
			return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonNativeHistogram}
		}
		series := analysis.RawSeries{Labels: labels(stream.Metric), Points: make([]analysis.Point, 0, len(stream.Values))}
		for _, v := range stream.Values {
			series.Points = append(series.Points, analysis.Point{At: int64(v.Timestamp), Value: float64(v.Value)})
		}
		m.Series = append(m.Series, series)
	}
	return m, nil
}

// send sends a query.
func send(ctx context.Context, api v1.API, q analysis.Query) (model.Value, []string, error) {
	queryCtx := ctx
	var options []v1.Option
	if q.Timeout > 0 {
		var cancel context.CancelFunc
		queryCtx, cancel = context.WithTimeout(ctx, q.Timeout+grace)
		defer cancel()
		options = append(options, v1.WithTimeout(wholeUnits(q.Timeout)))
	}
	if q.Lookback > 0 {
		options = append(options, v1.WithLookbackDelta(wholeUnits(q.Lookback)))
	}
	value, warnings, _, err := api.Query(queryCtx, q.Expr, q.At, options...)
	if err != nil {
		return nil, nil, classify(ctx, err)
	}
	return value, warnings, nil
}

// wholeUnits rounds down to what a server can parse: a duration in whole seconds,
// or in whole milliseconds below one.
func wholeUnits(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Truncate(time.Second)
	}
	return max(d.Truncate(time.Millisecond), leastTimeout)
}

// sampleOf accepts scalars and vectors of floats.
func sampleOf(value model.Value) (analysis.Sample, error) {
	switch v := value.(type) {
	case *model.Scalar:
		return analysis.Values(float64(v.Value)), nil
	case model.Vector:
		s := analysis.Sample{Series: make([]analysis.Series, 0, len(v))}
		for _, x := range v {
			if x == nil || x.Histogram != nil {
				return analysis.Sample{}, &analysis.Error{Reason: analysis.ReasonMalformed}
			}
			s.Series = append(s.Series, analysis.Series{Labels: labels(x.Metric), Value: float64(x.Value)})
		}
		return s, nil
	default:
		return analysis.Sample{}, &analysis.Error{Reason: analysis.ReasonMalformed}
	}
}

func labels(m model.Metric) map[string]string {
	l := make(map[string]string, len(m))
	for name, value := range m {
		l[string(name)] = string(value)
	}
	return l
}

// classify turns whatever went wrong into a fixed reason. Nothing of the original
// error is kept: it may hold what the server sent.
func classify(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	var known *analysis.Error
	var api *v1.Error
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &known):
		return &analysis.Error{Reason: known.Reason, Status: known.Status}
	case errors.Is(err, egress.ErrAddressRefused):
		return &analysis.Error{Reason: analysis.ReasonAddressRefused}
	case errors.As(err, &api):
		return &analysis.Error{Reason: analysis.ReasonMalformed}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &analysis.Error{Reason: analysis.ReasonTimeout}
	default:
		return &analysis.Error{Reason: analysis.ReasonUnavailable}
	}
}

// Package fake is a metric provider that answers what a test scripted.
package fake

import (
	"context"
	"sync"

	"github.com/sluice-dev/sluice/analysis"
)

// Provider answers from a script. The zero value answers every query with no data.
// It is safe for concurrent use.
type Provider struct {
	mu      sync.Mutex
	answer  func(context.Context, analysis.Query) (analysis.Sample, error)
	queries []analysis.Query
	closed  bool
}

var _ analysis.Provider = (*Provider)(nil)

// New makes a provider that answers each query by a function.
func New(answer func(context.Context, analysis.Query) (analysis.Sample, error)) *Provider {
	return &Provider{answer: answer}
}

// Always makes a provider that answers every query with the same values.
func Always(values ...float64) *Provider {
	p := &Provider{}
	p.Answer(analysis.Values(values...), nil)
	return p
}

// Script makes a provider that gives the values one after the other, and the last
// one from then on.
func Script(values ...float64) *Provider {
	var mu sync.Mutex
	next := 0
	return New(func(context.Context, analysis.Query) (analysis.Sample, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(values) == 0 {
			return analysis.Sample{}, nil
		}
		v := values[min(next, len(values)-1)]
		next++
		return analysis.Values(v), nil
	})
}

// Stalled makes a provider that answers nothing until a query's context ends.
func Stalled() *Provider {
	return New(func(ctx context.Context, _ analysis.Query) (analysis.Sample, error) {
		<-ctx.Done()
		return analysis.Sample{}, ctx.Err()
	})
}

// Answer sets what every query gets from now on.
func (p *Provider) Answer(s analysis.Sample, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = func(context.Context, analysis.Query) (analysis.Sample, error) { return s, err }
}

// Query answers from the script.
func (p *Provider) Query(ctx context.Context, q analysis.Query) (analysis.Sample, error) {
	p.mu.Lock()
	p.queries = append(p.queries, q)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return analysis.Sample{}, nil
	}
	return answer(ctx, q)
}

// Queries returns the queries that were asked, in order.
func (p *Provider) Queries() []analysis.Query {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]analysis.Query(nil), p.queries...)
}

// Close remembers that the provider was closed.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// Closed tells whether Close was called.
func (p *Provider) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Raw is a Provider that can read raw samples too, by a function.
type Raw struct {
	*Provider
	// Samples answers each query for raw samples.
	Samples func(context.Context, analysis.Query) (analysis.Matrix, error)
}

var _ analysis.RawReader = Raw{}

// ReadRaw answers by the function.
func (r Raw) ReadRaw(ctx context.Context, q analysis.Query) (analysis.Matrix, error) {
	return r.Samples(ctx, q)
}

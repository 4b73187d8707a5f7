package prometheus

import (
	"context"
	"net/http"
	"net/url"

	"github.com/sluice-dev/sluice/analysis"
)

// Getter reads from one server by the rules that hold for providers: addresses are
// checked, redirects and proxies are not followed, bodies are bounded, and nothing
// that the server sent gets into an error.
type Getter struct {
	client    *client
	transport *http.Transport
}

// NewGetter makes a getter. It does not connect. The error is an *analysis.Error
// with ReasonProviderInvalid.
func NewGetter(e analysis.Endpoint, o Options) (*Getter, error) {
	c, transport, err := newClient(e, o)
	if err != nil {
		return nil, err
	}
	return &Getter{client: c, transport: transport}, nil
}

// Get returns the body of an answer. Errors are *analysis.Error, or ctx's.
func (g *Getter) Get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	u := g.client.URL(path, nil)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, &analysis.Error{Reason: analysis.ReasonProviderInvalid}
	}
	request.Header.Set("Accept", "application/json")
	_, body, err := g.client.Do(ctx, request) //nolint:bodyclose // Do reads and closes it
	if err != nil {
		return nil, classify(ctx, err)
	}
	return body, nil
}

// Close closes idle connections.
func (g *Getter) Close() error {
	g.transport.CloseIdleConnections()
	return nil
}

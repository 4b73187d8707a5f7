package analysisrun

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// secretTTL is how long what was read from Secrets is used.
	secretTTL = time.Minute
	// retryAfter is how soon Secrets are read again after something about them was
	// wrong.
	retryAfter = 5 * time.Second
	// resolveTimeout is how long reading Secrets may take.
	resolveTimeout = 10 * time.Second
	// maxProviders is how many clients are kept.
	maxProviders = 256
	// defaultQueryTimeout is how long a query may take where nothing else is said.
	defaultQueryTimeout = 10 * time.Second
)

// providerKey names a MetricProvider; the zero value is the operator's default.
type providerKey struct {
	namespace, name string
}

func keyOf(namespace string, ref *v1alpha1.ProviderReference) providerKey {
	if ref == nil {
		return providerKey{}
	}
	return providerKey{namespace: namespace, name: ref.Name}
}

// Providers turns references to MetricProviders into clients. Clients are kept
// while the MetricProvider and the Secrets that it names stay the same. Secrets are
// read by name, never listed, watched or cached for longer than a minute.
type Providers struct {
	objects  client.Reader // cached
	secrets  client.Reader // not cached
	open     analysis.Opener
	clock    clock.PassiveClock
	fallback analysis.Provider // nil without a default
	timeout  time.Duration     // of the default

	mu      sync.Mutex
	clients map[providerKey]*providerClient
	changed func(providerKey)
}

// providerClient is the client of one MetricProvider. Whoever holds turn may change
// it.
type providerClient struct {
	turn     chan struct{}
	lastUsed time.Time // guarded by Providers.mu
	distrust bool      // guarded by Providers.mu

	uid        types.UID
	generation int64
	provider   analysis.Provider
	versions   string // of the Secrets in provider
	readAt     time.Time
	err        error
}

// Resolve returns the client of a MetricProvider, or of the operator's default for
// nil, and how long a query may take. Errors are *analysis.Error, or ctx's.
func (p *Providers) Resolve(ctx context.Context, namespace string, ref *v1alpha1.ProviderReference) (analysis.Provider, time.Duration, error) {
	if ref == nil {
		if p.fallback == nil {
			return nil, 0, &analysis.Error{Reason: analysis.ReasonProviderMissing}
		}
		return p.fallback, p.timeout, nil
	}
	var mp v1alpha1.MetricProvider
	err := p.objects.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &mp)
	switch {
	case apierrors.IsNotFound(err):
		return nil, 0, &analysis.Error{Reason: analysis.ReasonProviderMissing}
	case err != nil:
		return nil, 0, &analysis.Error{Reason: analysis.ReasonUnavailable}
	}
	return p.resolve(ctx, &mp)
}

func (p *Providers) resolve(ctx context.Context, mp *v1alpha1.MetricProvider) (analysis.Provider, time.Duration, error) {
	if mp.Spec.Prometheus == nil {
		return nil, 0, &analysis.Error{Reason: analysis.ReasonProviderInvalid}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	key := providerKey{namespace: mp.Namespace, name: mp.Name}
	c, distrust := p.client(key)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if !p.fresh(c, mp, distrust) {
		before := c.err
		p.refresh(ctx, c, mp)
		if reasonOrNone(before) != reasonOrNone(c.err) {
			p.tell(key)
		}
	}
	if c.err != nil {
		return nil, 0, c.err
	}
	return c.provider, queryTimeout(mp.Spec.Prometheus), nil
}

func queryTimeout(spec *v1alpha1.PrometheusProvider) time.Duration {
	if spec.Timeout == nil || spec.Timeout.Duration <= 0 {
		return defaultQueryTimeout
	}
	return spec.Timeout.Duration
}

func reasonOrNone(err error) analysis.Reason {
	if err == nil {
		return ""
	}
	return analysis.ReasonOf(err)
}

// client returns the entry of a MetricProvider, and makes room for it.
func (p *Providers) client(key providerKey) (*providerClient, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[key]
	if c == nil {
		if len(p.clients) >= maxProviders {
			p.evict()
		}
		c = &providerClient{turn: make(chan struct{}, 1)}
		p.clients[key] = c
	}
	c.lastUsed = p.clock.Now()
	return c, c.distrust
}

// evict drops the client that was used least recently. Queries that still use it
// end as usual.
func (p *Providers) evict() {
	var oldest providerKey
	var found *providerClient
	for key, c := range p.clients {
		if found == nil || c.lastUsed.Before(found.lastUsed) {
			oldest, found = key, c
		}
	}
	if found != nil {
		p.dropLocked(oldest)
	}
}

func (p *Providers) dropLocked(key providerKey) {
	c := p.clients[key]
	if c == nil {
		return
	}
	delete(p.clients, key)
	go func() { // whoever has the turn may be waiting for the API server
		c.turn <- struct{}{}
		closeProvider(c.provider)
		c.provider, c.readAt = nil, time.Time{}
		<-c.turn
	}()
}

// forget drops the client of a MetricProvider that does not exist any more.
func (p *Providers) forget(key providerKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(key)
}

// Distrust has the Secrets of a MetricProvider read again before it is asked next,
// though not more often than every few seconds: its server refused the
// credentials.
func (p *Providers) Distrust(namespace string, ref *v1alpha1.ProviderReference) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[keyOf(namespace, ref)]; c != nil {
		c.distrust = true
	}
}

// fresh tells whether a client can be used as it is.
func (p *Providers) fresh(c *providerClient, mp *v1alpha1.MetricProvider, distrust bool) bool {
	age := p.clock.Since(c.readAt)
	switch {
	case c.readAt.IsZero(), c.uid != mp.UID, c.generation != mp.Generation:
		return false
	case len(secretsOf(mp.Spec.Prometheus)) == 0:
		return true
	case c.err != nil, distrust:
		return age < retryAfter
	default:
		return age < secretTTL
	}
}

// refresh reads the Secrets and makes a client, unless the one there is was made of
// the same. While Secrets cannot be read, that one stays in use.
func (p *Providers) refresh(ctx context.Context, c *providerClient, mp *v1alpha1.MetricProvider) {
	same := c.uid == mp.UID && c.generation == mp.Generation && c.provider != nil
	endpoint, versions, err := p.endpoint(ctx, mp)
	if err == nil && !(same && versions == c.versions) {
		var provider analysis.Provider
		if provider, err = p.open(endpoint); err == nil {
			closeProvider(c.provider)
			c.provider, c.versions = provider, versions
		}
	}
	c.uid, c.generation, c.readAt, c.err = mp.UID, mp.Generation, p.clock.Now(), err
	switch {
	case same && analysis.IsUnavailable(err):
		c.readAt, c.err = c.readAt.Add(retryAfter-secretTTL), nil
	case err != nil:
		closeProvider(c.provider)
		c.provider, c.versions = nil, ""
	}
	p.mu.Lock()
	c.distrust = false
	p.mu.Unlock()
}

func closeProvider(p analysis.Provider) {
	if p != nil {
		_ = analysis.Closer(p).Close()
	}
}

// onChange sets what is told of a MetricProvider that became usable, or stopped to
// be.
func (p *Providers) onChange(changed func(providerKey)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = changed
}

func (p *Providers) tell(key providerKey) {
	p.mu.Lock()
	changed := p.changed
	p.mu.Unlock()
	if changed != nil {
		changed(key)
	}
}

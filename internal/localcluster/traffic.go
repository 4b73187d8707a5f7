package localcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// callTimeout bounds each request of a traffic client.
const callTimeout = 5 * time.Second

// TrafficOptions says what a traffic client sends, and as whom.
type TrafficOptions struct {
	// Name and Namespace are the client's workload, as telemetry reports it;
	// default "loadgen" in "demo".
	Name, Namespace string
	// Target is the service to call: "xds:///app.demo.svc.cluster.local:80".
	Target string
	// Gateway has the client call by HTTP, from outside of the mesh: it sends
	// POST requests for Host to the gateway, and Target says which service they
	// are meant for. Without it the client is in the mesh and calls by gRPC.
	Gateway *Gateway
	Host    string
	// HTTP2 sends them by HTTP/2 without TLS, and not by HTTP/1.1.
	HTTP2 bool
	// RPS is how many requests are begun per second; default 50.
	RPS float64
	// Workers bounds the requests in flight; default 32. When all of them are
	// waiting for answers, fewer requests than RPS are begun.
	Workers int
	// Headers are sent with every request, for routes that match on them.
	Headers map[string]string
	// Remember is how many of the last requests Window can look at; default
	// 65,536.
	Remember int
}

func (o TrafficOptions) withDefaults() TrafficOptions {
	if o.Name == "" {
		o.Name = "loadgen"
	}
	if o.Namespace == "" {
		o.Namespace = "demo"
	}
	if o.RPS == 0 {
		o.RPS = 50
	}
	if o.Workers == 0 {
		o.Workers = 32
	}
	if o.Remember == 0 {
		o.Remember = 1 << 16
	}
	return o
}

// caller makes a client's requests.
type caller interface {
	// call makes one request, and never a second time what may have been sent.
	call(ctx context.Context) outcome
	close()
}

// Traffic is a client that calls the demo app at a steady rate, without retries,
// and keeps count of what it saw. In the mesh it takes its routes from istiod, so it
// obeys weights and subsets as a sidecar would, and exports the telemetry a sidecar
// would; from outside it comes through a gateway, and exports what that would.
type Traffic struct {
	options   TrafficOptions
	cluster   *Cluster
	ip        string
	caller    caller
	pacer     *pacer
	stats     *trafficStats
	telemetry *telemetry

	mu      sync.Mutex
	cancel  context.CancelFunc // set while it runs
	workers sync.WaitGroup
	closed  bool
}

// source is the workload that sends the requests into the mesh.
func (o *TrafficOptions) source() [2]string {
	if o.Gateway != nil {
		return [2]string{gatewayName, istioNamespace}
	}
	return [2]string{o.Name, o.Namespace}
}

// NewTraffic makes a client; Start has it send. The cluster stops it at its
// own end.
func (c *Cluster) NewTraffic(o TrafficOptions) (*Traffic, error) {
	o = o.withDefaults()
	if c.binaries.Istiod == "" {
		return nil, errors.New("traffic needs a cluster with Options.Istiod")
	}
	target, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	ip, err := c.ips.take()
	if err != nil {
		return nil, err
	}
	t := &Traffic{
		options: o, cluster: c, ip: ip,
		pacer:     newPacer(o.RPS),
		stats:     newTrafficStats(o.Remember),
		telemetry: newTelemetry(o.source(), target),
	}
	if err := t.open(); err != nil {
		t.Stop()
		return nil, fmt.Errorf("make traffic client %s: %w", o.Name, err)
	}
	c.mu.Lock()
	c.traffic = append(c.traffic, t)
	c.mu.Unlock()
	return t, nil
}

func (t *Traffic) open() error {
	if err := t.connect(); err != nil {
		return err
	}
	return t.telemetry.serve(t.ip)
}

func (t *Traffic) connect() error {
	if t.options.Gateway != nil {
		c, err := newHTTPCaller(&t.options)
		if err != nil {
			return err
		}
		t.caller = c
		return nil
	}
	c, err := newGRPCCaller(t.cluster.XDSAddr(), t.ip, &t.options)
	if err != nil {
		return err
	}
	t.caller = c
	return nil
}

// Start waits until a first request succeeds, which is not counted, then
// sends and counts until Stop. ctx bounds the wait alone.
func (t *Traffic) Start(ctx context.Context) error {
	err := await(ctx, "wait for "+t.options.Target, nil, func(ctx context.Context) error {
		if o := t.call(ctx); o.lost() {
			return fmt.Errorf("%s: %s", o.code, o.message)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.cluster.options.Prometheus {
		if err := t.cluster.AddScrapeTarget(ctx, t.options.Name, t.telemetry.addr); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil || t.closed {
		return errors.New("traffic was started already")
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	t.workers.Go(func() { t.pacer.run(runCtx) })
	for range t.options.Workers {
		t.workers.Go(func() { t.run(runCtx) })
	}
	return nil
}

func (t *Traffic) run(ctx context.Context) {
	for t.pacer.wait(ctx) {
		// A request that was begun is finished and counted, also at the end.
		o := t.call(context.WithoutCancel(ctx))
		t.stats.add(o)
		t.telemetry.record(o)
	}
}

func (t *Traffic) call(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return t.caller.call(ctx)
}

// SetRPS changes the rate; 0 pauses.
func (t *Traffic) SetRPS(rps float64) { t.pacer.set(rps) }

// Snapshot returns everything counted so far.
func (t *Traffic) Snapshot() TrafficSnapshot { return t.stats.snapshot(time.Now()) }

// Window counts the requests that ended after from and not after to, as far
// back as Remember reaches.
func (t *Traffic) Window(from, to time.Time) Window { return t.stats.window(from, to) }

// Losses returns the first hundred lost requests, oldest first.
func (t *Traffic) Losses() []Loss {
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	return slices.Clone(t.stats.losses)
}

// Stop lets the requests in flight finish and closes the client. What it
// counted stays readable. Stopping twice is fine.
func (t *Traffic) Stop() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	cancel := t.cancel
	t.mu.Unlock()
	if cancel != nil {
		cancel()
		t.workers.Wait()
	}
	if t.caller != nil {
		t.caller.close()
	}
	if cancel != nil && t.cluster.options.Prometheus {
		t.forgetTarget()
	}
	t.telemetry.close()
	t.cluster.ips.release(t.ip)
}

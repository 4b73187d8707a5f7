package localcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
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

// Traffic is a client of the mesh that calls the demo app at a steady rate,
// without retries, and keeps count of what it saw. It takes its routes from
// istiod, so it obeys weights and subsets as a sidecar would, and exports the
// telemetry a sidecar would.
type Traffic struct {
	options   TrafficOptions
	cluster   *Cluster
	ip        string
	conn      *grpc.ClientConn
	pacer     *pacer
	stats     *trafficStats
	telemetry *telemetry

	mu      sync.Mutex
	cancel  context.CancelFunc // set while it runs
	workers sync.WaitGroup
	closed  bool
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
		telemetry: newTelemetry(o.Name, o.Namespace, target),
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
	builder, err := xdsResolver(t.cluster.XDSAddr(), t.ip, t.options.Name, t.options.Namespace)
	if err != nil {
		return err
	}
	t.conn, err = grpc.NewClient(t.options.Target,
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(), // a request that fails must be seen to fail
		grpc.WithNoProxy(),
	)
	if err != nil {
		return err
	}
	return t.telemetry.serve(t.ip)
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

// call makes one request. grpc-go puts new routes into force before the balancer
// that they lead to: a request that is begun in between, when a destination gets its
// first weight, is failed by the client itself and never sent. No proxy does that,
// and it says nothing of the service, so the request is begun again.
func (t *Traffic) call(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		o := t.try(ctx)
		if !o.neverSent() {
			return o
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return o
		}
	}
}

// neverSent reports whether the client failed a request for want of the balancer
// that its route leads to.
func (o outcome) neverSent() bool {
	return !o.reached && o.code == codes.Unavailable && strings.HasPrefix(o.message, "unknown cluster selected for RPC: ")
}

func (t *Traffic) try(ctx context.Context) outcome {
	for key, value := range t.options.Headers {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	var (
		answer  structpb.Struct
		trailer metadata.MD
	)
	began := time.Now()
	err := t.conn.Invoke(ctx, DemoMethod, &emptypb.Empty{}, &answer, grpc.Trailer(&trailer))
	ended := time.Now()
	s := status.Convert(err)
	o := outcome{at: ended, took: ended.Sub(began), code: s.Code(), message: s.Message()}
	o.readTrailer(trailer)
	return o
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
	if t.conn != nil {
		_ = t.conn.Close()
	}
	if cancel != nil && t.cluster.options.Prometheus {
		t.forgetTarget()
	}
	t.telemetry.close()
	t.cluster.ips.release(t.ip)
}

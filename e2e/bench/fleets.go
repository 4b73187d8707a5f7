package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

const (
	// quiet is for how long the operator must have written nothing to be at rest.
	quiet = 4 * time.Second
	// metricInterval is a metric's default: a step of a fleet needs one measurement.
	metricInterval = 30 * time.Second
	// restTime is how long a fleet at rest is watched.
	restTime = time.Minute
)

// measureFleet updates n Rollouts at once and measures what their releases cost.
func measureFleet(ctx context.Context, b *bench, n int) error {
	operator, f, err := b.restingFleet(ctx, n)
	if err != nil {
		return err
	}
	before, err := b.readCosts(ctx, operator)
	if err != nil {
		return err
	}
	profiled, err := b.startProfile(ctx, fmt.Sprintf("fleet%d", n))
	if err != nil {
		return err
	}
	started, err := f.release(ctx, "v2")
	if err != nil {
		return err
	}
	cost := fleetCost{n: n, before: before, written: time.Since(started)}
	if cost.took, err = f.awaitPromoted(ctx, started); err != nil {
		return err
	}
	if cost.promoted, err = b.readCosts(ctx, operator); err != nil {
		return err
	}
	settled, err := b.awaitQuiet(ctx)
	if err != nil {
		return err
	}
	if cost.after, err = b.readCosts(ctx, operator); err != nil {
		return err
	}
	requests, err := b.requests(started, settled)
	if err != nil {
		return err
	}
	cost.requests = count(requests)
	b.reportFleet(&cost)
	return profiled()
}

// costs are readings of what was used so far.
type costs struct {
	operator   localcluster.Usage
	others     time.Duration
	reconciles int
}

func (b *bench) readCosts(ctx context.Context, operator *demo.Operator) (c costs, err error) {
	if c.operator, err = operator.Usage(); err != nil {
		return c, err
	}
	if c.others, err = b.clusterCPU(); err != nil {
		return c, err
	}
	c.reconciles, err = reconciles(ctx, operator)
	return c, err
}

// fleetCost is what the releases of a fleet of n took.
type fleetCost struct {
	n                       int
	written                 time.Duration
	took                    series
	before, promoted, after costs
	requests                tally
}

func (b *bench) reportFleet(c *fleetCost) {
	r, t, n := b.report, &c.requests, c.n
	name := func(what string) string { return fmt.Sprintf("%d released at once: %s", n, what) }
	target := func(small limit) limit {
		if n == 100 {
			return small
		}
		return limit{unit: small.unit}
	}
	perRollout := func(x int) series { return one(float64(x) / float64(n)) }
	spent := func(to costs) series { return one((to.operator.CPU - c.before.operator.CPU).Seconds()) }
	r.add(b.part, name("first update to last promoted"), one(c.took.most()), target(seconds(12)))
	r.add(b.part, name("first update to promoted, each"), c.took, seconds(0))
	r.add(b.part, name("writing the updates, ours"), one(c.written.Seconds()), seconds(0))
	r.add(b.part, name("reconciles per Rollout"), perRollout(c.after.reconciles-c.before.reconciles), limit{})
	r.add(b.part, name("requests per Rollout"), perRollout(t.Requests), limit{unit: ""})
	r.add(b.part, name("writes per Rollout"), perRollout(t.Writes), limit{most: 15})
	r.add(b.part, name("events per Rollout"), perRollout(t.Events), limit{most: 5})
	r.add(b.part, name("reads that no cache answered"), one(float64(t.Reads)), limit{exact: true})
	r.add(b.part, name("operator CPU until promoted"), spent(c.promoted), target(seconds(4)))
	r.add(b.part, name("operator CPU until all was drained"), spent(c.after), seconds(0))
	r.add(b.part, name("CPU of etcd, API server and controller-manager"), one((c.after.others - c.before.others).Seconds()), seconds(0))
	r.add(b.part, name("operator peak memory"), one(mebibytes(c.after.operator.PeakRSS)), target(limit{unit: "MiB", most: 80}))
	r.breakdown(b.part, n, t)
}

// restingFleet starts an operator and deploys Rollouts with three steps and a
// metric, and waits until nothing happens any more.
func (b *bench) restingFleet(ctx context.Context, n int) (*demo.Operator, *fleet, error) {
	var args []string
	if b.profile != "" {
		args = append(args, "--pprof-bind-address="+profileAddr)
	}
	operator, err := b.startOperator(ctx, args...)
	if err != nil {
		return nil, nil, err
	}
	f, err := b.newFleet(ctx, n, demo.Service{
		Steps:   []v1alpha1.Step{{Weight: 20}, {Weight: 50}, {Weight: 100}},
		Metrics: []v1alpha1.Metric{measured(metricInterval)},
	})
	if err != nil {
		return nil, nil, err
	}
	_, err = b.awaitQuiet(ctx)
	return operator, f, err
}

// clusterCPU is what the cluster's own programs have used of the processor.
func (b *bench) clusterCPU() (time.Duration, error) {
	var total time.Duration
	for _, p := range b.cluster.Processes() {
		if !slices.Contains(tools, p.Name()) {
			continue
		}
		usage, err := p.Usage()
		if err != nil {
			return 0, err
		}
		total += usage.CPU
	}
	return total, nil
}

// awaitPromoted returns how long each Rollout took until another revision was
// stable.
func (f *fleet) awaitPromoted(ctx context.Context, started time.Time) (series, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	err := f.b.states.awaitAll(ctx, "the fleet to be promoted", f.names, func(s state) bool {
		return s.promotedAt.After(started) && s.canary == ""
	})
	var took series
	if err != nil {
		return took, err
	}
	for _, name := range f.names {
		took.addDuration(f.b.states.get(name).promotedAt.Sub(started))
	}
	return took, nil
}

// awaitQuiet waits until the operator has asked for nothing for a while, leases
// aside, and returns the moment since when.
func (b *bench) awaitQuiet(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for from := time.Now(); ; {
		if err := pause(ctx, quiet); err != nil {
			return from, fmt.Errorf("waiting for the operator to be at rest: %w", err)
		}
		now := time.Now()
		requests, err := b.requests(from, now)
		if err != nil {
			return from, err
		}
		if count(requests).Requests == 0 {
			return from, nil
		}
		from = now
	}
}

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// measureIdle measures what n Rollouts cost while nothing happens.
func measureIdle(ctx context.Context, b *bench, n int) error {
	operator, _, err := b.restingFleet(ctx, n)
	if err != nil {
		return err
	}
	before, err := operator.Usage()
	if err != nil {
		return err
	}
	from := time.Now()
	if err := pause(ctx, restTime); err != nil {
		return err
	}
	after, err := operator.Usage()
	if err != nil {
		return err
	}
	requests, err := b.requests(from, time.Now())
	if err != nil {
		return err
	}
	t := count(requests)
	name := func(what string) string { return fmt.Sprintf("%d at rest for a minute: %s", n, what) }
	b.report.add(b.part, name("requests, leases aside"), one(float64(t.Requests)), limit{exact: true})
	b.report.add(b.part, name("requests for the lease"), one(float64(len(requests)-t.Requests)), limit{})
	b.report.add(b.part, name("operator CPU"), one((after.CPU - before.CPU).Seconds()), seconds(0))
	b.report.add(b.part, name("operator memory"), one(mebibytes(after.RSS)), limit{unit: "MiB"})
	b.report.add(b.part, name("operator peak memory, deploying included"), one(mebibytes(after.PeakRSS)), limit{unit: "MiB"})
	b.report.breakdown(b.part, n, &t)
	return nil
}

// profileAddr is where a profiled operator serves; there is one at a time, in
// namespaces of its own.
const profileAddr = "127.0.0.1:6060"

// startProfile takes CPU profiles of the operator and of the API server over what
// follows, and a heap profile of the operator when the returned function is
// called, which waits for all.
func (b *bench) startProfile(ctx context.Context, name string) (func() error, error) {
	if b.profile == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for profiles: %w", err)
	}
	server, err := rest.HTTPClientFor(b.cluster.AdminConfig())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	const cpu = "/debug/pprof/profile?seconds=15"
	operatorURL, path := "http://"+profileAddr, filepath.Join(b.profile, name)
	var group errgroup.Group
	group.Go(func() error { return fetch(ctx, http.DefaultClient, operatorURL+cpu, path+".cpu") })
	group.Go(func() error { return fetch(ctx, server, b.cluster.APIServerURL()+cpu, path+".apiserver.cpu") })
	return func() error {
		if err := group.Wait(); err != nil {
			return err
		}
		return fetch(ctx, http.DefaultClient, operatorURL+"/debug/pprof/heap?gc=1", path+".heap")
	}, nil
}

// fetch writes what a URL gives to a file.
func fetch(ctx context.Context, client *http.Client, url, path string) error {
	content, err := read(ctx, client, url)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// read returns what a URL gives.
func read(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %s: %s", url, resp.Status)
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	return content, nil
}

// reconciles is how often an operator's controllers looked at something, by its
// own metrics.
func reconciles(ctx context.Context, operator *demo.Operator) (int, error) {
	content, err := read(ctx, http.DefaultClient, "http://"+operator.MetricsAddr+"/metrics")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, "controller_runtime_reconcile_total{") {
			continue
		}
		fields := strings.Fields(line)
		x, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("reading the operator's metrics: %w", err)
		}
		total += x
	}
	return int(total), nil
}

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// startTimeout bounds Start when its context has no deadline of its own.
const startTimeout = 2 * time.Minute

// Options says what a cluster has.
type Options struct {
	// Dir holds everything the cluster writes: data, kubeconfigs, logs. Empty
	// means a temporary folder that Stop removes.
	Dir string
	// Log gets a line for every program that is up; nil means nobody.
	Log io.Writer
	// Istiod runs Istio's control plane, which traffic clients need.
	Istiod bool
	// Prometheus runs a Prometheus that scrapes the traffic clients.
	Prometheus bool
	// Alertmanager has Prometheus evaluate the rules of SetRules and send alerts to the
	// Alertmanager that StartAlertmanager starts.
	Alertmanager bool
	// ScrapeInterval is Prometheus's; default one second.
	ScrapeInterval time.Duration
	// Users get static tokens, besides admin and the operator.
	Users []User
	// APIServerArgs and ControllerManagerArgs are appended to the flags and so
	// override them.
	APIServerArgs         []string
	ControllerManagerArgs []string
	// NoControllers leaves the controller-manager and the pod runner out, for
	// tests that need no more than an API.
	NoControllers bool
}

func (o Options) withDefaults() Options {
	o.Log = discardIfNil(o.Log)
	if o.ScrapeInterval == 0 {
		o.ScrapeInterval = time.Second
	}
	return o
}

func (o Options) tools() []string {
	names := []string{ToolEtcd, ToolAPIServer}
	if !o.NoControllers {
		names = append(names, ToolControllerManager)
	}
	if o.Istiod {
		names = append(names, ToolIstiod)
	}
	if o.Prometheus {
		names = append(names, ToolPrometheus)
	}
	if o.Alertmanager {
		names = append(names, ToolAlertmanager)
	}
	return names
}

// Cluster is a running local cluster.
type Cluster struct {
	options  Options
	dir      string
	ownsDir  bool
	binaries Binaries
	ca       *authority
	tokens   tokens
	addrs    addresses
	apply    *applier
	pods     *podRunner
	stopPods func()
	ips      *ipPool
	nodeIP   string

	mu           sync.Mutex
	processes    []*Process
	apiServer    *Process
	prometheus   *Process
	alertmanager *Process
	scrapes      []scrapeTarget
	traffic      []*Traffic
	gateway      bool // StartGateway was called
	stopped      bool
}

// addresses are where the programs listen, all on loopback.
type addresses struct {
	etcd, etcdPeer, apiServer, controllerManager string
	istiodXDS, istiodHTTP, istiodMonitoring      string
	prometheus, alertmanager                     string
}

func newAddresses() (addresses, error) {
	var a addresses
	for _, into := range []*string{
		&a.etcd, &a.etcdPeer, &a.apiServer, &a.controllerManager,
		&a.istiodXDS, &a.istiodHTTP, &a.istiodMonitoring, &a.prometheus, &a.alertmanager,
	} {
		addr, err := freeAddr()
		if err != nil {
			return addresses{}, err
		}
		*into = addr
	}
	return a, nil
}

// Start boots a cluster and returns when everything in it is ready. The
// program must be inside (see Enter) and the binaries must have been built
// (Enter does that too). Nothing is left behind when it fails.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if !Inside() {
		return nil, errors.New("a local cluster starts inside its own namespaces only: call localcluster.Enter first")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := prepare(o.withDefaults())
	if err != nil {
		return nil, err
	}
	started := time.Now()
	if err := c.boot(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the local cluster: %w", err), c.Stop())
	}
	c.say("cluster ready", started)
	return c, nil
}

// prepare makes the folder, identities and addresses; nothing runs yet.
func prepare(o Options) (*Cluster, error) {
	c := &Cluster{options: o, dir: o.Dir, tokens: newTokens(o.Users)}
	var err error
	if c.binaries, err = locateBinaries(o.tools()...); err != nil {
		return nil, err
	}
	if c.addrs, err = newAddresses(); err != nil {
		return nil, err
	}
	if c.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	if c.ips, err = newIPPool(PodCIDR); err != nil {
		return nil, err
	}
	if c.nodeIP, err = c.ips.take(); err != nil {
		return nil, err
	}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "sluice-cluster-"); err != nil {
			return nil, fmt.Errorf("make the cluster's folder: %w", err)
		}
		c.ownsDir = true
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return nil, fmt.Errorf("resolve the cluster's folder: %w", err)
	}
	if err := os.MkdirAll(c.logDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := c.ca.writeServerFiles(c.dir); err != nil {
		return nil, err
	}
	if err := c.writeTokens(); err != nil {
		return nil, err
	}
	return c, c.WriteKubeconfig(AdminUser, c.Kubeconfig(), "")
}

// boot starts everything in the order of need, and side by side what can be.
func (c *Cluster) boot(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	if c.options.Prometheus {
		group.Go(func() error { return c.StartPrometheus(groupCtx) })
	}
	group.Go(func() error { return c.bootControlPlane(groupCtx) })
	return group.Wait()
}

func (c *Cluster) bootControlPlane(ctx context.Context) error {
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	var err error
	if c.apply, err = newApplier(c.AdminConfig()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if !c.options.NoControllers {
		group.Go(func() error { return c.startControllerManager(ctx) })
		group.Go(func() error { return c.startPods(ctx) })
	}
	if c.options.Istiod {
		group.Go(func() error { return c.startIstiod(ctx) })
	}
	return group.Wait()
}

// Stop ends the cluster and everything that was started through it. The
// folder stays when Options.Dir named it. Stopping twice is fine.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return nil
	}
	c.stopped = true
	traffic, processes := c.traffic, c.processes
	c.mu.Unlock()

	for _, t := range traffic {
		t.Stop()
	}
	if c.stopPods != nil {
		c.stopPods()
	}
	// Nothing of it is read again, so there is nothing to flush: kill, the
	// newest first.
	var errs []error
	for i := len(processes) - 1; i >= 0; i-- {
		errs = append(errs, processes[i].Kill())
	}
	if c.ownsDir {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Dir returns the folder that holds what the cluster writes.
func (c *Cluster) Dir() string { return c.dir }

// Binaries returns the programs the cluster runs.
func (c *Cluster) Binaries() Binaries { return c.binaries }

// Processes returns everything that was started through the cluster, ended or
// not, oldest first.
func (c *Cluster) Processes() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Process(nil), c.processes...)
}

func (c *Cluster) logDir() string { return c.path("logs") }

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// say reports one thing that is up, and how long it took.
func (c *Cluster) say(what string, since time.Time) {
	_, _ = fmt.Fprintf(c.options.Log, "%s (%.1fs)\n", what, time.Since(since).Seconds())
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// tools are the programs that a cluster is made of here. Of Istio only the
// resource definitions are used: nothing sends requests.
var tools = []string{
	localcluster.ToolEtcd, localcluster.ToolAPIServer, localcluster.ToolControllerManager, localcluster.ToolIstiod,
	localcluster.ToolPrometheus, localcluster.ToolAlertmanager,
}

// auditPolicy records the operator's requests, and nothing of what they carry.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["` + localcluster.OperatorUser + `"]
- level: None
`

// bench is what one part is measured with.
type bench struct {
	settings
	part    string
	report  *report
	cluster *localcluster.Cluster
	client  dynamic.Interface
	weights *weights
	states  *states
	metrics *metricServer
	audit   string
	started int // operators
}

// size is n, or less in a quick run.
func (b *bench) size(n, quick int) int {
	if b.quick {
		return quick
	}
	return n
}

// measure boots a cluster, measures one part on it and takes it down.
func (b *bench) measure(ctx context.Context, p part) (err error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if b.keep || err != nil {
			fmt.Fprintf(b.log, "    logs are in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err = b.boot(ctx, dir, p.alerts); err == nil {
		err = p.measure(ctx, b)
	}
	cancel() // Watches end before what they watch.
	return errors.Join(err, b.stop())
}

func (b *bench) boot(ctx context.Context, dir string, alerts bool) error {
	b.audit = filepath.Join(dir, "audit.log")
	policy := filepath.Join(dir, "audit.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	var err error
	b.cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: filepath.Join(dir, "cluster"), Prometheus: alerts, Alertmanager: alerts,
		APIServerArgs: []string{"--audit-policy-file=" + policy, "--audit-log-path=" + b.audit},
	})
	if err != nil {
		return err
	}
	binaries, err := localcluster.EnsureBinaries(ctx, b.log, localcluster.ToolIstiod)
	if err != nil {
		return err
	}
	if err := b.cluster.Apply(ctx, binaries.IstioCRDs); err != nil {
		return err
	}
	if err := demo.Install(ctx, b.cluster, b.root); err != nil {
		return err
	}
	if b.client, err = dynamic.NewForConfig(b.cluster.AdminConfig()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if b.metrics, err = startMetricServer(); err != nil {
		return err
	}
	if b.weights, err = watchWeights(ctx, b.client); err != nil {
		return err
	}
	b.states, err = watchStates(ctx, b.client)
	return err
}

func (b *bench) stop() error {
	var errs []error
	if b.metrics != nil {
		errs = append(errs, b.metrics.close())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop())
	}
	return errors.Join(errs...)
}

// startOperator starts a replica of the operator and waits until it is up. Its
// lease is the one that it has by default.
func (b *bench) startOperator(ctx context.Context, args ...string) (*demo.Operator, error) {
	b.started++
	operator, err := demo.StartOperator(ctx, b.cluster, demo.OperatorOptions{
		Name:          fmt.Sprintf("sluice-%d", b.started),
		Binary:        b.operator,
		Prometheus:    b.metrics.url(),
		LeaseDuration: leaseDuration,
		Args:          args,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return operator, operator.WaitReady(ctx)
}

// leaseDuration is the operator's default.
const leaseDuration = 15 * time.Second

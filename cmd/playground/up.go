package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-dev/sluice/cmd/playground/timeline"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// The host's listeners, in the order in which they are opened.
const (
	apiListener = iota
	prometheusListener
)

// restartAfter is how long a dead operator stays dead, as a Deployment would have it.
const restartAfter = time.Second

// runUp is the command: the demo, and then a prompt until its user has enough.
func runUp(ctx context.Context, o options) (err error) {
	out := &terminal{out: os.Stdout, interactive: colourful(os.Stdout)}
	printer := &timeline.Printer{Out: out, Colour: colourful(os.Stdout)}
	printer.Title("booting a local cluster")
	s, err := newStage(ctx, o, indented{os.Stdout})
	defer func() { err = s.finish(ctx, err) }()
	if err != nil {
		return err
	}
	kubeconfig, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(kubeconfig) }() // it leads nowhere once the cluster is gone
	prometheus := "http://" + localcluster.HostAddr(prometheusListener)
	printer.Say(timeline.Plain, "    from this machine: export KUBECONFIG="+kubeconfig)
	printer.Say(timeline.Plain, "    Prometheus: "+prometheus)
	d := newDirector(s, printer)
	if err := d.settle(ctx); err != nil {
		return err
	}
	if !o.skipDemo {
		if _, err := d.demonstrate(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			printer.Say(timeline.Bad, "that did not go as it should: "+err.Error())
		}
	}
	fmt.Fprint(out, welcome(guide{
		Kubeconfig: kubeconfig, Prometheus: prometheus,
		Logs: s.logs(), Namespace: namespace, Service: serviceName, OperatorPID: s.operator.PID(),
	}))
	return d.stay(ctx, newPrompt(ctx, os.Stdin, out))
}

// open makes the API server and Prometheus reachable from the host, and writes the
// kubeconfig for it.
func (s *stage) open(ctx context.Context) (kubeconfig string, err error) {
	if err := localcluster.ProxyHost(ctx, apiListener, s.cluster.APIServerAddr()); err != nil {
		return "", fmt.Errorf("opening the API server to this machine: %w", err)
	}
	if err := servePage(ctx, prometheusListener, s.cluster.PrometheusURL()); err != nil {
		return "", err
	}
	kubeconfig = filepath.Join(s.options.buildDir, "kubeconfig")
	server := "https://" + localcluster.HostAddr(apiListener)
	if err := s.cluster.WriteKubeconfig(localcluster.AdminUser, kubeconfig, server); err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return kubeconfig, nil
}

// stay follows the world and does what the prompt's user says, until they quit. An
// operator that ends is started again.
func (d *director) stay(ctx context.Context, p *prompt) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	p.ask()
	down := d.operator.Done()
	var again <-chan time.Time
	for {
		select {
		case s := <-d.seen:
			d.see(s)
		case now := <-ticker.C:
			d.look(now)
		case line, open := <-p.lines:
			if !open {
				p.lines = nil // standard input has ended; the cluster stays
				continue
			}
			p.terminal.asking = false
			quit, err := d.obey(ctx, line)
			if err != nil {
				d.printer.Say(timeline.Bad, err.Error())
			}
			if quit {
				return nil
			}
			p.ask()
		case <-down:
			down, again = nil, time.After(restartAfter)
			d.tell(time.Now(), timeline.Note{Who: timeline.Cluster, Tone: timeline.Bad, Text: "the operator ended"})
		case <-again:
			again = nil
			if err := d.startOperator(ctx); err != nil {
				return fmt.Errorf("starting the operator again: %w", err)
			}
			down = d.operator.Done()
			d.tell(time.Now(), timeline.Note{Who: timeline.Cluster, Text: fmt.Sprintf(
				"the operator is up again (process %d)", d.operator.PID())})
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

// settings are the command's flags.
type settings struct {
	operator string
	root     string
	out      string
	profile  string
	only     []string
	quick    bool
	keep     bool
	timeout  time.Duration
	log      io.Writer
}

// part is one thing to measure, on a cluster of its own.
type part struct {
	name    string
	about   string
	measure func(ctx context.Context, b *bench) error
	alerts  bool // with a Prometheus and an Alertmanager
}

var parts = []part{
	{name: "abort", about: "from an abort action to weight 0", measure: measureAborts},
	{name: "sample", about: "from a bad sample to weight 0", measure: measureSamples},
	{name: "alert", about: "from an alert that fires to weight 0", measure: measureAlerts, alerts: true},
	{name: "fleet100", about: "100 releases at once", measure: func(ctx context.Context, b *bench) error { return measureFleet(ctx, b, b.size(100, 20)) }},
	{name: "fleet500", about: "500 releases at once", measure: func(ctx context.Context, b *bench) error { return measureFleet(ctx, b, b.size(500, 50)) }},
	{name: "idle100", about: "100 Rollouts at rest", measure: func(ctx context.Context, b *bench) error { return measureIdle(ctx, b, b.size(100, 20)) }},
	{name: "idle1000", about: "1000 Rollouts at rest", measure: func(ctx context.Context, b *bench) error { return measureIdle(ctx, b, b.size(1000, 50)) }},
	{name: "restart", about: "stops and crashes with 100 releases in flight", measure: measureRestarts},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := parseFlags()
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if err := localcluster.Enter(localcluster.EnterOptions{Binaries: tools, Log: s.log}); err != nil {
		return err
	}
	ctrllog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	report := newReport(s.quick)
	err = measureAll(ctx, s, report)
	report.print(os.Stdout)
	return errors.Join(err, report.write(s.out))
}

func measureAll(ctx context.Context, s settings, report *report) error {
	for _, p := range parts {
		if len(s.only) > 0 && !slices.Contains(s.only, p.name) {
			continue
		}
		fmt.Fprintf(s.log, "==> %s: %s (load %s)\n", p.name, p.about, loadAverage())
		started := time.Now()
		b := &bench{settings: s, part: p.name, report: report}
		if err := b.measure(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(s.log, "    %s took %s\n", p.name, time.Since(started).Round(time.Second))
	}
	return nil
}

func parseFlags() (settings, error) {
	s := settings{log: os.Stderr}
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.operator, "operator", "bin/sluice", "the operator to measure")
	f.StringVar(&s.root, "root", ".", "root of the repository, for the manifests")
	f.StringVar(&s.out, "out", "build/bench.json", "where to write the results as JSON")
	f.StringVar(&s.profile, "profile", "", "folder for CPU and heap profiles of the operator in fleets; none without it")
	f.StringVar(&only, "only", "", "parts to measure, separated by commas: "+strings.Join(names, ", ")+"; all without it")
	f.BoolVar(&s.quick, "quick", false, "measure less of everything: to see that it works, not to compare")
	f.BoolVar(&s.keep, "keep", false, "keep the clusters' folders, with all logs")
	f.DurationVar(&s.timeout, "timeout", 40*time.Minute, "give up after this long")
	if err := f.Parse(os.Args[1:]); err != nil {
		return s, err
	}
	if only != "" {
		s.only = strings.Split(only, ",")
	}
	for _, name := range s.only {
		if !slices.Contains(names, name) {
			return s, fmt.Errorf("there is no part %q: choose from %s", name, strings.Join(names, ", "))
		}
	}
	var err error
	if s.operator, err = filepath.Abs(s.operator); err != nil {
		return s, fmt.Errorf("-operator: %w", err)
	}
	if _, err := os.Stat(s.operator); err != nil {
		return s, fmt.Errorf("-operator: %w: run make build first", err)
	}
	return s, nil
}

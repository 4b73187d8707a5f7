// Command benchmark measures how the statistical judge does: how often it rolls back
// canaries that are well, how soon those that are not, and how many requests fail
// until then; beside the ways of judging that other tools have.
//
// It simulates what a scrape would count, and needs no cluster, which is why it lives
// with the judge and not with the benchmarks of the operator. Every repetition of
// every cell has random numbers of its own, so each run prints the same.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// settings are the command's flags.
type settings struct {
	repetitions int
	workers     int
	only        []string
	cells       string
	out         string
	profile     string
	log         io.Writer
}

// bench runs parts, and keeps what came out.
type bench struct {
	settings
	grid    []result
	latency []latencyResult
	checks  []gate // of parts that have no cells
}

// part is one thing to find out.
type part struct {
	name  string
	about string
	run   func(*bench) error
}

var parts = []part{
	{"errors", "error ratios, beside rivals", (*bench).runErrors},
	{"latency", "latency by buckets", (*bench).runLatency},
	{"family", "ten metrics under one error rate", (*bench).runFamily},
	{"blind", "no data, impossible data, no server", (*bench).runBlind},
	{"restart", "state written and read at every tick", (*bench).runRestart},
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(args []string, out, log io.Writer) (err error) {
	b := &bench{settings: settings{log: log}}
	if err := b.parse(args); err != nil {
		return err
	}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return fmt.Errorf("creating the profile: %w", err)
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("starting the profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	started := time.Now()
	for _, p := range parts {
		if len(b.only) > 0 && !slices.Contains(b.only, p.name) {
			continue
		}
		fmt.Fprintf(log, "==> %s: %s\n", p.name, p.about)
		if err := p.run(b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	text := b.report()
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	fmt.Fprintf(log, "==> took %v with %d workers\n", time.Since(started).Round(time.Second), b.workers)
	return b.write(text)
}

func (b *bench) parse(args []string) error {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(b.log)
	flags.IntVar(&b.repetitions, "reps", 2000, "releases for each cell")
	flags.IntVar(&b.workers, "workers", 1, "cores to use")
	only := flags.String("only", "", "parts to run, comma-separated: "+strings.Join(names, ", "))
	flags.StringVar(&b.cells, "cells", "", `cells to run: those whose name contains this, such as "x20, 100 rps"`)
	flags.StringVar(&b.out, "out", "build", "folder for the report and the plots")
	flags.StringVar(&b.profile, "profile", "", "file for a CPU profile")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	for _, name := range b.only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	if b.repetitions < 1 || b.workers < 1 || b.workers > 4*runtime.NumCPU() {
		return fmt.Errorf("%d repetitions on %d workers", b.repetitions, b.workers)
	}
	return nil
}

// write leaves the report and the plots in the folder for what is built.
func (b *bench) write(text string) error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return fmt.Errorf("creating %s: %w", b.out, err)
	}
	files := map[string]string{"analysis-benchmark.md": text}
	if len(b.grid) > 0 {
		files["analysis-detection.svg"] = b.plot(detectionTimes)
		files["analysis-harm.svg"] = b.plot(harm)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.out, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

func (b *bench) runErrors() error {
	for _, c := range cells() {
		if !strings.Contains(c.String(), b.cells) {
			continue
		}
		started := time.Now()
		r, err := runCell(c, b.repetitions, b.workers)
		if err != nil {
			return err
		}
		b.grid = append(b.grid, r)
		fmt.Fprintf(b.log, "%-28s %s in %v\n", c.String(), r.engine.text(&r), time.Since(started).Round(time.Millisecond))
	}
	return nil
}

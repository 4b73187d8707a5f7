// Command kubectl-sluice is the kubectl plugin: "kubectl sluice" shows where
// releases are and why, and commands them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	err := newCommand(&cli{IOStreams: streams, now: time.Now}).ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	var coded *exitError
	if !errors.As(err, &coded) {
		coded = &exitError{exitFailed, err}
	}
	if coded.error != nil {
		fmt.Fprintln(os.Stderr, "error:", coded)
	}
	return coded.code
}

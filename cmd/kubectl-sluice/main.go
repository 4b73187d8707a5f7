// Command kubectl-sluice is the kubectl plugin: "kubectl sluice" shows where
// releases are and why, and commands them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
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
		complain(os.Stderr, coded.error)
	}
	return coded.code
}

// complain prints an error, without anything in it that a terminal would obey: parts
// of it come from the cluster.
func complain(out io.Writer, err error) {
	for i, line := range strings.Split(err.Error(), "\n") {
		prefix := ""
		if i == 0 {
			prefix = "error: "
		}
		fmt.Fprintln(out, prefix+draw.Clean(line))
	}
}

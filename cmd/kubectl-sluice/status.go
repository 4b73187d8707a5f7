package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

type statusOptions struct {
	*cli
	wait    bool
	timeout time.Duration
}

// errTimeout says that the time given with --timeout is over.
var errTimeout = errors.New("the time is over")

func (c *cli) statusCommand() *cobra.Command {
	o := &statusOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Wait until a release has ended, and tell how by the exit code",
		Long: `Waits until the operator has looked at the latest spec and the Rollout has come to rest, a
line for each change, and tells by its exit code how it ended:

  0  healthy: the revision in the spec has all traffic
  1  an error: it could not be found out
  2  degraded: the release was aborted, or only a person can get it further
  3  the time of --timeout is over, and it still moves
  4  paused: it waits for a person, by spec.paused or a step's approval`,
		Example: `  # In a CI job, after the new template was applied
  kubectl sluice status checkout --timeout 1h

  # Where is it now?
  kubectl sluice status checkout --wait=false`,
		Args:              oneName,
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().BoolVar(&o.wait, "wait", true, "wait until it has come to rest; without it, a Rollout that still moves is exit code 3")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long to wait, such as 30m; 0 for as long as it takes")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, name string) error {
	if o.timeout < 0 {
		return fmt.Errorf("--timeout is %s, and must not be negative", o.timeout)
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimeout)
		defer cancel()
	}
	last, err := o.watch(ctx, at, name)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeout):
		return &exitError{exitTimeout, fmt.Errorf("after %s Rollout %s is still %s: see \"kubectl sluice explain %s -n %s\"",
			o.timeout, name, last, name, at.Namespace)}
	case err != nil:
		return err
	}
	if code := exitCodeOf(last); code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// watch prints where the Rollout stands until it rests, and returns that.
func (o *statusOptions) watch(ctx context.Context, at *cluster.Cluster, name string) (story.State, error) {
	screen, last := o.screen(), story.Standing{State: story.Unobserved}
	printed := ""
	err := at.Follow(ctx, name, func(ctx context.Context) (bool, error) {
		r, err := at.Rollout(ctx, name)
		if err != nil {
			return false, err
		}
		last = story.StandingOf(r)
		line := screen.Paragraph(string(last.State)+": ", draw.Text(last.Message))
		if line != printed {
			fmt.Fprint(o.Out, line)
			printed = line
		}
		return !o.wait || exitCodeOf(last.State) != exitTimeout, nil
	})
	return last.State, err
}

// exitCodeOf is the exit code of a state; that of the timeout for one that passes.
func exitCodeOf(s story.State) int {
	switch s {
	case story.Healthy:
		return exitOK
	case story.Degraded:
		return exitDegraded
	case story.Paused:
		return exitPaused
	case story.Progressing, story.Unobserved:
	}
	return exitTimeout
}

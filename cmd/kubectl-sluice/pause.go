package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
)

type pauseOptions struct {
	*cli
	paused bool
	word   string
	dryRun string
	output *output
}

func (c *cli) pauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause NAME",
		Short: "Hold a Rollout where it is",
		Long: `Sets spec.paused: the canary's weight does not rise and no step is passed. Aborts, newer
revisions and scaling still take effect. Where a GitOps tool owns the spec, set it there:
the tool may undo this.`,
		Example: `  kubectl sluice pause checkout`,
	}
	return c.pauseOrResume(cmd, &pauseOptions{paused: true, word: "paused"})
}

// pauseOrResume completes a command that writes spec.paused.
func (c *cli) pauseOrResume(cmd *cobra.Command, o *pauseOptions) *cobra.Command {
	o.cli, o.output = c, newOutput(false)
	o.output.addFlags(cmd)
	addDryRun(cmd, &o.dryRun)
	cmd.Args = oneName
	cmd.ValidArgsFunction = c.completeNames(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) }
	return cmd
}

func (o *pauseOptions) run(ctx context.Context, name string) error {
	if err := errors.Join(checkDryRun(o.dryRun), o.output.check()); err != nil {
		return err
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	r, err := at.Rollout(ctx, name)
	if err != nil {
		return err
	}
	word := "already " + o.word
	if r.Spec.Paused != o.paused {
		word = o.word
		// "add" replaces what is there. A pause that somebody else sets meanwhile is
		// the same pause: nothing needs to be tested first.
		set := []cluster.Operation{{Op: "add", Path: "/spec/paused", Value: o.paused}}
		if r, err = at.Patch(ctx, name, set, o.dryRun == "server"); err != nil {
			return err
		}
	}
	return o.output.changed(o.Out, r, word, o.dryRun)
}

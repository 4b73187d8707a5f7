package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

type historyOptions struct {
	*cli
	format string
}

func (c *cli) historyCommand() *cobra.Command {
	o := &historyOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show the latest transitions of a Rollout, with their reasons",
		Long: `Shows what became of the latest releases of a Rollout, oldest first: when they started,
entered steps, were promoted, aborted or replaced, and why. The operator keeps the latest
20 transitions.`,
		Example:           `  kubectl sluice history checkout`,
		Args:              oneName,
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	addFormat(cmd, &o.format)
	return cmd
}

func (o *historyOptions) run(ctx context.Context, name string) error {
	if err := checkFormat(o.format); err != nil {
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
	switch {
	case o.format != "":
		return o.write(o.format, append([]v1alpha1.Transition{}, r.Status.History...))
	case len(r.Status.History) == 0:
		fmt.Fprintf(o.ErrOut, "Rollout %s has no history yet: nothing was released.\n", name)
	default:
		fmt.Fprint(o.Out, show.History(o.screen(), at.Now(), r.Status.History))
	}
	return nil
}

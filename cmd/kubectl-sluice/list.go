package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

type listOptions struct {
	*cli
	selection
	output *output
	watch  bool
}

func (c *cli) listCommand() *cobra.Command {
	o := &listOptions{cli: c, output: newOutput(true)}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List Rollouts, a line each",
		Long: `Lists Rollouts, a line each: state, step, the canary's weight, revisions and stable's
pods. -o wide adds what the operator says about it.`,
		Example: `  kubectl sluice list -A
  kubectl sluice list -l team=shop -w`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.selection.addFlags(cmd)
	o.output.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on with a line for every change")
	return cmd
}

func (o *listOptions) run(ctx context.Context) error {
	if err := o.output.check(); err != nil {
		return err
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	list := &show.List{Screen: o.screen(), Namespaces: o.all, Wide: o.output.wide()}
	if o.watch {
		return o.follow(ctx, at, list)
	}
	found, err := o.selection.read(ctx, at, nil)
	if err != nil {
		return err
	}
	switch {
	case o.output.machine():
		return o.output.object(o.Out, printable(found, false))
	case len(found.Items) == 0:
		fmt.Fprintln(o.ErrOut, o.selection.none(at.Namespace))
	default:
		fmt.Fprint(o.Out, list.Rows(at.Now(), found.Items))
	}
	return nil
}

func (o *listOptions) follow(ctx context.Context, at *cluster.Cluster, list *show.List) error {
	return at.Each(ctx, o.all, o.selector, func(rollouts []v1alpha1.Rollout) error {
		if !o.output.machine() {
			fmt.Fprint(o.Out, list.Rows(at.Now(), rollouts))
			return nil
		}
		for i := range rollouts {
			one := &v1alpha1.RolloutList{Items: rollouts[i : i+1]}
			if err := o.output.object(o.Out, printable(one, true)); err != nil {
				return err
			}
		}
		return nil
	})
}

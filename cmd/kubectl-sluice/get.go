package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

type getOptions struct {
	*cli
	selection
	output *output
	watch  bool
}

func (c *cli) getCommand() *cobra.Command {
	o := &getOptions{cli: c, output: newOutput(true)}
	cmd := &cobra.Command{
		Use:   "get [NAME...]",
		Short: "Show Rollouts with their revisions, pods, analysis and commands",
		Long: `Shows Rollouts as trees: where each is and why, what the current step still needs, what
happens next, and below that its revisions with ReplicaSets, pods, analysis and
evidence, and the latest commands. Without names it shows all that match.

Pods in good order are summed up where they are many; -o wide shows each, and the
queries of metrics.`,
		Example: `  kubectl sluice get checkout
  kubectl sluice get checkout -o jsonpath='{.status.canary.revision}'
  kubectl sluice get -A -l team=shop -o wide`,
		ValidArgsFunction: c.completeNames(0),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.selection.addFlags(cmd)
	o.output.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "show it again whenever it changes; \"kubectl sluice watch\" redraws in place")
	return cmd
}

func (o *getOptions) run(ctx context.Context, names []string) error {
	if err := errors.Join(o.selection.check(names), o.output.check()); err != nil {
		return err
	}
	if o.watch && len(names) != 1 {
		return errors.New("--watch takes the name of one Rollout: \"kubectl sluice list -w\" watches many")
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	if o.watch {
		return o.follow(ctx, at, names[0])
	}
	list, err := o.selection.read(ctx, at, names)
	if err != nil {
		return err
	}
	if o.output.machine() {
		return o.output.object(o.Out, printable(list, len(names) == 1))
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(o.ErrOut, o.selection.none(at.Namespace))
	}
	for i := range list.Items {
		if i > 0 {
			fmt.Fprintln(o.Out)
		}
		if err := o.tree(ctx, at, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *getOptions) tree(ctx context.Context, at *cluster.Cluster, r *v1alpha1.Rollout) error {
	s, err := at.Around(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprint(o.Out, show.Rollout(o.screen(), s, o.output.wide()))
	return nil
}

// follow shows a Rollout whenever anything about it changed.
func (o *getOptions) follow(ctx context.Context, at *cluster.Cluster, name string) error {
	last := ""
	return at.Follow(ctx, name, func(ctx context.Context) (bool, error) {
		r, err := at.Rollout(ctx, name)
		if err != nil {
			return false, err
		}
		if o.output.machine() {
			if r.ResourceVersion == last {
				return false, nil
			}
			last = r.ResourceVersion
			return false, o.output.object(o.Out, printable(&v1alpha1.RolloutList{Items: []v1alpha1.Rollout{*r}}, true))
		}
		s, err := at.Around(ctx, r)
		if err != nil {
			return false, err
		}
		key := show.Key(s)
		if key == last {
			return false, nil
		}
		if last != "" {
			fmt.Fprintf(o.Out, "\n--- %s\n\n", s.Now.UTC().Format("15:04:05Z"))
		}
		last = key
		fmt.Fprint(o.Out, show.Rollout(o.screen(), s, o.output.wide()))
		return false, nil
	})
}

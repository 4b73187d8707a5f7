package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
)

func (c *cli) abortCommand() *cobra.Command {
	o := &commandOptions{cli: c, verb: "abort", kind: v1alpha1.ActionAbort, likely: true}
	o.after = o.awaitReturn
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Return all traffic to stable",
		Long: `Ends the release in progress: all traffic returns to stable, and the spec stays as it is.
A retry or another template starts again from the first step. While a revision is watched
after its promotion, it gives the previous one its place back.

It is bound to the revision that is current when it is given, and to a step only if
--step names one. It waits until the operator has applied it and no route gives the
canary traffic any more. On a terminal it shows what would change and asks; Enter is
enough.`,
		Example: `  kubectl sluice abort checkout --reason "customers report empty carts"
  kubectl sluice abort checkout --yes`,
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.stated.Step, "step", "", "step that is meant; without it, any")
	return cmd
}

// awaitReturn waits until the revision that was aborted has no traffic.
func (o *commandOptions) awaitReturn(ctx context.Context, at *cluster.Cluster, a *v1alpha1.RolloutAction) error {
	name := a.Spec.Rollout
	var weight int32
	err := at.Follow(ctx, name, func(ctx context.Context) (bool, error) {
		r, err := at.Rollout(ctx, name)
		if err != nil {
			return false, err
		}
		weight = 0
		if r.Status.Canary != nil && r.Status.Canary.Revision == a.Spec.Revision {
			weight = r.Status.Canary.Weight
		}
		return weight == 0, nil
	})
	if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
		return &exitError{exitTimeout, fmt.Errorf("it is taken back, but after %s the revision still has %d%% of requests: stable takes back what its pods can carry; "+
			"see \"kubectl sluice explain %s -n %s\"", o.limit, weight, name, at.Namespace)}
	}
	if err != nil {
		return fmt.Errorf("it is taken back, but following its traffic failed: %w", err)
	}
	fmt.Fprintln(o.ErrOut, "All traffic is routed to stable.")
	return nil
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func (c *cli) rollbackCommand() *cobra.Command {
	o := &commandOptions{cli: c, verb: "rollback", kind: v1alpha1.ActionRollback, likely: true}
	o.after = o.awaitReturn
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Make an earlier revision stable again",
		Long: `Gives an earlier revision its place back. While the previous revision is kept ready
(spec.afterPromotion) all traffic returns to it with one change of weight and without a
new pod; any other whose ReplicaSet still exists is named with --to-revision, and its
pods are started first.

The spec stays as it is: the revision that was stable counts as aborted, until a retry or
another template. During a release, abort is what you want: stable has not changed.`,
		Example: `  kubectl sluice rollback checkout --reason "invoices are wrong"
  kubectl sluice rollback checkout --to-revision 6c4f5d8b9`,
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.stated.To, "to-revision", "", "revision to return to; without it, the one that is kept ready")
	return cmd
}

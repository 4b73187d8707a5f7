package main

import (
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func (c *cli) promoteCommand() *cobra.Command {
	o := &commandOptions{cli: c, verb: "promote", kind: v1alpha1.ActionPromote}
	full := false
	cmd := &cobra.Command{
		Use:   "promote NAME",
		Short: "Pass the current step, or with --full all that are left",
		Long: `Passes the step that the release is in, whatever it still waits for: bake, approval or
analysis. The command is bound to the revision and the step that are current when it is
given; if the release has moved on before the operator sees it, it is refused.

With --full all remaining steps are passed. It is bound to the revision, and to a step
only if --step names one. In neither case does a revision get more traffic than its pods
can carry.

On a terminal it shows what would change, and asks.`,
		Example: `  kubectl sluice promote checkout --reason "looked at it by hand"
  kubectl sluice promote checkout --full --yes --reason "an urgent fix"`,
		PreRun: func(*cobra.Command, []string) {
			if full {
				o.kind = v1alpha1.ActionPromoteFull
			}
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.stated.Step, "step", "", "step that is meant; without it, the one that the release is in now")
	cmd.Flags().BoolVar(&full, "full", false, "pass all remaining steps: nothing is measured on the way")
	return cmd
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func (c *cli) retryCommand() *cobra.Command {
	o := &commandOptions{cli: c, verb: "retry", kind: v1alpha1.ActionRetry}
	cmd := &cobra.Command{
		Use:   "retry NAME",
		Short: "Start an aborted revision again from the first step",
		Long: `Starts the revision that was aborted again, from the first step and with evidence of its
own. It makes sense where the revision was not to blame: push a fixed template otherwise.

On a terminal it shows why the revision was aborted, and asks.`,
		Example: `  kubectl sluice retry checkout --reason "the database was the cause, and is repaired"`,
	}
	o.addFlags(cmd)
	return cmd
}

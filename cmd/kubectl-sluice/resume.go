package main

import "github.com/spf13/cobra"

func (c *cli) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume NAME",
		Short: "Let a paused Rollout go on",
		Long: `Clears spec.paused. A step that asks for approval still waits for "kubectl sluice
promote".`,
		Example: `  kubectl sluice resume checkout`,
	}
	return c.pauseOrResume(cmd, &pauseOptions{paused: false, word: "resumed"})
}

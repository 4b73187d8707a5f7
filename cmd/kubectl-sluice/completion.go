package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// completer is the program that kubectl runs to complete "kubectl sluice".
const completer = `#!/bin/sh
# kubectl runs this program, found on PATH as kubectl_complete-sluice, to complete
# "kubectl sluice".
exec kubectl sluice __complete "$@"
`

func (c *cli) completionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell|kubectl",
		Short: "Print a script for completion in a shell",
		Long: `Prints a script for completion. kubectl completes its plugins itself, with the help of a
program that is called kubectl_complete-sluice; "completion kubectl" prints it. The other
scripts complete "kubectl-sluice", as it is called without kubectl.`,
		Example: `  # For "kubectl sluice", in every shell that kubectl completes in
  kubectl sluice completion kubectl > ~/.local/bin/kubectl_complete-sluice
  chmod +x ~/.local/bin/kubectl_complete-sluice

  # For "kubectl-sluice", in this bash
  source <(kubectl-sluice completion bash)`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell", "kubectl"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes one of %v", cmd.CommandPath(), cmd.ValidArgs)
			}
			return cobra.OnlyValidArgs(cmd, args)
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := c.complete(cmd.Root(), args[0]); err != nil {
			return fmt.Errorf("writing the script: %w", err)
		}
		return nil
	}
	return cmd
}

func (c *cli) complete(root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(c.Out, true)
	case "zsh":
		return root.GenZshCompletion(c.Out)
	case "fish":
		return root.GenFishCompletion(c.Out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(c.Out)
	}
	_, err := c.Out.Write([]byte(completer))
	return err
}

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

type explainOptions struct {
	*cli
	format string
}

func (c *cli) explainCommand() *cobra.Command {
	o := &explainOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Explain why a Rollout is where it is, and what to do",
		Long: `Explains why a Rollout is where it is: what the current step needs and what is still
missing, what was seen besides (pods that do not start, metrics that fail), what happens
by itself and when, and the commands that you could give.`,
		Example: `  kubectl sluice explain checkout
  kubectl sluice explain checkout -o json`,
		Args:              oneName,
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	addFormat(cmd, &o.format)
	return cmd
}

func (o *explainOptions) run(ctx context.Context, name string) error {
	if err := checkFormat(o.format); err != nil {
		return err
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	s, err := at.Snapshot(ctx, name)
	if err != nil {
		return err
	}
	if o.format != "" {
		return o.write(o.format, story.Explain(s))
	}
	fmt.Fprint(o.Out, show.Explanation(o.screen(), s))
	return nil
}

// addFormat adds -o to a verb whose output is no Kubernetes object.
func addFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "", "output format: json or yaml; text for people without it")
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
}

func checkFormat(format string) error {
	if format != "" && format != "json" && format != "yaml" {
		return fmt.Errorf("--output is %q, and must be json or yaml", format)
	}
	return nil
}

// write prints a value that is no Kubernetes object.
func (c *cli) write(format string, value any) error {
	marshal := func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "    ") }
	if format == "yaml" {
		marshal = yaml.Marshal
	}
	raw, err := marshal(value)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if format == "json" {
		raw = append(raw, '\n')
	}
	if _, err := c.Out.Write(raw); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
)

// cli is what all verbs share.
type cli struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags
	now   func() time.Time
}

// shown are the connection flags that help lists; kubectl's others work too.
var shown = map[string]bool{"namespace": true, "context": true, "kubeconfig": true, "as": true, "request-timeout": true}

func newCommand(c *cli) *cobra.Command {
	c.flags = genericclioptions.NewConfigFlags(true).WithWarningPrinter(c.IOStreams)
	root := &cobra.Command{
		Use:   "kubectl-sluice",
		Short: "Show where releases are and why, promote and abort them",
		Long: `Shows where the releases of Rollouts are and why, and commands them.

It works with your kubeconfig and your permissions alone, and keeps nothing. Commands
(promote, abort, retry) become RolloutActions, bound to the revision that you were
looking at: if the Rollout has moved on by then, they are refused and change nothing.`,
		Example: `  # What is going on, and why?
  kubectl sluice get checkout
  kubectl sluice explain checkout

  # Stop it: all traffic back to stable
  kubectl sluice abort checkout --reason "customers report empty carts"`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sluice"},
		Args:              cobra.NoArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.ErrOut)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: see \"%s --help\"", err, cmd.CommandPath())
	})
	c.addConnection(root)
	for _, group := range []struct {
		title string
		verbs []*cobra.Command
	}{
		{"See:", []*cobra.Command{c.getCommand(), c.listCommand(), c.watchCommand(), c.statusCommand(), c.explainCommand(), c.historyCommand()}},
		{"Act:", []*cobra.Command{c.promoteCommand(), c.abortCommand(), c.retryCommand(), c.rollbackCommand(), c.pauseCommand(), c.resumeCommand(), c.setCommand(), c.restartCommand()}},
		{"Besides:", []*cobra.Command{c.lintCommand(), c.replayCommand(), c.versionCommand(), c.completionCommand(), c.referenceCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, verb := range group.verbs {
			verb.GroupID = group.title
			root.AddCommand(verb)
		}
	}
	return root
}

// addConnection adds kubectl's flags for reaching a cluster.
func (c *cli) addConnection(root *cobra.Command) {
	flags := root.PersistentFlags()
	c.flags.AddFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) { f.Hidden = !shown[f.Name] })
	if err := root.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions); err != nil {
		panic(err) // the flag was added three lines above
	}
}

// connect reads the kubeconfig.
func (c *cli) connect() (*cluster.Cluster, error) {
	at, err := cluster.Connect(c.flags)
	if err != nil {
		return nil, err
	}
	at.Now = c.now
	return at, nil
}

// screen is what standard output is drawn on.
func (c *cli) screen() draw.Screen {
	width, tty := terminal(c.Out)
	return draw.Screen{Width: width, Colour: tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// terminal returns the width of a terminal, and whether a stream is one.
func terminal(stream any) (int, bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// interactive reports whether there is a person to ask.
func (c *cli) interactive() bool {
	_, in := terminal(c.In)
	_, out := terminal(c.ErrOut)
	return in && out
}

// completeNames offers the names of Rollouts.
func (c *cli) completeNames(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.names(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
}

// names lists the Rollouts of the namespace, in a time that a person waits for a
// completion. A cluster that does not answer has none.
func (c *cli) names(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	at, err := c.connect()
	if err != nil {
		return nil
	}
	list, err := at.Rollouts(ctx, false, "")
	if err != nil {
		return nil
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names
}

// oneName takes exactly the name of a Rollout.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s takes the name of one Rollout, and got %d arguments: \"kubectl sluice list\" shows what there is", cmd.CommandPath(), len(args))
}

// noArgs takes no arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no arguments, and got %q: see \"%s --help\"", cmd.CommandPath(), args, cmd.CommandPath())
}

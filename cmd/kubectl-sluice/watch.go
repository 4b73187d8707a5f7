package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/live"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

type watchOptions struct {
	*cli
	reason string
}

func (c *cli) watchCommand() *cobra.Command {
	o := &watchOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "watch NAME",
		Short: "Watch a Rollout in a view that redraws in place, with keys to command it",
		Long: `Shows what "get" shows, and keeps it current. Keys: a aborts, p promotes the current step,
f promotes fully, r retries an aborted revision, q quits, arrows scroll. Each command
shows what it would change and asks; it is bound to what was on the screen then.

It needs a terminal: "kubectl sluice get -w" and "status" do without.`,
		Example:           `  kubectl sluice watch checkout`,
		Args:              oneName,
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the commands that you give in the view")
	return cmd
}

func (o *watchOptions) run(ctx context.Context, name string) error {
	_, in := terminal(o.In)
	_, out := terminal(o.Out)
	if !in || !out {
		return fmt.Errorf("watch needs a terminal: \"kubectl sluice get %s -w\" does without", name)
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	if _, err := at.Rollout(ctx, name); err != nil {
		return err // before the screen is taken
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	model := live.New(live.Options{
		Now: o.now, Colour: o.screen().Colour, Context: ctx,
		Act: func(ctx context.Context, c live.Command) (string, error) { return o.act(ctx, at, c) },
	})
	program := tea.NewProgram(model, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler())
	failed := make(chan error, 1)
	go func() {
		failed <- o.feed(ctx, at, name, program)
		program.Quit()
	}()
	if _, err := program.Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) {
		return fmt.Errorf("drawing: %w", err)
	}
	left := ctx.Err()
	cancel()
	if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	o.leave(o.Out, model)
	return left
}

// feed shows every look to the view, the ones that fail too.
func (o *watchOptions) feed(ctx context.Context, at *cluster.Cluster, name string, program *tea.Program) error {
	return at.Follow(ctx, name, func(ctx context.Context) (bool, error) {
		s, err := at.Snapshot(ctx, name)
		if err != nil {
			program.Send(live.Unseen{Err: err})
			return false, err
		}
		program.Send(live.Seen{Snapshot: s})
		return false, nil
	})
}

// leave prints what was seen last: the view itself is gone from the terminal.
func (o *watchOptions) leave(out io.Writer, model *live.Model) {
	if s := model.Snapshot(); s != nil {
		fmt.Fprint(out, show.Rollout(o.screen(), s, false))
	}
}

// act gives a command and follows what becomes of it.
func (o *watchOptions) act(ctx context.Context, at *cluster.Cluster, c live.Command) (string, error) {
	verb := map[v1alpha1.ActionType]string{
		v1alpha1.ActionPromote: "promote", v1alpha1.ActionPromoteFull: "promote",
		v1alpha1.ActionAbort: "abort", v1alpha1.ActionRetry: "retry",
	}[c.Kind]
	command := &commandOptions{cli: o.cli, verb: verb, kind: c.Kind, reason: o.reason, limit: 30 * time.Second}
	action, err := at.Command(ctx, command.spec(ctx, at, c.Seen.Rollout.Name, c.Target), verb, false)
	if err != nil {
		return "", err
	}
	outcome, err := command.await(ctx, at, c.Seen.Rollout, action)
	if err != nil {
		return "", err
	}
	return "Applied: " + outcome, nil
}

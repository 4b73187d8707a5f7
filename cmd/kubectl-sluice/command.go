package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// commandOptions are what promote, abort, retry and rollback share: each creates a
// RolloutAction and follows what becomes of it.
type commandOptions struct {
	*cli
	verb   string
	kind   v1alpha1.ActionType
	stated story.Target
	reason string
	by     string
	yes    bool
	wait   bool
	limit  time.Duration
	dryRun string
	output *output
	// likely is the answer to the question that Enter stands for.
	likely bool
	// after, where it is set, follows the effect once the command was applied.
	after func(ctx context.Context, at *cluster.Cluster, a *v1alpha1.RolloutAction) error
}

func (o *commandOptions) addFlags(cmd *cobra.Command) {
	o.output = newOutput(false)
	o.output.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.stated.Revision, "revision", "", "revision that is meant; without it, the one that the Rollout is at now")
	f.StringVar(&o.reason, "reason", "", "why; shown wherever the effect is")
	f.StringVar(&o.by, "requested-by", "", "who asks; without it, the name under which the API server knows you")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask; where there is no terminal nothing is asked anyway")
	f.BoolVar(&o.wait, "wait", true, "wait until the operator has applied or refused it")
	f.DurationVar(&o.limit, "timeout", 30*time.Second, "how long to wait")
	addDryRun(cmd, &o.dryRun)
	cmd.Args = oneName
	cmd.ValidArgsFunction = o.completeNames(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) }
}

func addDryRun(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "dry-run", "none", "none, or server: the API server tries it and keeps nothing")
	if err := cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "server"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
}

func checkDryRun(value string) error {
	if value != "none" && value != "server" {
		return fmt.Errorf("--dry-run is %q, and must be none or server", value)
	}
	return nil
}

func (o *commandOptions) run(ctx context.Context, name string) error {
	if err := errors.Join(checkDryRun(o.dryRun), o.output.check()); err != nil {
		return err
	}
	if o.limit <= 0 {
		return fmt.Errorf("--timeout is %s, and must be more than 0; --wait=false does not wait", o.limit)
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	seen, err := at.Rollout(ctx, name)
	if err != nil {
		return err
	}
	target, err := story.Aim(seen, o.kind, o.stated)
	if err != nil {
		return err
	}
	if o.dryRun == "none" && !o.yes {
		if err := o.confirm(ctx, at, seen); err != nil {
			return err
		}
	}
	action, err := at.Command(ctx, o.spec(ctx, at, name, target), o.verb, o.dryRun == "server")
	if err != nil {
		return err
	}
	if err := o.report(action); err != nil {
		return err
	}
	if !o.wait || o.dryRun == "server" {
		return nil
	}
	return o.follow(ctx, at, seen, action)
}

func (o *commandOptions) spec(ctx context.Context, at *cluster.Cluster, name string, target story.Target) v1alpha1.RolloutActionSpec {
	by := o.by
	if by == "" {
		by = at.Whoami(ctx)
	}
	return v1alpha1.RolloutActionSpec{
		Rollout: name, Action: o.kind, Revision: target.Revision, ToRevision: target.To,
		Step: target.Step, Reason: o.reason, RequestedBy: by,
	}
}

// report prints the command that was created.
func (o *commandOptions) report(a *v1alpha1.RolloutAction) error {
	if o.output.machine() {
		return o.output.object(o.Out, a)
	}
	how := "created"
	if o.dryRun == "server" {
		how = "created (server dry run)"
	}
	fmt.Fprintf(o.Out, "rolloutaction.sluice.dev/%s %s: %s %s\n", a.Name, how, a.Spec.Action, meant(&a.Spec))
	return nil
}

// meant says what a command is bound to.
func meant(s *v1alpha1.RolloutActionSpec) string {
	text := "revision " + s.Revision
	if s.ToRevision != "" {
		text += " to " + s.ToRevision
	}
	if s.Step != "" {
		text += " in step " + s.Step
	}
	return text
}

// confirm shows what would change, and asks. Without a terminal there is nobody to
// ask, and nothing more is read.
func (o *commandOptions) confirm(ctx context.Context, at *cluster.Cluster, r *v1alpha1.Rollout) error {
	if !o.interactive() {
		return nil
	}
	s, err := at.Around(ctx, r)
	if err != nil { // no reason not to act: the Rollout itself says most of it
		s = &story.Snapshot{Rollout: r, Now: at.Now(), Unread: []string{err.Error()}}
	}
	width, _ := terminal(o.ErrOut)
	screen := draw.Screen{Width: width}
	for _, sentence := range story.Impact(s, o.kind, o.stated.To) {
		fmt.Fprint(o.ErrOut, screen.Paragraph("", draw.Text(sentence)))
	}
	return o.ask(ctx, fmt.Sprintf("%s %s/%s?", capital(o.verb), r.Namespace, r.Name), o.likely)
}

// errDeclined says that a person answered no.
var errDeclined = errors.New("nothing was done: you did not confirm")

// ask puts a question that is answered by y or n; Enter stands for the likely answer.
func (c *cli) ask(ctx context.Context, question string, likely bool) error {
	choice := "[y/N]"
	if likely {
		choice = "[Y/n]"
	}
	fmt.Fprintf(c.ErrOut, "%s %s ", question, choice)
	answered := make(chan string, 1)
	go func() { // reading cannot be interrupted; it ends with the program
		answer, err := bufio.NewReader(c.In).ReadString('\n')
		if err != nil && answer == "" {
			answer = "no"
		}
		answered <- answer
	}()
	var answer string
	select {
	case answer = <-answered:
	case <-ctx.Done():
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		if likely {
			return nil
		}
	}
	return errDeclined
}

// follow waits until the operator has said what becomes of a command, and tells it.
func (o *commandOptions) follow(ctx context.Context, at *cluster.Cluster, seen *v1alpha1.Rollout, a *v1alpha1.RolloutAction) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, errTimeout)
	defer cancel()
	message, err := o.await(ctx, at, seen, a)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.ErrOut, "Applied: %s\n", message)
	if o.after == nil {
		return nil
	}
	return o.after(ctx, at, a)
}

// await returns what the operator says of a command that it applied. A refusal is an
// error, which says what has changed since the user looked.
func (o *commandOptions) await(ctx context.Context, at *cluster.Cluster, seen *v1alpha1.Rollout, a *v1alpha1.RolloutAction) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, errTimeout)
	defer cancel()
	var outcome *metav1.Condition
	err := at.Follow(ctx, a.Spec.Rollout, func(ctx context.Context) (bool, error) {
		now, err := at.Action(ctx, a.Name)
		if err != nil {
			return false, err
		}
		outcome = story.Outcome(now)
		return outcome != nil, nil
	})
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeout):
		return "", &exitError{exitTimeout, fmt.Errorf("the operator has not looked at it within %s: does it run? It may still take effect; "+
			"\"kubectl delete rolloutaction %s -n %s\" takes it back", o.limit, a.Name, a.Namespace)}
	case err != nil:
		return "", fmt.Errorf("following %s: %w", a.Name, err)
	case outcome.Type == v1alpha1.ConditionApplied:
		return draw.Clean(outcome.Message), nil
	}
	text := fmt.Sprintf("refused (%s): %s", outcome.Reason, draw.Clean(outcome.Message))
	if now, err := at.Rollout(ctx, a.Spec.Rollout); err == nil {
		text += "; " + story.MovedOn(seen, now) + fmt.Sprintf("; see \"%s\"", story.Command(now, "explain"))
	}
	return "", errors.New(text)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// restartedAt is the annotation of a pod template that "kubectl rollout restart" sets.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

type restartOptions struct {
	*cli
	yes    bool
	dryRun string
	output *output
}

func (c *cli) restartCommand() *cobra.Command {
	o := &restartOptions{cli: c, output: newOutput(false)}
	cmd := &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace all pods by new ones of the same template, step by step",
		Long: `Releases the same pod template again, as "kubectl rollout restart" does: it sets the
annotation kubectl.kubernetes.io/restartedAt in the template, which makes a new revision.
That revision is a release like any other: it takes traffic step by step, is analysed,
and can be aborted. "kubectl sluice status" waits for it. If somebody else edits the
template at the same time, it fails and changes nothing.

It is refused while spec.paused holds the Rollout, and after an abort: the template is
the aborted one, which "kubectl sluice retry" starts again. A release in progress is
replaced, and starts at the first step; on a terminal it asks first in that case. Where a
GitOps tool owns the spec, set the annotation there: the tool may undo this.`,
		Example: `  # New pods, such as for a Secret that is read at the start
  kubectl sluice restart checkout
  kubectl sluice status checkout --timeout 1h`,
		Args:              oneName,
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.output.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask; where there is no terminal nothing is asked anyway")
	addDryRun(cmd, &o.dryRun)
	return cmd
}

func (o *restartOptions) run(ctx context.Context, name string) error {
	if err := errors.Join(checkDryRun(o.dryRun), o.output.check()); err != nil {
		return err
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	r, err := at.Rollout(ctx, name)
	if err != nil {
		return err
	}
	if err := restartable(r); err != nil {
		return err
	}
	operations, err := restartOperations(r, o.now())
	if err != nil {
		return err
	}
	if story.Releasing(r) && o.dryRun == "none" && !o.yes && o.interactive() {
		fmt.Fprintf(o.ErrOut, "The release of revision %s, at step %s, starts again at the first step.\n", r.Status.Canary.Revision, story.Position(r))
		if err := o.ask(ctx, "Restart it?", false); err != nil {
			return err
		}
	}
	if r, err = at.Patch(ctx, name, operations, o.dryRun == "server"); err != nil {
		return err
	}
	return o.output.changed(o.Out, r, "restarted", o.dryRun)
}

// restartable says why a restart would come to nothing, or to what nobody wants.
func restartable(r *v1alpha1.Rollout) error {
	switch {
	case r.Spec.Workload.Template == nil:
		return errors.New("the Rollout has no pod template of its own: restart it where the template is")
	case r.Spec.Paused:
		return fmt.Errorf("rollout %s is paused, and a release of it would take no traffic: run \"%s\" first", r.Name, story.Command(r, "resume"))
	case story.Aborted(r):
		return fmt.Errorf("rollout %s was aborted, and its template is the aborted one: \"%s\" starts it again, "+
			"and another template replaces it; \"%s\" says why it was aborted", r.Name, story.Command(r, "retry"), story.Command(r, "explain"))
	}
	return nil
}

// restartOperations makes the patch that sets the annotation in the template, as long
// as that is still the one that was read.
func restartOperations(r *v1alpha1.Rollout, now time.Time) ([]cluster.Operation, error) {
	const path = "/spec/workload/template"
	var template struct {
		Metadata *struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(r.Spec.Workload.Template.Raw, &template); err != nil {
		return nil, fmt.Errorf("reading the pod template: %w", err)
	}
	stamp := now.UTC().Format(time.RFC3339)
	set := map[string]string{restartedAt: stamp}
	operations := []cluster.Operation{{Op: "test", Path: path, Value: json.RawMessage(r.Spec.Workload.Template.Raw)}}
	switch {
	case template.Metadata == nil:
		return append(operations, cluster.Operation{Op: "add", Path: path + "/metadata", Value: map[string]any{"annotations": set}}), nil
	case template.Metadata.Annotations == nil:
		return append(operations, cluster.Operation{Op: "add", Path: path + "/metadata/annotations", Value: set}), nil
	case template.Metadata.Annotations[restartedAt] == stamp:
		return nil, errors.New("it was restarted within this second: wait for the next one to restart it again")
	}
	// A slash in a name is written ~1 in a path.
	return append(operations, cluster.Operation{Op: "add", Path: path + "/metadata/annotations/kubectl.kubernetes.io~1restartedAt", Value: stamp}), nil
}

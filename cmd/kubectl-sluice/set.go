package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

func (c *cli) setCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Change a Rollout's pod template",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.setImageCommand())
	return cmd
}

type setImageOptions struct {
	*cli
	yes    bool
	dryRun string
	output *output
}

func (c *cli) setImageCommand() *cobra.Command {
	o := &setImageOptions{cli: c, output: newOutput(false)}
	cmd := &cobra.Command{
		Use:   "image NAME CONTAINER=IMAGE...",
		Short: "Release another image",
		Long: `Sets images in the pod template, which starts a release. CONTAINER names a container or an
init container; * stands for all containers, without init containers. It changes only
the images: if somebody else edits the template at the same time, it fails and changes
nothing.

A release in progress is replaced: the new revision starts at the first step. On a
terminal it asks first in that case.`,
		Example: `  kubectl sluice set image checkout app=checkout:1.4.3
  kubectl sluice set image checkout '*=checkout:1.4.3' --dry-run=server`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("%s takes the name of a Rollout and at least one CONTAINER=IMAGE", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: c.completeNames(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], args[1:]) },
	}
	o.output.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask; where there is no terminal nothing is asked anyway")
	addDryRun(cmd, &o.dryRun)
	return cmd
}

func (o *setImageOptions) run(ctx context.Context, name string, args []string) error {
	if err := errors.Join(checkDryRun(o.dryRun), o.output.check()); err != nil {
		return err
	}
	wanted, err := parseImages(args)
	if err != nil {
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
	operations, err := imageOperations(r, wanted)
	if err != nil {
		return err
	}
	if len(operations) == 0 {
		return o.output.changed(o.Out, r, "unchanged: it has these images already", o.dryRun)
	}
	if story.Releasing(r) && o.dryRun == "none" && !o.yes && o.interactive() {
		fmt.Fprintf(o.ErrOut, "The release of revision %s, at step %s, is replaced.\n", r.Status.Canary.Revision, story.Position(r))
		if err := o.ask(ctx, "Set the image?", false); err != nil {
			return err
		}
	}
	if r, err = at.Patch(ctx, name, operations, o.dryRun == "server"); err != nil {
		return err
	}
	return o.output.changed(o.Out, r, "image updated", o.dryRun)
}

// image is what a container is to run.
type image struct{ container, image string }

func parseImages(args []string) ([]image, error) {
	out := make([]image, len(args))
	for i, arg := range args {
		container, ref, found := strings.Cut(arg, "=")
		if !found || container == "" || ref == "" || strings.ContainsAny(ref, " \t\n") {
			return nil, fmt.Errorf("%q is not CONTAINER=IMAGE", arg)
		}
		if slices.ContainsFunc(out[:i], func(other image) bool { return other.container == container }) {
			return nil, fmt.Errorf("container %s is named twice", container)
		}
		out[i] = image{container, ref}
	}
	if len(out) > 1 && slices.ContainsFunc(out, func(i image) bool { return i.container == "*" }) {
		return nil, errors.New("* stands for all containers: name no others beside it")
	}
	return out, nil
}

// containers is the part of a pod template that is read. What else is in it stays as
// it is.
type containers struct {
	Spec struct {
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

// imageOperations makes the patch that sets images; empty when nothing would change.
func imageOperations(r *v1alpha1.Rollout, wanted []image) ([]cluster.Operation, error) {
	if r.Spec.Workload.Template == nil {
		return nil, errors.New("the Rollout has no pod template of its own: set the image where the template is")
	}
	var template containers
	if err := json.Unmarshal(r.Spec.Workload.Template.Raw, &template); err != nil {
		return nil, fmt.Errorf("reading the pod template: %w", err)
	}
	var operations []cluster.Operation
	for _, w := range wanted {
		found := false
		for _, list := range []struct {
			path string
			of   []container
			star bool
		}{{"containers", template.Spec.Containers, true}, {"initContainers", template.Spec.InitContainers, false}} {
			for i, c := range list.of {
				if c.Name != w.container && (w.container != "*" || !list.star) {
					continue
				}
				found = true
				operations = append(operations, setImage(fmt.Sprintf("/spec/workload/template/spec/%s/%d", list.path, i), c, w.image)...)
			}
		}
		if !found {
			return nil, fmt.Errorf("rollout %s has no container %s; it has %s", r.Name, w.container, strings.Join(template.names(), ", "))
		}
	}
	return operations, nil
}

// setImage makes sure that the container is still the one that was read.
func setImage(path string, c container, to string) []cluster.Operation {
	if c.Image == to {
		return nil
	}
	same := cluster.Operation{Op: "test", Path: path + "/name", Value: c.Name}
	if c.Image == "" {
		return []cluster.Operation{same, {Op: "add", Path: path + "/image", Value: to}}
	}
	return []cluster.Operation{
		same,
		{Op: "test", Path: path + "/image", Value: c.Image},
		{Op: "replace", Path: path + "/image", Value: to},
	}
}

func (t *containers) names() []string {
	var names []string
	for _, c := range slices.Concat(t.Spec.Containers, t.Spec.InitContainers) {
		names = append(names, c.Name)
	}
	return names
}

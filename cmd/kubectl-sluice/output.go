package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
)

// output is -o and what belongs to it.
type output struct {
	flags *genericclioptions.PrintFlags
	// hasWide is whether there is more to show to people with -o wide.
	hasWide bool
}

func newOutput(hasWide bool) *output {
	return &output{genericclioptions.NewPrintFlags(""), hasWide}
}

func (o *output) addFlags(cmd *cobra.Command) {
	o.flags.AddFlags(cmd)
	for _, rare := range []string{"allow-missing-template-keys", "show-managed-fields", "template"} {
		cmd.Flags().Lookup(rare).Hidden = true // kubectl's users know them
	}
	f := cmd.Flags().Lookup("output")
	f.Usage = "Output format. One of: (" + strings.Join(o.formats(), ", ") + ")."
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.formats(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
}

func (o *output) formats() []string {
	if !o.hasWide {
		return o.flags.AllowedFormats()
	}
	return append([]string{"wide"}, o.flags.AllowedFormats()...)
}

// machine reports whether objects are asked for instead of text for people.
func (o *output) machine() bool {
	return *o.flags.OutputFormat != "" && !o.wide()
}

func (o *output) wide() bool { return o.hasWide && *o.flags.OutputFormat == "wide" }

// check fails on a format that is none, before anything is done.
func (o *output) check() error {
	if !o.machine() {
		return nil
	}
	if _, err := o.flags.ToPrinter(); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return nil
}

// object writes an object as it was asked for.
func (o *output) object(out io.Writer, obj runtime.Object) error {
	printer, err := o.flags.ToPrinter()
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	objects := []runtime.Object{obj}
	if list, ok := obj.(*v1alpha1.RolloutList); ok && *o.flags.OutputFormat == "name" {
		objects = nil // a list has no name
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	for _, obj := range objects {
		if err := printer.PrintObj(obj, out); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

// changed reports a change of a Rollout's spec.
func (o *output) changed(out io.Writer, r *v1alpha1.Rollout, word, dryRun string) error {
	if o.machine() {
		r.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollout"))
		return o.object(out, r)
	}
	if dryRun == "server" {
		word += " (server dry run)"
	}
	fmt.Fprintf(out, "rollout.sluice.dev/%s %s\n", r.Name, word)
	return nil
}

// printable turns Rollouts into one object: one into itself, several into a list.
func printable(list *v1alpha1.RolloutList, single bool) runtime.Object {
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollout"))
	}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RolloutList"))
	if single && len(list.Items) == 1 {
		return &list.Items[0]
	}
	return list
}

// selection is which Rollouts are meant.
type selection struct {
	all      bool
	selector string
}

func (s *selection) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&s.all, "all-namespaces", "A", false, "look in all namespaces")
	cmd.Flags().StringVarP(&s.selector, "selector", "l", "", "labels that Rollouts must have, such as team=shop,tier!=db")
}

func (s *selection) check(names []string) error {
	switch {
	case len(names) > 0 && s.all:
		return errors.New("a name and --all-namespaces exclude each other: name the namespace with -n")
	case len(names) > 0 && s.selector != "":
		return errors.New("a name and --selector exclude each other")
	}
	return nil
}

// read reads the Rollouts with some names, or all that match.
func (s *selection) read(ctx context.Context, at *cluster.Cluster, names []string) (*v1alpha1.RolloutList, error) {
	if len(names) == 0 {
		return at.Rollouts(ctx, s.all, s.selector)
	}
	list := &v1alpha1.RolloutList{}
	for _, name := range names {
		r, err := at.Rollout(ctx, name)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, *r)
	}
	return list, nil
}

// none says that nothing was found, and where else to look.
func (s *selection) none(namespace string) string {
	switch {
	case s.all:
		return "No Rollouts found."
	case s.selector != "":
		return fmt.Sprintf("No Rollouts with labels %s found in namespace %s.", s.selector, namespace)
	}
	return fmt.Sprintf("No Rollouts found in namespace %s; -A looks in all.", namespace)
}

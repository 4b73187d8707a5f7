package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/lint"
)

type lintOptions struct {
	*cli
	files  resource.FilenameOptions
	server bool
	format string
}

// linted is what was found in one object of a file.
type linted struct {
	Source    string   `json:"source"`
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	Skipped   bool     `json:"skipped,omitempty"`
	Errors    []string `json:"errors,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

func (c *cli) lintCommand() *cobra.Command {
	o := &lintOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "lint -f FILE...",
		Short: "Check manifests of Sluice's kinds, without a cluster",
		Long: `Checks manifests as the API server and the operator would, without either: unknown fields,
types, bounds and rules of the CustomResourceDefinitions that this program was built
with, names of steps, selector, pod template, queries and conditions of metrics. Objects
of other kinds are skipped.

With --server the cluster is asked too, and keeps nothing: it tries each object, and for
a Rollout the pod template, with its own admission.

The exit code is 1 if there is an error.`,
		Example: `  kubectl sluice lint -f rollout.yaml
  kubectl sluice lint -R -f deploy/ --server
  kustomize build . | kubectl sluice lint -f -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files.Filenames, "filename", "f", nil, "files, folders or URLs to check; - for standard input")
	f.StringVarP(&o.files.Kustomize, "kustomize", "k", "", "folder of a kustomization to check")
	f.BoolVarP(&o.files.Recursive, "recursive", "R", false, "look into folders of folders")
	f.BoolVar(&o.server, "server", false, "ask the cluster too, with server-side dry runs")
	addFormat(cmd, &o.format)
	return cmd
}

func (o *lintOptions) run(ctx context.Context) error {
	if err := checkFormat(o.format); err != nil {
		return err
	}
	if len(o.files.Filenames) == 0 && o.files.Kustomize == "" {
		return errors.New("name what to check with -f or -k; -f - reads standard input")
	}
	infos, err := resource.NewLocalBuilder().Unstructured().FilenameParam(false, &o.files).Flatten().Do().Infos()
	if err != nil {
		return fmt.Errorf("reading the manifests: %w", err)
	}
	schemas, err := lint.Load()
	if err != nil {
		return err
	}
	results := make([]linted, 0, len(infos))
	for _, info := range infos {
		u, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("reading %s: it is no Kubernetes object", info.Source)
		}
		result := linted{Source: info.Source, Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
		if err := o.check(ctx, schemas, u, &result); err != nil {
			return err
		}
		results = append(results, result)
	}
	return o.report(results)
}

func (o *lintOptions) check(ctx context.Context, schemas *lint.Schemas, u *unstructured.Unstructured, result *linted) error {
	known, problem := schemas.Knows(u)
	switch {
	case problem != "":
		result.Errors = []string{problem}
		return nil
	case !known:
		result.Skipped = true
		return nil
	}
	found := schemas.Object(ctx, u)
	result.Errors, result.Warnings = found.Errors, found.Warnings
	if !o.server || len(found.Errors) > 0 {
		return nil
	}
	at, err := o.connect()
	if err != nil {
		return err
	}
	found, err = at.Try(ctx, u)
	if err != nil {
		return err
	}
	result.Errors = append(result.Errors, found.Errors...)
	result.Warnings = append(result.Warnings, found.Warnings...)
	return nil
}

func (o *lintOptions) report(results []linted) error {
	bad := 0
	for i := range results {
		if len(results[i].Errors) > 0 {
			bad++
		}
	}
	if o.format != "" {
		if err := o.write(o.format, results); err != nil {
			return err
		}
	} else {
		o.printText(results)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d objects have errors", bad, len(results))
	}
	return nil
}

func (o *lintOptions) printText(results []linted) {
	screen := draw.Screen{Colour: o.screen().Colour} // findings are never cut
	for i := range results {
		r := &results[i]
		what := fmt.Sprintf("%s: %s %s: ", r.Source, r.Kind, strings.TrimPrefix(r.Namespace+"/"+r.Name, "/"))
		switch {
		case r.Skipped:
			fmt.Fprint(o.Out, screen.Line(draw.Text(what), draw.Span{Text: "skipped: not a kind of Sluice", Style: draw.Faint}))
		case len(r.Errors)+len(r.Warnings) == 0:
			fmt.Fprint(o.Out, screen.Line(draw.Text(what), draw.Span{Text: "ok", Style: draw.Good}))
		}
		for _, e := range r.Errors {
			fmt.Fprint(o.Out, screen.Line(draw.Text(what), draw.Span{Text: "error: ", Style: draw.Bad}, draw.Text(e)))
		}
		for _, w := range r.Warnings {
			fmt.Fprint(o.Out, screen.Line(draw.Text(what), draw.Span{Text: "warning: ", Style: draw.Warning}, draw.Text(w)))
		}
	}
}

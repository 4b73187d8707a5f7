package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

type versionOptions struct {
	*cli
	client bool
	format string
}

// versions are what "version" shows.
type versions struct {
	Client     string `json:"client"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Kubernetes string `json:"kubernetes,omitempty"`
	// API lists the versions of Sluice's API that the cluster serves; nil where it
	// was not asked, empty where Sluice is not installed.
	API []string `json:"api,omitempty"`
}

func (c *cli) versionCommand() *cobra.Command {
	o := &versionOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program, and what the cluster serves",
		Long: `Shows the version of this program and of the cluster's Kubernetes, and the versions of
Sluice's API that the cluster serves.`,
		Example: `  kubectl sluice version --client`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&o.client, "client", false, "do not ask the cluster")
	addFormat(cmd, &o.format)
	return cmd
}

func (o *versionOptions) run(ctx context.Context) error {
	if err := checkFormat(o.format); err != nil {
		return err
	}
	v := versions{Client: buildVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	var asked error
	if !o.client {
		asked = o.ask(ctx, &v)
	}
	if o.format != "" {
		if err := o.write(o.format, v); err != nil {
			return err
		}
		return asked
	}
	fmt.Fprintf(o.Out, "kubectl-sluice %s (%s, %s)\n", v.Client, v.Go, v.Platform)
	if v.Kubernetes != "" {
		fmt.Fprintf(o.Out, "Kubernetes %s\n", v.Kubernetes)
		o.printAPI(v.API)
	}
	return asked
}

func (o *versionOptions) printAPI(served []string) {
	switch {
	case len(served) == 0:
		fmt.Fprintln(o.Out, "Sluice is not installed in this cluster.")
	case slices.Contains(served, v1alpha1.GroupVersion.Version):
		fmt.Fprintf(o.Out, "%s: %v\n", v1alpha1.GroupVersion.Group, served)
	default:
		fmt.Fprintf(o.Out, "%s: %v, but this program speaks %s: use the one that belongs to the installation\n",
			v1alpha1.GroupVersion.Group, served, v1alpha1.GroupVersion.Version)
	}
}

// ask asks the cluster.
func (o *versionOptions) ask(ctx context.Context, v *versions) error {
	at, err := o.connect()
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(at.Config)
	if err != nil {
		return fmt.Errorf("setting up the client: %w", err)
	}
	server, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return fmt.Errorf("asking the cluster for its version (--client does not): %w", err)
	}
	groups, err := client.ServerGroupsWithContext(ctx)
	if err != nil {
		return fmt.Errorf("asking the cluster for its APIs: %w", err)
	}
	v.Kubernetes = server.GitVersion
	for i := range groups.Groups {
		if groups.Groups[i].Name != v1alpha1.GroupVersion.Group {
			continue
		}
		for _, version := range groups.Groups[i].Versions {
			v.API = append(v.API, version.Version)
		}
	}
	return nil
}

// buildVersion is what the Go toolchain recorded of this build.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

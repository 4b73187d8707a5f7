// Command playground boots a whole cluster on this machine, with Sluice, a demo
// service and live traffic in it. "demo" releases a good version and two bad ones and ends;
// "up" stays for people to try things.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

// options are the flags of both commands.
type options struct {
	root, buildDir, operator string
	rps                      float64

	// Of "up" alone.
	apiAddress, prometheusAddress string
	skipDemo                      bool
}

func main() {
	err := newCommand().Execute()
	if err == nil {
		return
	}
	if errors.Is(err, errInterrupted) {
		fmt.Fprintln(os.Stderr, "playground: interrupted; everything was stopped")
		os.Exit(130)
	}
	fmt.Fprintln(os.Stderr, "playground:", err)
	os.Exit(1)
}

func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use: "playground", Short: "A whole cluster on this machine, with Sluice and a demo service in it",
		SilenceUsage: true, SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.root, "root", "", "Sluice's source folder, for config/; the one that this program is in when empty")
	flags.StringVar(&o.buildDir, "build-dir", "", "folder for reports, kubeconfigs and logs; build/ below the source folder when empty")
	flags.StringVar(&o.operator, "operator", "", "the operator's program; sluice beside this program when empty")
	flags.Float64Var(&o.rps, "rps", 150, "requests per second")
	up := &cobra.Command{
		Use: "up", Short: "Keep the cluster and try things, until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return enter(o, []string{o.apiAddress, o.prometheusAddress}, runUp)
		},
	}
	up.Flags().StringVar(&o.apiAddress, "api-address", "127.0.0.1:0", "where this machine reaches the API server; port 0 is any")
	up.Flags().StringVar(&o.prometheusAddress, "prometheus-address", "127.0.0.1:0", "where this machine reaches Prometheus; port 0 is any")
	up.Flags().BoolVar(&o.skipDemo, "skip-demo", false, "go to the prompt at once, without the releases of the demo")
	root.AddCommand(up, &cobra.Command{
		Use: "demo", Short: "Release a good version and two bad ones, and tell how it went", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return enter(o, nil, runDemo) },
	})
	return root
}

// errInterrupted is why a run ends on Ctrl-C.
var errInterrupted = errors.New("interrupted")

// enter moves the program into the local cluster's namespaces and runs a command
// there; it ends when the command does, or on a signal.
func enter(o *options, listen []string, command func(context.Context, options) error) error {
	if err := o.complete(); err != nil {
		return err
	}
	if err := localcluster.Enter(localcluster.EnterOptions{Listen: listen, Log: indented{os.Stderr}}); err != nil {
		return err
	}
	ctrl.SetLogger(logr.Discard()) // what matters of the cluster's clients is in the timeline
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		signal.Stop(signals) // a second one ends the program at once
		cancel(errInterrupted)
	}()
	err := command(ctx, *o)
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted // whatever else went wrong is its doing
	}
	return err
}

// complete finds what no flag says.
func (o *options) complete() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	beside := filepath.Dir(self)
	if o.operator == "" {
		o.operator = filepath.Join(beside, "sluice")
	}
	if _, err := os.Stat(o.operator); err != nil {
		return fmt.Errorf("finding the operator (run \"make build\", or pass --operator): %w", err)
	}
	if o.root == "" {
		o.root = filepath.Dir(beside)
		if _, err := os.Stat(filepath.Join(o.root, "config", "crd")); err != nil {
			o.root = "."
		}
	}
	if _, err := os.Stat(filepath.Join(o.root, "config", "crd")); err != nil {
		return fmt.Errorf("finding config/ (run this in Sluice's source folder, or pass --root): %w", err)
	}
	if o.buildDir == "" {
		o.buildDir = filepath.Join(o.root, "build")
	}
	if err := os.MkdirAll(o.buildDir, 0o755); err != nil {
		return fmt.Errorf("making the build folder: %w", err)
	}
	for _, path := range []*string{&o.operator, &o.root, &o.buildDir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("resolving %s: %w", *path, err)
		}
	}
	return nil
}

// colourful tells whether a file is a terminal whose user does not mind colours.
func colourful(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// indented puts lines below a title.
type indented struct{ out *os.File }

// Write implements io.Writer for whole lines.
func (w indented) Write(b []byte) (int, error) {
	text := "    " + strings.ReplaceAll(strings.TrimRight(string(b), "\n"), "\n", "\n    ") + "\n"
	if _, err := w.out.WriteString(text); err != nil {
		return 0, fmt.Errorf("writing progress: %w", err)
	}
	return len(b), nil
}

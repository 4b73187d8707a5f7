package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options are the operator's flags.
type options struct {
	kubeconfig              string
	namespaces              []string
	leaderElect             bool
	leaderElectionNamespace string
	leaseDuration           time.Duration
	recoveryTime            time.Duration
	metricsAddress          string
	probeAddress            string
	profileAddress          string
	prometheusAddress       string
	defaultAnalysis         bool
	allowLoopbackMetrics    bool
	allowLoopbackNotify     bool
	concurrency             int
	logLevel                string
	clusterDomain           string
	discoveryInterval       time.Duration
	alerts                  alertOptions
}

func newCommand() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{
		Use:           "sluice",
		Short:         "Releases new revisions of services step by step, and takes back what is bad",
		Args:          cobra.NoArgs,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.setUpLogs(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; without it the pod's own, or the usual places")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces to work in, separated by commas; all without it")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "let one of several replicas act, the others stand by with warm caches")
	f.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease; the pod's own without it")
	f.DurationVar(&o.leaseDuration, "lease-duration", 15*time.Second, "how long a leader that does not answer keeps the lease; at least 3s")
	f.DurationVar(&o.recoveryTime, "recovery-time", 2*time.Minute,
		"how long after an outage of the API server proxies may be behind: aborts go on, nothing else is built on what they do")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where to serve /metrics; 0 to serve none")
	f.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "where to serve /healthz and /readyz; 0 to serve none")
	f.StringVar(&o.profileAddress, "pprof-bind-address", "0", "where to serve profiles; 0 to serve none")
	f.StringVar(&o.prometheusAddress, "prometheus-address", "", "Prometheus for metrics that name no provider")
	f.BoolVar(&o.defaultAnalysis, "default-analysis", false,
		"compare error ratio and latency of canaries with stable's, by --prometheus-address, for Rollouts with Istio's routing and without analysis: it aborts what is bad, and holds no step")
	f.BoolVar(&o.allowLoopbackMetrics, "allow-loopback-metrics", false, "let providers be on loopback addresses; only for clusters on one machine")
	f.BoolVar(&o.allowLoopbackNotify, "allow-loopback-notifications", false, "let notifiers be on loopback addresses; only for clusters on one machine")
	f.IntVar(&o.concurrency, "concurrency", 32, "how many Rollouts are reconciled at a time")
	f.StringVar(&o.logLevel, "log-level", "info", "least level to log: debug, info, warn or error")
	f.DurationVar(&o.discoveryInterval, "discovery-interval", 30*time.Second,
		"how often kinds of routing objects are looked for that a Rollout wants and the cluster does not have; at least 1s")
	f.StringVar(&o.clusterDomain, "cluster-domain", "cluster.local", "DNS domain of the cluster's Services")
	o.alerts.addFlags(f)
	return cmd
}

func (o *options) setUpLogs() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return nil
}

// version is what the Go toolchain recorded of this build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/internal/alerts"
)

// maxAlertBody is the most that a list of alerts may have, in bytes.
const maxAlertBody = 8 << 20

// leastPoll is the shortest time between two polls for alerts.
const leastPoll = 500 * time.Millisecond

// alertOptions are the flags about alerts.
type alertOptions struct {
	bindAddress         string
	certFile, keyFile   string
	clientCAFile        string
	audiences           []string
	alertmanagerAddress string
	prometheusAddress   string
	pollInterval        time.Duration
	maxAge              time.Duration
	pollAs              string
	resolveAfter        time.Duration
	limits              alerts.Limits
}

func (o *alertOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.bindAddress, "alerts-bind-address", "", "where to take Alertmanager's webhook in, over TLS; nowhere without it")
	f.StringVar(&o.certFile, "alerts-tls-cert-file", "", "certificate of the alert receiver, read again when it changes")
	f.StringVar(&o.keyFile, "alerts-tls-key-file", "", "private key of the alert receiver")
	f.StringVar(&o.clientCAFile, "alerts-client-ca-file", "", "authorities of client certificates of alert senders; without it senders need bearer tokens")
	f.StringSliceVar(&o.audiences, "alerts-audiences", nil, "audiences that bearer tokens of alert senders must be for; the API server's own without it")
	f.StringVar(&o.alertmanagerAddress, "alerts-alertmanager-address", "", "Alertmanager to ask which alerts fire and are not silenced")
	f.StringVar(&o.prometheusAddress, "alerts-prometheus-address", "",
		"Prometheus to ask which alerts fire; with an Alertmanager only while that does not answer, and only to hold releases")
	f.DurationVar(&o.pollInterval, "alerts-poll-interval", 5*time.Second, "how often to ask which alerts fire; at least 500ms")
	f.DurationVar(&o.maxAge, "alerts-max-age", 30*time.Second, "how old the latest answer may be before alerts count as unknown, which holds releases with alert rules")
	f.StringVar(&o.pollAs, "alerts-poll-as", "",
		"user whose permissions alerts have that are found by asking, as system:serviceaccount:NAMESPACE:NAME; without it whoever is asked is trusted with every Rollout that has a rule")
	f.DurationVar(&o.resolveAfter, "alerts-resolve-after", 90*time.Second,
		"how long an alert must be missing from answers to be over: longer than Prometheus takes to tell an Alertmanager that was started again")
	f.Int32Var(&o.limits.Fleet, "alerts-abort-limit", 5, "how many releases alerts may end within --alerts-abort-window; more are paused for a person; 0 for no limit")
	f.Int32Var(&o.limits.Namespace, "alerts-namespace-abort-limit", 3, "the same for those of one namespace")
	f.DurationVar(&o.limits.Window, "alerts-abort-window", 10*time.Minute, "see --alerts-abort-limit")
}

func (o *alertOptions) validate() error {
	switch {
	case o.bindAddress != "" && (o.certFile == "" || o.keyFile == ""):
		return errors.New("--alerts-bind-address needs --alerts-tls-cert-file and --alerts-tls-key-file")
	case o.pollInterval < leastPoll:
		return fmt.Errorf("--alerts-poll-interval is %s, but must be at least %s", o.pollInterval, leastPoll)
	case o.maxAge < 2*o.pollInterval:
		return fmt.Errorf("--alerts-max-age is %s, but must be at least twice --alerts-poll-interval, %s", o.maxAge, o.pollInterval)
	case o.resolveAfter < 0:
		return errors.New("--alerts-resolve-after must not be negative")
	case o.limits.Fleet < 0 || o.limits.Namespace < 0:
		return errors.New("--alerts-abort-limit and --alerts-namespace-abort-limit must not be negative")
	case o.limits.Window <= 0:
		return errors.New("--alerts-abort-window must be more than 0s")
	}
	return nil
}

// add registers what takes alerts in: the receiver on every replica, the poll on the
// one that leads.
func (o *alertOptions) add(mgr ctrl.Manager, m prometheus.Options, namespace string) (*alerts.Watch, *alerts.Breaker, error) {
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	if err := alerts.RegisterMetrics(metrics.Registry); err != nil {
		return nil, nil, err
	}
	sources, err := o.sources(m)
	if err != nil {
		return nil, nil, err
	}
	log := ctrl.Log.WithName("alerts")
	watch := alerts.NewWatch(alerts.WatchOptions{
		Client: mgr.GetClient(), Sources: sources, Pushed: o.bindAddress != "",
		Every: o.pollInterval, MaxAge: o.maxAge, Linger: o.resolveAfter, As: o.pollAs, Clock: clock.RealClock{}, Log: log,
	})
	if err := mgr.Add(watch); err != nil {
		return nil, nil, fmt.Errorf("adding the poll for alerts: %w", err)
	}
	breaker := alerts.NewBreaker(o.limits, clock.RealClock{}, mgr.GetClient())
	if o.bindAddress == "" {
		return watch, breaker, nil
	}
	namespace, err = ownNamespace(namespace)
	if err != nil {
		return nil, nil, err
	}
	receiver := alerts.NewReceiver(alerts.ReceiverOptions{
		Client: mgr.GetClient(), Clock: clock.RealClock{}, Audiences: o.audiences, Namespace: namespace, Look: watch.Look, Log: log,
	})
	if err := mgr.Add(&alerts.Server{
		Address: o.bindAddress, CertFile: o.certFile, KeyFile: o.keyFile, ClientCAFile: o.clientCAFile, Handler: receiver,
	}); err != nil {
		return nil, nil, fmt.Errorf("adding the alert receiver: %w", err)
	}
	return watch, breaker, nil
}

// namespaceFile is where a pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is the one that was named, or else the pod's own.
func ownNamespace(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	content, err := os.ReadFile(namespaceFile)
	if err != nil {
		return "", fmt.Errorf("finding the operator's namespace, in which senders of alerts have their role (or pass --leader-election-namespace): %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// sources are asked in this order. Addresses are checked as those of metric
// providers are.
func (o *alertOptions) sources(m prometheus.Options) ([]alerts.Source, error) {
	m.MaxBody = maxAlertBody
	var sources []alerts.Source
	if o.alertmanagerAddress != "" {
		server, err := prometheus.NewGetter(analysis.Endpoint{Address: o.alertmanagerAddress}, m)
		if err != nil {
			return nil, fmt.Errorf("--alerts-alertmanager-address: %w", err)
		}
		sources = append(sources, alerts.Alertmanager(server))
	}
	if o.prometheusAddress != "" {
		server, err := prometheus.New(analysis.Endpoint{Address: o.prometheusAddress}, m)
		if err != nil {
			return nil, fmt.Errorf("--alerts-prometheus-address: %w", err)
		}
		sources = append(sources, alerts.Prometheus(server))
	}
	return sources, nil
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-dev/sluice/analysis/prometheus"
)

// TestAlertFlags holds that flags that make no sense are refused at the start, with
// what to write.
func TestAlertFlags(t *testing.T) {
	for _, tc := range []struct {
		args    string
		want    string // in the error; empty for none
		sources string
	}{
		{args: ""},
		{args: "--alerts-bind-address=:9443 --alerts-tls-cert-file=a --alerts-tls-key-file=b"},
		{args: "--alerts-alertmanager-address=http://am:9093 --alerts-prometheus-address=http://prom:9090", sources: "alertmanager prometheus"},
		{args: "--alerts-prometheus-address=http://prom:9090", sources: "prometheus"},
		{args: "--alerts-bind-address=:9443", want: "needs --alerts-tls-cert-file and --alerts-tls-key-file"},
		{args: "--alerts-bind-address=:9443 --alerts-tls-cert-file=a", want: "needs --alerts-tls-cert-file"},
		{args: "--alerts-poll-interval=499ms", want: "at least 500ms"},
		{args: "--alerts-poll-interval=10s --alerts-max-age=19s", want: "at least twice --alerts-poll-interval"},
		{args: "--alerts-abort-limit=-1", want: "must not be negative"},
		{args: "--alerts-namespace-abort-limit=-1", want: "must not be negative"},
		{args: "--alerts-resolve-after=-1s", want: "must not be negative"},
		{args: "--alerts-abort-window=0s", want: "must be more than 0s"},
		{args: "--alerts-alertmanager-address=am:9093", want: "--alerts-alertmanager-address"},
		{args: "--alerts-prometheus-address=ftp://prom", want: "--alerts-prometheus-address"},
	} {
		o, flags := alertOptions{}, pflag.NewFlagSet("sluice", pflag.ContinueOnError)
		o.addFlags(flags)
		if err := flags.Parse(strings.Fields(tc.args)); err != nil {
			t.Fatal(err)
		}
		err := o.validate()
		var names []string
		if err == nil {
			sources, sourcesErr := o.sources(prometheus.Options{})
			for _, s := range sources {
				names = append(names, s.Name())
			}
			err = sourcesErr
		}
		switch {
		case tc.want == "" && (err != nil || strings.Join(names, " ") != tc.sources):
			t.Errorf("%s: asks %v, %v", tc.args, names, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q", tc.args, err, tc.want)
		}
	}
	o := alertOptions{}
	o.addFlags(pflag.NewFlagSet("sluice", pflag.ContinueOnError))
	if o.pollInterval != 5*time.Second || o.limits.Fleet != 5 || o.bindAddress != "" {
		t.Errorf("without flags: %+v", o)
	}
}

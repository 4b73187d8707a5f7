package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

type replayOptions struct {
	*cli
	file      string
	canary    string
	stable    string
	from, to  string
	since     time.Duration
	server    prometheusFlags
	data      string
	record    string
	threshold string
	window    time.Duration
	all       bool
	format    string
}

func (c *cli) replayCommand() *cobra.Command {
	o := &replayOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "replay [NAME]",
		Short: "Tell what the analysis would have decided on recorded data, and when",
		Long: `Judges the past: it steps through time as the operator does, asks Prometheus what the
operator would have asked at each moment, and judges the answers with the same code. It
shows what the judge saw when something changed, what it would have decided and when, and
beside it what the rule that people write without one would have done: abort when more
than --threshold of the canary's requests failed in --threshold-window.

What is judged are the metrics of a Rollout: of the one with NAME in the cluster, or of
the one in the file that -f names, which may be an AnalysisRun too. The revisions and the
times of the steps are those of the latest release that the Rollout remembers, or of the
one of --canary. With --from or --since there is one step, whose weight is in force from
that moment on; without a cluster, --canary and --stable name the revisions, as the
metrics' labels have them.

--record writes what was asked and answered to a file, without address or credentials;
--data replays that file, with neither a cluster nor Prometheus. With -f, --data judges it
by other metrics or another policy, as far as they ask the same.

Nothing is changed, neither in the cluster nor in Prometheus. The exit code is 0 whatever
the verdict is.`,
		Example: `  # Would the latest release have been stopped?
  kubectl sluice replay checkout --prometheus http://localhost:9090

  # Last week's outage, with metrics that are only a file yet
  kubectl sluice replay -f rollout.yaml -n shop --canary 6d6cb5488c --stable 5b8f7c6d4 \
    --from 2026-03-01T12:00:00Z --to 2026-03-01T12:40:00Z --prometheus https://prometheus.example \
    --bearer-token-file token --record outage.jsonl

  # The same again, offline
  kubectl sluice replay --data outage.jsonl --threshold 2%`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s takes the name of at most one Rollout, and got %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		ValidArgsFunction: c.completeNames(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return o.run(cmd.Context(), name)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *replayOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "file with the Rollout or the AnalysisRun whose metrics are judged; - for standard input")
	f.StringVar(&o.canary, "canary", "", "revision to judge; without it, the one that was released last")
	f.StringVar(&o.stable, "stable", "", "revision to compare it with; without it, the one that it was to replace")
	f.StringVar(&o.from, "from", "", "when the weight was in force, such as 2026-03-01T12:00:00Z; without it, when steps were entered")
	f.StringVar(&o.to, "to", "", "when to stop; without it, when the release ended, or now")
	f.DurationVar(&o.since, "since", 0, "how long ago the weight was in force, such as 6h, instead of --from")
	f.StringVar(&o.data, "data", "", "recording to replay, instead of --prometheus")
	f.StringVar(&o.record, "record", "", "file to write what was asked and answered to; it must not exist")
	f.StringVar(&o.threshold, "threshold", "1%", "share of failed requests above which the plain rule aborts")
	f.DurationVar(&o.window, "threshold-window", replay.DefaultWindow, "in how much time, no further back than the step")
	f.BoolVar(&o.all, "all", false, "print every measurement, not only those that count for a decision")
	o.server.addFlags(f)
	addFormat(cmd, &o.format)
}

// check finds flags that exclude each other.
func (o *replayOptions) check(name string) error {
	if err := checkFormat(o.format); err != nil {
		return err
	}
	switch {
	case o.data == "" && o.server.address == "":
		return errors.New("name where the data is: --prometheus URL, such as http://localhost:9090 after " +
			"\"kubectl port-forward -n monitoring service/prometheus 9090\", or --data FILE that was written with --record")
	case o.data != "":
		return errors.Join(o.checkData(name), o.server.check())
	case (name == "") == (o.file == ""):
		return errors.New("name what is judged: the NAME of a Rollout in the cluster, or a file with -f")
	case o.from != "" && o.since != 0:
		return errors.New("--from and --since exclude each other")
	case o.since < 0:
		return fmt.Errorf("--since is %s, and must not be negative", o.since)
	}
	return o.server.check()
}

// checkData finds what does not go with a recording.
func (o *replayOptions) checkData(name string) error {
	switch {
	case o.server.address != "" || o.record != "":
		return errors.New("--data excludes --prometheus and --record: it needs no server, and is a recording already")
	case name != "" || o.canary+o.stable+o.from+o.to != "" || o.since != 0:
		return errors.New("--data has its own revisions and times: it takes neither NAME nor --canary, --stable, --from, --to and --since")
	}
	return nil
}

func (o *replayOptions) run(ctx context.Context, name string) error {
	if err := o.check(name); err != nil {
		return err
	}
	rule, err := o.rule()
	if err != nil {
		return err
	}
	in, source, err := o.input(ctx, name)
	if err != nil {
		return err
	}
	in.Rule, in.Timeout = rule, o.server.timeout
	var server analysis.Provider
	if source == nil {
		opened, err := o.server.open()
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		server = replay.Past{Server: opened}
		source = server
	}
	report, err := o.replay(ctx, in, source)
	if err != nil {
		return o.explainFailure(err)
	}
	if err := report.Explain(ctx, in, server); err != nil {
		return err
	}
	report.Notes = append(report.Notes, providerNotes(in, server != nil)...)
	if o.format != "" {
		return o.write(o.format, report)
	}
	fmt.Fprint(o.Out, show.Replay(o.screen(), report, o.all))
	return nil
}

// replay replays, and records it if that is asked for.
func (o *replayOptions) replay(ctx context.Context, in *replay.Input, source analysis.Provider) (report *replay.Report, err error) {
	if o.record == "" {
		return replay.Run(ctx, in, source)
	}
	f, err := os.OpenFile(o.record, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("--record: %w", closed)
		}
		if err != nil {
			_ = os.Remove(o.record) // half a recording cannot be replayed
		}
	}()
	in.ToTheEnd = true
	recorder, err := replay.NewRecorder(source, f, in)
	if err != nil {
		return nil, err
	}
	return replay.Run(ctx, in, recorder)
}

// explainFailure adds what to do next.
func (o *replayOptions) explainFailure(err error) error {
	var access *replay.AccessError
	var missing *replay.MissingError
	switch {
	case errors.As(err, &access):
		return fmt.Errorf("%w: %s", err, adviceFor(access.Reason))
	case errors.As(err, &missing):
		return fmt.Errorf("%w: replay it without -f, or record it again", err)
	}
	return err
}

func adviceFor(r analysis.Reason) string {
	switch r {
	case analysis.ReasonUnauthorized:
		return "give credentials with --bearer-token-file, or with --username and --password-file"
	case analysis.ReasonRefused:
		return "is --prometheus the address of a Prometheus, up to what comes before /api/v1?"
	case analysis.ReasonTimeout:
		return "allow more with --timeout, or choose a shorter range of time"
	case analysis.ReasonRedirected:
		return "name the final address with --prometheus: redirects are not followed"
	case analysis.ReasonAddressRefused:
		return "link-local, multicast and cloud metadata addresses are not asked"
	default:
		return "does it run, and can it be reached from here? Proxies of the environment are not used; " +
			"\"kubectl port-forward -n monitoring service/prometheus 9090\" makes it http://localhost:9090, and --ca-file names its CA"
	}
}

// providerNotes say that a metric's own provider was not asked.
func providerNotes(in *replay.Input, asked bool) []string {
	var notes []string
	for i := range in.Spec.Metrics {
		if m := &in.Spec.Metrics[i]; asked && m.Provider != nil {
			notes = append(notes, fmt.Sprintf("%s names the provider %s; the server of --prometheus was asked instead.", m.Name, m.Provider.Name))
		}
	}
	return notes
}

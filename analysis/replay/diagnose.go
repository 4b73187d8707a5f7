package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxRevisions is how many revisions a note names.
const maxRevisions = 10

// Explain adds notes to a report of which data is missing: what was looked for and,
// when there is a server to ask, what is there instead. The error is that of ctx.
func (r *Report) Explain(ctx context.Context, in *Input, server analysis.Provider) error {
	missing, others := false, false
	for i := range in.Spec.Metrics {
		m := &in.Spec.Metrics[i]
		note := r.missing(m)
		if note == "" {
			continue
		}
		missing = true
		if server != nil && m.Builtin != nil {
			instead, found := revisionsNote(ctx, in, m, server)
			note += instead
			others = others || found
		}
		r.Notes = append(r.Notes, note)
	}
	if missing && !others && server != nil {
		if note := retentionNote(ctx, in, server); note != "" {
			r.Notes = append(r.Notes, note)
		}
	}
	return ctx.Err()
}

// missing says which data of a metric was never there.
func (r *Report) missing(m *v1alpha1.Metric) string {
	i := slices.IndexFunc(r.Metrics, func(s v1alpha1.MetricStatus) bool { return s.Name == m.Name })
	if i < 0 {
		return ""
	}
	s := &r.Metrics[i]
	reason, alike := r.alike(m.Name)
	looked := fmt.Sprintf("looked for %s.", s.Query)
	switch {
	case !alike && s.Comparison == nil:
	case reason == analysis.ReasonRefused || reason == analysis.ReasonMalformed:
		return fmt.Sprintf("%s: %s, each time: is the address that of a Prometheus, up to what comes before /api/v1? It was asked %s", m.Name, reason.Sentence(), s.Query)
	case reason != "" && reason != analysis.ReasonNoData:
	case s.Comparison == nil:
		if reason == analysis.ReasonNoData {
			return fmt.Sprintf("%s: there was never any data; %s", m.Name, looked)
		}
	case s.Comparison.Canary.Requests == 0:
		return fmt.Sprintf("%s: no request of the canary, revision %s, was found; %s", m.Name, r.Canary, looked)
	case s.Comparison.Stable.Requests == 0:
		return fmt.Sprintf("%s: no request of stable, revision %s, was found; %s", m.Name, r.Stable, looked)
	}
	return ""
}

// alike returns the reason that all measurements of a metric have, if they have one.
func (r *Report) alike(metric string) (reason analysis.Reason, alike bool) {
	for i := range r.Timeline {
		m := &r.Timeline[i]
		if m.Metric != metric {
			continue
		}
		if alike && m.Reason != string(reason) {
			return "", false
		}
		reason, alike = analysis.Reason(m.Reason), true
	}
	return reason, alike
}

// revisionsNote says which revisions the mesh has counted instead, and whether there
// are any.
func revisionsNote(ctx context.Context, in *Input, m *v1alpha1.Metric, server analysis.Provider) (note string, some bool) {
	v := analysis.VariablesOf(&v1alpha1.AnalysisRun{Spec: in.Spec})
	v.Namespace = in.Namespace
	length := strconv.FormatInt(int64(in.To.Sub(in.Steps[0].Since.Time).Seconds())+1, 10)
	const by = "destination_canonical_revision"
	sample, err := server.Query(ctx, analysis.Query{
		Expr: fmt.Sprintf("count by (%s) (last_over_time(%s[%ss]))", by, analysis.WorkloadSelector(m.Builtin, v), length),
		At:   in.To, Timeout: in.timeout(),
	})
	if err != nil {
		return "", false
	}
	var found []string
	for _, s := range sample.Series {
		if s.Labels[by] != "" {
			found = append(found, s.Labels[by])
		}
	}
	slices.Sort(found)
	if len(found) == 0 {
		return " There is no such series of any revision: look at the namespace, at the Rollout's name, and whether requests are counted by this reporter.", false
	}
	if len(found) > maxRevisions {
		found = append(found[:maxRevisions], "…")
	}
	return fmt.Sprintf(" The revisions that were counted in that time are %s.", strings.Join(found, ", ")), true
}

// retentionNote says whether the server has anything of that time at all, by the one
// series that every Prometheus has.
func retentionNote(ctx context.Context, in *Input, server analysis.Provider) string {
	from := in.Steps[0].Since.Time
	then, errThen := hasAny(ctx, in, server, from)
	end, errEnd := hasAny(ctx, in, server, in.To)
	if errors.Join(errThen, errEnd) != nil || then {
		return ""
	}
	if end {
		return fmt.Sprintf("The server has no sample of \"up\" at %s, and has some at %s: it keeps nothing from so long ago, or was not there yet. Choose a later beginning, or ask where the data is kept for longer.",
			from.UTC().Format(time.RFC3339), in.To.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("The server has no sample of \"up\" between %s and %s: it keeps nothing from so long ago, or is not the one that scraped then. Ask where the data is kept for longer.",
		from.UTC().Format(time.RFC3339), in.To.UTC().Format(time.RFC3339))
}

func hasAny(ctx context.Context, in *Input, server analysis.Provider, at time.Time) (bool, error) {
	sample, err := server.Query(ctx, analysis.Query{Expr: "count(last_over_time(up[5m]))", At: at.Truncate(time.Millisecond), Timeout: in.timeout()})
	return len(sample.Series) > 0, err
}

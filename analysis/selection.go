package analysis

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// maxTicks is how many windows one reading is cut into at most; of a longer gap
	// the first of them is longer.
	maxTicks = 20
	// maxGap is the longest that is read at a time. What was before is lost, for both
	// revisions alike.
	maxGap = time.Hour
	// maxSeries is how many series a comparison reads at most.
	maxSeries = 5000
)

// Selection is what one measurement of a comparison reads: the counters of both
// revisions since what was counted last.
type Selection struct {
	// Queries give the raw samples, in the order in which Tally takes them.
	Queries []Query
	// From is up to when requests were counted before, and To up to when they will be.
	From, To time.Time

	bounds    []int64
	metric    *v1alpha1.Metric
	variables Variables
	arms      []arm
	// le are the bounds that are compared, and history says that they are yet to be
	// chosen.
	le      []float64
	history bool
}

// arm says what the series of a query are, where their labels do not.
type arm struct{ canary, bad, total bool }

// Reading is what was counted between two times.
type Reading struct {
	From, To time.Time
	// Tallies are windows that follow each other; none when there was no series at
	// all.
	Tallies []Tally
	// Before is what stable had before, to choose bounds from; then nothing was counted.
	Before *sequential.Histogram
}

// BuildSelection makes the queries of a comparison that has counted up to a time.
// Windows end at whole multiples of the metric's interval, all of them at least the
// policy's lag ago: whoever counts again what another process has counted, cuts and
// counts the same. Of a histogram whose bounds are yet to be chosen, it is what stable
// had before: see WithBounds. The error is ErrTooEarly, or says what is wrong with the
// metric.
func BuildSelection(m *v1alpha1.Metric, p *v1alpha1.ComparisonPolicy, v Variables, from, now time.Time) (*Selection, error) {
	if choosesBounds(m) {
		s := &Selection{From: from, metric: m, variables: v}
		return s, s.historySelection(now.Add(-lagOf(p)))
	}
	to := now.Add(-lagOf(p)).Truncate(gridOf(m))
	if !to.After(from) {
		return nil, ErrTooEarly
	}
	s := &Selection{From: from, To: to, metric: m, variables: v, bounds: boundsOf(from, to, gridOf(m))}
	selectors, err := s.selectors()
	if err != nil {
		return nil, err
	}
	length := s.bounds[len(s.bounds)-1] - s.bounds[0] + rawLookback.Milliseconds()
	for _, selector := range selectors {
		s.Queries = append(s.Queries, Query{Expr: selector + "[" + strconv.FormatInt(length, 10) + "ms]", At: to})
	}
	return s, nil
}

// boundsOf cuts what lies between two times at whole multiples of an interval.
func boundsOf(from, to time.Time, interval time.Duration) []int64 {
	if earliest := to.Add(-maxGap); from.Before(earliest) {
		from = earliest
	}
	first := nextTick(from, interval)
	if earliest := to.Add(-(maxTicks - 1) * interval); first.Before(earliest) {
		first = earliest
	}
	bounds := []int64{from.UnixMilli()}
	for at := first; !at.After(to); at = at.Add(interval) {
		bounds = append(bounds, at.UnixMilli())
	}
	return bounds
}

// nextTick is the first multiple of an interval after a time.
func nextTick(t time.Time, interval time.Duration) time.Time {
	return t.Truncate(interval).Add(interval)
}

// selectors are those of the metric, and what their series are.
func (s *Selection) selectors() ([]string, error) {
	switch m := s.metric; {
	case isHistogram(m):
		var err error
		if _, s.le, err = parseBounds(m); err != nil {
			return nil, err
		}
		s.arms = []arm{{canary: true}, {}}
	case m.Builtin != nil:
		s.arms = []arm{{}}
	default:
		s.arms = []arm{{canary: true, bad: true}, {canary: true, total: true}, {bad: true}, {total: true}}
	}
	selectors, err := selectorsOf(s.metric, s.variables)
	if isHistogram(s.metric) {
		for i := range selectors {
			selectors[i] = withBuckets(selectors[i], s.le)
		}
	}
	return selectors, err
}

// selectorsOf are one for both revisions of what the mesh measures, and otherwise all
// of the canary's before all of stable's.
func selectorsOf(m *v1alpha1.Metric, v Variables) ([]string, error) {
	var texts []string
	switch {
	case m.Builtin != nil:
		return []string{requestsSelector(m.Builtin, v)}, nil
	case m.Histogram != nil:
		texts = []string{m.Histogram.Buckets}
	case m.Ratio != nil:
		texts = []string{m.Ratio.Bad, m.Ratio.Total}
	}
	var all []string
	for _, revision := range []string{v.Canary, v.Stable} {
		v.Revision = revision
		for _, text := range texts {
			t, err := parseSelector(text)
			if err != nil {
				return nil, err
			}
			all = append(all, t.Render(v, 0))
		}
	}
	return all, nil
}

// parseSelector reads a selector of series with its placeholders.
func parseSelector(text string) (*Template, error) {
	t, err := parseTemplate(text, selectorPlaceholders)
	if err != nil {
		return nil, err
	}
	sample := Variables{Namespace: "n", Rollout: "r", Stable: "s", Canary: "c", Revision: "v"}
	if err := checkSelector(t.Render(sample, 0)); err != nil {
		return nil, err
	}
	for _, name := range t.names {
		if name == placeholderRevision {
			return t, nil
		}
	}
	return nil, fmt.Errorf("{{%s}} is missing: both revisions would count the same", placeholderRevision)
}

// checkSelector refuses anything but a selector of series, so that a range can
// follow it.
func checkSelector(text string) error {
	s := scanner{rest: strings.TrimSpace(text)}
	name := s.identifier()
	s.rest = strings.TrimLeft(s.rest, " \t\r\n")
	if strings.HasPrefix(s.rest, "{") {
		if err := s.skipBraces(); err != nil {
			return err
		}
	} else if name == "" {
		return errors.New("a selector begins with the name of a metric, or with a brace")
	}
	if s.rest != "" {
		return fmt.Errorf("a selector of series cannot go on with %q: ranges, functions and operators are not for it", shorten(s.rest, 40))
	}
	return nil
}

// badStatuses are the gRPC codes that are the server's fault: Unknown,
// DeadlineExceeded, Internal, Unavailable and DataLoss.
var badStatuses = map[string]bool{"2": true, "4": true, "13": true, "14": true, "15": true}

// requestsSelector selects what Istio counts of both revisions: requests, or how long
// they took.
func requestsSelector(b *v1alpha1.BuiltinMetric, v Variables) string {
	revisions := escape(regexp.QuoteMeta(v.Stable)) + "|" + escape(regexp.QuoteMeta(v.Canary))
	return strings.TrimSuffix(WorkloadSelector(b, v), "}") + fmt.Sprintf(`,destination_canonical_revision=~"%s"}`, revisions)
}

// WorkloadSelector selects what Istio counts of a Rollout's requests, of whatever
// revision.
func WorkloadSelector(b *v1alpha1.BuiltinMetric, v Variables) string {
	name := "istio_requests_total"
	if b.Kind == v1alpha1.BuiltinLatencyDistribution {
		name = "istio_request_duration_milliseconds_bucket"
	}
	return fmt.Sprintf(`%s{reporter="%s",destination_workload_namespace="%s",destination_workload="%s"}`,
		name, reporterOf(b), escape(v.Namespace), escape(v.Rollout))
}

func reporterOf(b *v1alpha1.BuiltinMetric) string {
	switch b.Reporter {
	case v1alpha1.ReporterDestination:
		return "destination"
	case v1alpha1.ReporterWaypoint:
		return "waypoint"
	case v1alpha1.ReporterSource:
	}
	return "source"
}

// failed tells whether the requests of a series of Istio's failed.
func failed(labels map[string]string) bool {
	if badStatuses[labels["grpc_response_status"]] {
		return true
	}
	code, err := strconv.Atoi(labels["response_code"])
	switch {
	case err != nil:
		return false
	case code == 0:
		return !strings.Contains(","+labels["response_flags"]+",", ",DC,")
	default:
		return code >= 500
	}
}

// Tally counts what the queries gave. The error is an *Error.
func (s *Selection) Tally(answers []Matrix) (*Reading, error) {
	if s.history {
		if len(answers[0].Warnings) > 0 {
			return nil, &Error{Reason: ReasonWarnings}
		}
		return s.tallyHistory(answers[0])
	}
	var counters []counter
	for i, answer := range answers {
		if len(answer.Warnings) > 0 {
			return nil, &Error{Reason: ReasonWarnings}
		}
		for _, series := range answer.Series {
			if len(counters) == maxSeries {
				return nil, &Error{Reason: ReasonTooLarge}
			}
			c, err := s.counterOf(s.arms[i], series)
			if err != nil {
				return nil, err
			}
			counters = append(counters, c)
		}
	}
	r := &Reading{From: s.From, To: s.To}
	if len(counters) == 0 {
		return r, nil
	}
	var err error
	if isHistogram(s.metric) {
		r.Tallies, err = tallyBuckets(counters, s.bounds, s.le)
		return r, err
	}
	r.Tallies, err = tally(counters, s.bounds)
	return r, err
}

// counterOf tells what a series counts. The error is an *Error.
func (s *Selection) counterOf(a arm, series RawSeries) (counter, error) {
	c := counter{
		target: targetOf(series.Labels), points: series.Points, canary: a.canary, bad: a.bad, total: a.total,
	}
	if b := s.metric.Builtin; b == nil || b.Reporter == v1alpha1.ReporterDestination {
		c.pod = series.Labels["pod"]
	}
	if s.metric.Builtin != nil {
		revision := series.Labels["destination_canonical_revision"]
		c.canary, c.bad, c.total = revision == s.variables.Canary, failed(series.Labels), true
		if !c.canary && revision != s.variables.Stable {
			return c, &Error{Reason: ReasonMalformed}
		}
	}
	if isHistogram(s.metric) {
		var err error
		if c.le, err = strconv.ParseFloat(series.Labels[labelBucket], 64); err != nil {
			return c, &Error{Reason: ReasonNotHistogram}
		}
		c.group = groupOf(series.Labels, c.canary)
	}
	return c, nil
}

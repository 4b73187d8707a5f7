package v1alpha1_test

import (
	"fmt"
	"strings"
	"time"
)

const (
	analysisRun    = "AnalysisRun"
	rolloutAction  = "RolloutAction"
	metricProvider = "MetricProvider"
)

func repeat(s string, n int) string { return strings.Repeat(s, n) }

func concat[T any](lists ...[]T) []T {
	var all []T
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// metricCases are those of the metrics at a path: a Rollout and an AnalysisRun
// have the same.
func metricCases(kind, at string) []fieldCase {
	metric := func(i int) any {
		return map[string]any{"name": fmt.Sprintf("m%d", i), "query": "vector(1)", "successWhen": "value < 1.0"}
	}
	in := func(field string) string { return at + ".0." + field }
	const oneMetric = "exactly one of query, builtin, ratio and histogram must be set"
	const oneCondition = "at least one of successWhen and failWhen must be set"
	return []fieldCase{
		keyed(kind, at, 1, 20, metric).required(),
		text(kind, in("name"), 1, 63).required().refusing("Errors", dnsLabel).refusing("a.b", dnsLabel),
		fieldCase{kind: kind, path: in("provider")}.optional(),
		text(kind, in("provider.name"), 1, 253).required(),
		text(kind, in("query"), 1, 8192).refusing(nil, oneMetric),
		span(kind, in("window"), time.Second, 24*time.Hour, "window must be between 1s and 24h"),
		text(kind, in("successWhen"), 1, 1024).optional(),
		text(kind, in("failWhen"), 1, 1024).optional(),
		fieldCase{kind: kind, path: in("failWhen")}.with(change{in("successWhen"), nil}).
			accepting("value > 1.0").refusing(nil, oneCondition),
		span(kind, in("interval"), time.Second, 24*time.Hour, "interval must be between 1s and 24h"),
		span(kind, in("initialDelay"), 0, 24*time.Hour, "initialDelay must be between 0s and 24h"),
		number(kind, in("count"), 1, 1000).optional(),
		number(kind, in("failureLimit"), 0, 1000).optional(),
		number(kind, in("consecutiveErrorLimit"), 0, 1000).optional(),
		word(kind, in("onError"), "Hold", "Abort").optional(),
		{kind: kind, path: in("noData"), accept: []any{nil, map[string]any{}}},
		word(kind, in("noData.policy"), "Hold", "Success", "Failure").optional(),
		span(kind, in("noData.after"), 0, 24*time.Hour, "after must be between 0s and 24h"),
		word(kind, in("series"), "Error", "All", "Any").optional(),
		word(kind, in("nonFinite"), "NoData", "Error", "Evaluate").optional(),
		word(kind, in("warnings"), "Error", "Ignore").optional(),
		{kind: kind, path: in("builtin"), accept: []any{nil}, refuse: []refusal{{map[string]any{"kind": "ErrorRatio"}, oneMetric}}},
		{kind: kind, path: in("ratio"), accept: []any{nil}, refuse: []refusal{{map[string]any{"bad": "b", "total": "t"}, oneMetric}}},
		{kind: kind, path: in("histogram"), accept: []any{nil}, refuse: []refusal{{map[string]any{"buckets": "b"}, oneMetric}}},
		{kind: kind, path: in("compare"), accept: []any{nil},
			refuse: []refusal{{map[string]any{}, "compare is for builtin, ratio and histogram"}}},
	}
}

// comparisonCases are those of the metrics at a path that compare with stable.
func comparisonCases(kind, at string) []fieldCase {
	const (
		conditions = "successWhen and failWhen are for query"
		counts     = "count and failureLimit are for query"
		results    = "series, nonFinite and warnings are for query"
		pattern    = `should match '^[0-9]{1,3}(\.[0-9]{1,4})?$'`
		order      = "unacceptable must not be less than tolerance"
	)
	metric := func(with string, spec map[string]any) change {
		return change{at + ".0", map[string]any{"name": "errors", with: spec, "compare": map[string]any{}}}
	}
	builtin := metric("builtin", map[string]any{"kind": "ErrorRatio"})
	ratio := metric("ratio", map[string]any{"bad": "b", "total": "t"})
	histogram := metric("histogram", map[string]any{"buckets": "b"})
	in := func(field string, given change) fieldCase {
		return fieldCase{kind: kind, path: at + ".0." + field}.with(given)
	}
	bounds := concat(
		boundsCases(kind, at+".0.builtin", metric("builtin", map[string]any{"kind": "LatencyDistribution"})),
		boundsCases(kind, at+".0.histogram", histogram),
	)
	return append(bounds, []fieldCase{
		in("builtin.quantiles", builtin).optional().refusing([]any{"0.5"}, "quantiles and le are for LatencyDistribution"),
		in("builtin.le", builtin).optional().refusing([]any{"100"}, "quantiles and le are for LatencyDistribution"),
		in("histogram", histogram).refusing(nil, "exactly one of query, builtin, ratio and histogram must be set"),
		text(kind, at+".0.histogram.buckets", 1, 2048).with(histogram).required(),
		in("failWhen", histogram).optional().refusing("value < 1.0", conditions),
		in("builtin", builtin).refusing(nil, "exactly one of query, builtin, ratio and histogram must be set"),
		word(kind, at+".0.builtin.kind", "ErrorRatio", "LatencyDistribution").with(builtin).required(),
		word(kind, at+".0.builtin.reporter", "Source", "Destination", "Waypoint").with(builtin).optional(),
		in("ratio", ratio).refusing(nil, "exactly one of query, builtin, ratio and histogram must be set"),
		text(kind, at+".0.ratio.bad", 1, 2048).with(ratio).required(),
		text(kind, at+".0.ratio.total", 1, 2048).with(ratio).required(),
		in("compare", builtin).optional().accepting(map[string]any{"tolerance": "2", "unacceptable": "2"}).
			refusing(map[string]any{"tolerance": "3", "unacceptable": "2.9"}, order).
			refusing(map[string]any{"tolerance": "3"}, order),
		in("compare.tolerance", builtin).accepting(nil, "1", "1.2", "2.0", "1.2345").
			refusing("0.9999", "tolerance must be between 1 and 100").refusing("100.0001", "tolerance must be between 1 and 100").
			refusing("1.23456", pattern).refusing("one", pattern).refusing("", pattern).refusing("1e1", pattern).
			refusing("-1", pattern).refusing("100.00001", tooLong(8)),
		in("compare.unacceptable", builtin).accepting(nil, "1.25", "100", "100.0").
			refusing("1.2499", "unacceptable must be between 1.25 and 100").refusing("100.0001", "unacceptable must be between 1.25 and 100").
			refusing("2,0", pattern).refusing("NaN", pattern).refusing("100.00001", tooLong(8)),
		number(kind, at+".0.compare.minRequests", 1, 1000000000).with(builtin).optional(),
		in("successWhen", builtin).optional().refusing("value < 1.0", conditions),
		in("failWhen", ratio).optional().refusing("value < 1.0", conditions),
		in("count", builtin).optional().accepting(int64(1)).refusing(int64(2), counts),
		in("failureLimit", builtin).optional().accepting(int64(0)).refusing(int64(1), counts),
		in("series", builtin).accepting("Error").refusing("All", results),
		in("nonFinite", builtin).accepting("NoData").refusing("Evaluate", results),
		in("warnings", builtin).accepting("Error").refusing("Ignore", results),
		in("noData", builtin).accepting(map[string]any{"policy": "Failure"}),
	}...)
}

// boundsCases are those of where the histogram at a path is compared.
func boundsCases(kind, at string, given change) []fieldCase {
	const (
		together  = "at most 4 bounds can be compared: quantiles and le together"
		between   = "a quantile must be between 0.01 and 0.9999"
		aQuantile = `should match '^0\.[0-9]{1,4}$'`
		aBound    = `should match '^[0-9]{1,9}(\.[0-9]{1,6})?$'`
	)
	quantile := func(i int) any { return fmt.Sprintf("0.9%d", i) }
	bound := func(i int) any { return fmt.Sprint(i) }
	one := func(list, value string) change { return change{at + "." + list, []any{value}} }
	in := func(path string, also change) fieldCase {
		return fieldCase{kind: kind, path: at + path}.with(given, also)
	}
	return []fieldCase{
		keyed(kind, at+".quantiles", 1, 4, quantile).with(given).optional(),
		keyed(kind, at+".le", 1, 4, bound).with(given).optional(),
		in(".quantiles", one("le", "250")).accepting(items(3, quantile)).refusing(items(4, quantile), together),
		in(".le", one("quantiles", "0.5")).accepting(items(3, bound)).refusing(items(4, bound), together),
		in(".quantiles.0", one("quantiles", "0.5")).accepting("0.01", "0.9999").refusing("0.009", between).refusing("0.0", between).
			refusing("1", aQuantile).refusing("0.99999", tooLong(6)).refusing("99%", aQuantile).refusing("", aQuantile),
		in(".le.0", one("le", "250")).accepting("0", "0.25", "999999999", "1.123456").refusing("+Inf", aBound).refusing("-1", aBound).
			refusing("250ms", aBound).refusing("1e3", aBound).refusing("", aBound).refusing("123456789.1234567", tooLong(16)),
	}
}

// policyCases are those of how comparisons decide, in the fields at a path.
func policyCases(kind, at string) []fieldCase {
	probability := func(name string) fieldCase {
		const pattern = `should match '^0\.[0-9]{1,6}$'`
		message := name + " must be between 0.000001 and 0.5"
		return fieldCase{kind: kind, path: at + name, accept: []any{nil, "0.000001", "0.01", "0.5"}}.
			refusing("0.0", message).refusing("0.500001", message).refusing("0.51", message).
			refusing("1", pattern).refusing("0.", pattern).refusing(".5", pattern).refusing("1e-3", pattern).refusing("", pattern).
			refusing("0.0000001", tooLong(8))
	}
	return []fieldCase{
		probability("alpha"), probability("beta"),
		span(kind, at+"settle", 0, 24*time.Hour, "settle must be between 0s and 24h"),
		span(kind, at+"lag", time.Second, 10*time.Minute, "lag must be between 1s and 10m"),
		span(kind, at+"maxDuration", time.Second, 168*time.Hour, "maxDuration must be between 1s and 168h"),
		word(kind, at+"onTimeout", "Promote", "Pause", "Abort").optional(),
	}
}

// evidenceCases are those of what comparisons know.
func evidenceCases() []fieldCase {
	const one, all = "status.metrics.0.comparison.", "status.comparison."
	cases := []fieldCase{
		text(analysisRun, all+"leading", 0, 63), text(analysisRun, all+"state", 0, 512),
		text(analysisRun, one+"odds", 0, 32), text(analysisRun, one+"interval", 0, 64),
		text(analysisRun, one+"canaryShare", 0, 32), text(analysisRun, one+"dispersion", 0, 32), text(analysisRun, one+"dispersionMessage", 0, 256),
		text(analysisRun, one+"missing", 0, 256), text(analysisRun, one+"state", 0, 32768),
		text(analysisRun, one+"le", 0, 32),
		keyed(analysisRun, one+"bounds", 0, 4, func(i int) any { return map[string]any{"le": fmt.Sprint(i)} }),
		text(analysisRun, one+"bounds.0.le", 0, 32).required(),
		text(analysisRun, one+"bounds.0.e", 0, 32), text(analysisRun, one+"bounds.0.odds", 0, 32),
		counter(analysisRun, one+"bounds.0.canary"), counter(analysisRun, one+"bounds.0.stable"),
		counter(analysisRun, one+"inStep"),
		moment(analysisRun, one+"through").optional(),
	}
	for _, at := range []string{one, all} {
		cases = append(cases, text(analysisRun, at+"e", 0, 32), text(analysisRun, at+"p", 0, 32))
	}
	for _, arm := range []string{"canary", "stable"} {
		cases = append(cases, counter(analysisRun, one+arm+".requests"), counter(analysisRun, one+arm+".bad"))
	}
	return cases
}

var verdicts = []any{"Success", "Failure", "Inconclusive", "Error", "Pending"}

var analysisRunCases = concat([]fieldCase{
	object(analysisRun, "spec"),
	object(analysisRun, "spec.subject"),
	text(analysisRun, "spec.subject.rollout", 1, 253).required(),
	text(analysisRun, "spec.subject.stableRevision", 1, 63).required(),
	text(analysisRun, "spec.subject.canaryRevision", 1, 63).required(),
	fieldCase{kind: analysisRun, path: "spec.subject.attempt", accept: []any{int64(1), int64(1 << 30)}}.
		refusing(int64(0), atLeast(1)).refusing(int64(1)<<32, "int32").required(),
	keyed(analysisRun, "status.conditions", 0, 16, condition),
	counter(analysisRun, "status.observedGeneration"),
	number(analysisRun, "status.step.index", 0, 50).required(),
	text(analysisRun, "status.step.name", 0, 63).required(),
	moment(analysisRun, "status.step.since").required(),
	word(analysisRun, "status.verdict", verdicts...),
	text(analysisRun, "status.message", 0, 1024),
	keyed(analysisRun, "status.metrics", 0, 20, func(i int) any {
		return map[string]any{"name": fmt.Sprintf("m%d", i), "verdict": "Pending"}
	}),
	text(analysisRun, "status.metrics.0.name", 0, 63).required(),
	word(analysisRun, "status.metrics.0.verdict", verdicts...).required(),
	text(analysisRun, "status.metrics.0.message", 0, 512),
	text(analysisRun, "status.metrics.0.query", 0, 16384),
	counter(analysisRun, "status.metrics.0.successful"),
	counter(analysisRun, "status.metrics.0.failed"),
	counter(analysisRun, "status.metrics.0.inconclusive"),
	counter(analysisRun, "status.metrics.0.withoutData"),
	counter(analysisRun, "status.metrics.0.errors"),
	counter(analysisRun, "status.metrics.0.consecutiveErrors"),
	moment(analysisRun, "status.metrics.0.lastMeasuredAt").optional(),
	list(analysisRun, "status.metrics.0.measurements", 0, 10, func(int) any {
		return map[string]any{"at": "2026-01-02T15:04:05.000000Z", "verdict": "Success"}
	}),
	moment(analysisRun, "status.metrics.0.measurements.0.at").required(),
	word(analysisRun, "status.metrics.0.measurements.0.verdict", verdicts...).required(),
	text(analysisRun, "status.metrics.0.measurements.0.value", 0, 256),
	text(analysisRun, "status.metrics.0.measurements.0.reason", 0, 64),
	number(analysisRun, "spec.steps", 1, 50).optional(),
}, metricCases(analysisRun, "spec.metrics"), comparisonCases(analysisRun, "spec.metrics"), policyCases(analysisRun, "spec."), evidenceCases())

var rolloutActionCases = []fieldCase{
	object(rolloutAction, "spec"),
	text(rolloutAction, "spec.rollout", 1, 253).required(),
	word(rolloutAction, "spec.action", "Promote", "PromoteFull", "Abort", "Retry", "Rollback", "Pause").required().
		with(change{"spec.toRevision", nil}),
	text(rolloutAction, "spec.revision", 1, 63).required(),
	text(rolloutAction, "spec.toRevision", 1, 63).optional().
		refusing("5d8c7b6f9", "toRevision must be another revision than the one to leave"),
	fieldCase{kind: rolloutAction, path: "spec.action"}.with(change{"spec.toRevision", "a"}).accepting("Rollback").
		refusing("Abort", "toRevision is for action Rollback"),
	text(rolloutAction, "spec.step", 1, 63).optional(),
	text(rolloutAction, "spec.reason", 0, 512).optional(),
	text(rolloutAction, "spec.requestedBy", 0, 253).optional(),
	span(rolloutAction, "spec.timeToLive", time.Second, 168*time.Hour, "timeToLive must be between 1s and 168h"),
	keyed(rolloutAction, "status.conditions", 0, 8, condition),
	counter(rolloutAction, "status.observedGeneration"),
}

var metricProviderCases = concat([]fieldCase{
	object(metricProvider, "spec"),
	fieldCase{kind: metricProvider, path: "spec.prometheus"}.refusing(nil, "prometheus is required"),
	addressCase(),
	span(metricProvider, "spec.prometheus.timeout", 100*time.Millisecond, 5*time.Minute,
		"timeout must be between 100ms and 5m"),
	fieldCase{kind: metricProvider, path: "spec.prometheus.auth", accept: []any{
		nil, map[string]any{"bearer": map[string]any{"name": "s", "key": "k"}},
	}}.
		refusing(map[string]any{}, "exactly one of basic and bearer must be set").
		refusing(map[string]any{
			"bearer": map[string]any{"name": "s", "key": "k"},
			"basic":  map[string]any{"username": "u", "password": map[string]any{"name": "s", "key": "k"}},
		}, "exactly one of basic and bearer must be set"),
	text(metricProvider, "spec.prometheus.auth.basic.username", 1, 253).required(),
	object(metricProvider, "spec.prometheus.auth.basic.password"),
	object(metricProvider, "spec.prometheus.tls.ca"),
	keyed(metricProvider, "status.conditions", 0, 8, condition),
	counter(metricProvider, "status.observedGeneration"),
},
	secretKeyCases("spec.prometheus.auth.basic.password"),
	secretKeyCases("spec.prometheus.tls.ca"),
	secretKeyCases("spec.prometheus.auth.bearer", change{
		"spec.prometheus.auth", map[string]any{"bearer": map[string]any{"name": "s", "key": "k"}},
	}),
)

func addressCase() fieldCase {
	const (
		notHTTP = "address must be an http or https URL"
		extras  = "address must not contain credentials, a query or a fragment"
	)
	return fieldCase{kind: metricProvider, path: "spec.prometheus.address", accept: []any{
		"http://p", "https://prometheus.monitoring.svc:9090", "http://10.0.0.1:9090/a/b", "http://[2001:db8::1]:9090",
		"https://" + repeat("a", 2040),
	}}.
		required().
		refusing("http://", tooShort(8)).
		refusing("https://"+repeat("a", 2041), tooLong(2048)).
		refusing("ftp://prometheus", notHTTP).
		refusing("prometheus:9090", notHTTP).
		refusing("http:///metrics", notHTTP).
		refusing("not a url", notHTTP).
		refusing("http://user:secret@prometheus", extras).
		refusing("http://prometheus?tenant=a", extras).
		refusing("http://prometheus#a", extras)
}

func secretKeyCases(at string, given ...change) []fieldCase {
	return []fieldCase{
		text(metricProvider, at+".name", 1, 253).with(given...).required(),
		text(metricProvider, at+".key", 1, 253).with(given...).required(),
	}
}

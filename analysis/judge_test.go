package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

func metric(edits ...func(*v1alpha1.Metric)) *v1alpha1.Metric {
	m := &v1alpha1.Metric{
		Name: "errors", Query: "x", SuccessWhen: "value < 0.05", Count: 2, Interval: dur(10 * time.Second),
		ConsecutiveErrorLimit: ptr.To[int32](1),
	}
	for _, e := range edits {
		e(m)
	}
	return m
}

// Edits of a metric.
func both(m *v1alpha1.Metric)     { m.SuccessWhen, m.FailWhen = "value < 0.05", "value > 0.1" }
func failOnly(m *v1alpha1.Metric) { m.SuccessWhen, m.FailWhen = "", "value > 0.1" }
func abort(m *v1alpha1.Metric)    { m.OnError = v1alpha1.ErrorAbort }
func series(p v1alpha1.SeriesPolicy) func(*v1alpha1.Metric) {
	return func(m *v1alpha1.Metric) { both(m); m.Series = p }
}
func nonFinite(p v1alpha1.NonFinitePolicy) func(*v1alpha1.Metric) {
	return func(m *v1alpha1.Metric) { m.NonFinite = p }
}
func noData(p v1alpha1.NoDataPolicy, after time.Duration) func(*v1alpha1.Metric) {
	return func(m *v1alpha1.Metric) { m.NoData = &v1alpha1.NoData{Policy: p, After: dur(after)} }
}
func limit(n int32) func(*v1alpha1.Metric) { return func(m *v1alpha1.Metric) { m.FailureLimit = n } }

func TestJudgeOneSample(t *testing.T) {
	warned := Values(0.01)
	warned.Warnings = []string{"partial: canary-secret"}
	for _, tc := range []struct {
		name    string
		metric  *v1alpha1.Metric
		sample  Sample
		err     error
		want    v1alpha1.Verdict
		reason  Reason
		value   string
		message string
	}{
		{"success", metric(), Values(0.01), nil, "Success", "", "0.01", "value 0.01 meets successWhen value < 0.05"},
		{"failure", metric(), Values(0.25), nil, "Failure", "", "0.25", "value 0.25 does not meet successWhen value < 0.05"},
		{"failWhen alone, good", metric(failOnly), Values(0.1), nil, "Success", "", "0.1", "does not meet failWhen"},
		{"failWhen alone, bad", metric(failOnly), Values(0.2), nil, "Failure", "", "0.2", "meets failWhen value > 0.1"},
		{"neither", metric(both), Values(0.07), nil, "Inconclusive", "", "0.07", "meets neither successWhen value < 0.05 nor failWhen value > 0.1"},
		{"failWhen wins", metric(func(m *v1alpha1.Metric) { m.FailWhen = "value < 0.02" }), Values(0.01), nil, "Failure", "", "0.01", "meets failWhen"},

		{"empty", metric(), Sample{}, nil, "Pending", ReasonNoData, "", "no data"},
		{"NaN", metric(), Values(nan), nil, "Pending", ReasonNoData, "NaN", "no data (the value is NaN)"},
		{"infinite", metric(), Values(inf), nil, "Error", ReasonNonFinite, "+Inf", "value +Inf is not finite"},
		{"minus infinite", metric(), Values(-inf), nil, "Error", ReasonNonFinite, "-Inf", "not finite"},
		{"NaN as an error", metric(nonFinite(v1alpha1.NonFiniteError)), Values(nan), nil, "Error", ReasonNonFinite, "NaN", "not finite"},
		{"infinite as an error", metric(nonFinite(v1alpha1.NonFiniteError)), Values(inf), nil, "Error", ReasonNonFinite, "+Inf", "not finite"},
		{"NaN evaluated", metric(nonFinite(v1alpha1.NonFiniteEvaluate)), Values(nan), nil, "Failure", "", "NaN", "does not meet"},
		{"minus infinite evaluated", metric(nonFinite(v1alpha1.NonFiniteEvaluate)), Values(-inf), nil, "Success", "", "-Inf", "meets"},
		{"huge", metric(), Values(1e308), nil, "Failure", "", "1e+308", "1e+308"},

		{"no data as a success", metric(noData(v1alpha1.NoDataSuccess, 0)), Sample{}, nil, "Success", ReasonNoData, "", "counts as a success"},
		{"no data as a failure", metric(noData(v1alpha1.NoDataFailure, 0)), Sample{}, nil, "Failure", ReasonNoData, "", "counts as a failure"},
		{"no data held at first", metric(noData(v1alpha1.NoDataFailure, time.Minute)), Sample{}, nil, "Pending", ReasonNoData, "", "no data"},
		{"no data after a while", metric(noData(v1alpha1.NoDataFailure, 10*time.Second)), Sample{}, nil, "Failure", ReasonNoData, "", "counts as a failure"},
		{"no data held by policy", metric(noData(v1alpha1.NoDataHold, 0)), Sample{}, nil, "Pending", ReasonNoData, "", "no data"},

		{"several", metric(), Values(0.01, 0.02), nil, "Error", ReasonSeveralSeries, "0.01,0.02", "the result has 2 series"},
		{"all good", metric(series("All")), Values(0.01, 0.02), nil, "Success", "", "0.01,0.02", "2 of 2 series: value 0.01"},
		{"all, one bad", metric(series("All")), Values(0.01, 0.2, inf, nan, 0.07), nil, "Failure", "", "0.01,0.2,+Inf,NaN,0.07", "1 of 5 series: value 0.2"},
		{"all, one infinite", metric(series("All")), Values(0.01, inf, nan), nil, "Error", ReasonNonFinite, "0.01,+Inf,NaN", "1 of 3 series"},
		{"all, one NaN", metric(series("All")), Values(0.01, nan, 0.07), nil, "Pending", ReasonNoData, "0.01,NaN,0.07", "1 of 3 series"},
		{"all, one neither", metric(series("All")), Values(0.01, 0.07), nil, "Inconclusive", "", "0.01,0.07", "1 of 2 series"},
		{"any, one good", metric(series("Any")), Values(0.2, inf, 0.01), nil, "Success", "", "0.2,+Inf,0.01", "1 of 3 series: value 0.01"},
		{"any, all bad", metric(series("Any")), Values(0.2, 0.3), nil, "Failure", "", "0.2,0.3", "2 of 2 series"},
		{"any, bad and infinite", metric(series("Any")), Values(0.2, inf), nil, "Error", ReasonNonFinite, "0.2,+Inf", "1 of 2 series"},
		{"any, bad and NaN", metric(series("Any")), Values(0.2, nan), nil, "Inconclusive", "", "0.2,NaN", "0 of 2 series: no value succeeds and not all fail"},
		{"any, all NaN", metric(series("Any")), Values(nan, nan), nil, "Pending", ReasonNoData, "NaN,NaN", "2 of 2 series"},
		{"any, bad and neither", metric(series("Any")), Values(0.2, 0.07), nil, "Inconclusive", "", "0.2,0.07", "1 of 2 series"},

		{"warnings", metric(), warned, nil, "Error", ReasonWarnings, "0.01", "the result has warnings (1)"},
		{"warnings ignored", metric(func(m *v1alpha1.Metric) { m.Warnings = "Ignore" }), warned, nil, "Success", "", "0.01", "meets"},

		{"timeout", metric(), Sample{}, &Error{Reason: ReasonTimeout}, "Error", ReasonTimeout, "", "the query timed out"},
		{"deadline", metric(), Sample{}, context.DeadlineExceeded, "Error", ReasonTimeout, "", "the query timed out"},
		{"4xx", metric(), Sample{}, &Error{Reason: ReasonRefused, Status: 422}, "Error", ReasonRefused, "", "the server refused the query (HTTP 422)"},
		{"5xx", metric(), Sample{}, &Error{Reason: ReasonUnavailable, Status: 503}, "Error", ReasonUnavailable, "", "failed (HTTP 503)"},
		{"unknown error", metric(), Sample{}, errors.New("canary-secret"), "Error", ReasonUnavailable, "", "could not be reached"},
		{"condition fails", metric(func(m *v1alpha1.Metric) { m.SuccessWhen = "1 / int(value) > 0" }), Values(0), nil, "Error", ReasonCondition, "0", "could not be evaluated"},
		{"condition does not compile", metric(func(m *v1alpha1.Metric) { m.SuccessWhen = "nope" }), Values(0), nil, "Error", ReasonCondition, "0", "does not compile"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Fold(tc.metric, v1alpha1.MetricStatus{Name: "errors"}, t0, Result{
				Due: t0.Add(10 * time.Second), At: t0.Add(10 * time.Second), Query: "x", Sample: tc.sample, Err: tc.err,
			})
			m := s.Measurements[0]
			if m.Verdict != tc.want || m.Reason != string(tc.reason) || m.Value != tc.value {
				t.Errorf("got %s %q %q, want %s %q %q", m.Verdict, m.Reason, m.Value, tc.want, tc.reason, tc.value)
			}
			if !strings.Contains(s.Message, tc.message) || strings.Contains(s.Message, "secret") {
				t.Errorf("message %q, want %q in it", s.Message, tc.message)
			}
		})
	}
}

// fold folds one answer after the other, an interval apart, from 10 s on.
func fold(m *v1alpha1.Metric, s v1alpha1.MetricStatus, answers ...any) v1alpha1.MetricStatus {
	due := t0
	if s.LastMeasuredAt != nil {
		due = s.LastMeasuredAt.Time
	}
	for _, a := range answers {
		due = due.Add(10 * time.Second)
		r := Result{Due: due, At: due, Query: "x"}
		switch a := a.(type) {
		case error:
			r.Err = a
		case float64:
			r.Sample = Values(a)
		case string:
		}
		s = Fold(m, s, t0, r)
	}
	return s
}

const empty = "empty"

var down = &Error{Reason: ReasonUnavailable, Status: 503}

func TestFoldCountsAndVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		metric  *v1alpha1.Metric
		answers []any
		want    string // verdict, successful, failed, inconclusive, withoutData, errors, in a row
		message string
	}{
		{"not yet", metric(), []any{0.01}, "Pending 1 0 0 0 0 0", "1 of 2 successful"},
		{"often enough", metric(), []any{0.01, 0.01}, "Success 2 0 0 0 0 0", "2 of 2 successful"},
		{"goes on", metric(), []any{0.01, 0.01, 0.01}, "Success 3 0 0 0 0 0", "3 of 2 successful"},
		{"first failure", metric(), []any{0.01, 0.2}, "Failure 1 1 0 0 0 0", "value 0.2 does not meet successWhen value < 0.05; 1 failed, limit 0"},
		{"failure is final", metric(), []any{0.2, 0.01, 0.01, 0.01}, "Failure 0 1 0 0 0 0", "limit 0"},
		{"failures allowed", metric(limit(2)), []any{0.2, 0.01, 0.2, 0.01}, "Success 2 2 0 0 0 0", "2 failed of 2 allowed"},
		{"one failure too many", metric(limit(2)), []any{0.2, 0.2, 0.2}, "Failure 0 3 0 0 0 0", "3 failed, limit 2"},
		{"late failure after success", metric(), []any{0.01, 0.01, 0.2}, "Failure 2 1 0 0 0 0", "1 failed"},
		{"inconclusive", metric(both), []any{0.07}, "Inconclusive 0 0 1 0 0 0", "1 inconclusive"},
		{"inconclusive, then not enough", metric(both), []any{0.07, 0.01}, "Pending 1 0 1 0 0 0", "1 inconclusive"},
		{"inconclusive holds after enough", metric(both), []any{0.01, 0.01, 0.07}, "Inconclusive 2 0 1 0 0 0", "neither"},
		{"inconclusive holds through silence", metric(both), []any{0.01, 0.01, 0.07, empty, down}, "Inconclusive 2 0 1 1 1 1", "1 without data"},
		{"inconclusive resolves", metric(both), []any{0.01, 0.01, 0.07, 0.01}, "Success 3 0 1 0 0 0", "3 of 2"},
		{"without data forever", metric(), []any{empty, empty, empty, empty, empty, empty}, "Pending 0 0 0 6 0 0", "6 without data"},
		{"without data counts for nothing", metric(), []any{0.01, empty, 0.01, empty}, "Success 2 0 0 2 0 0", "no data"},
		{"without data as failures", metric(noData("Failure", 15*time.Second), limit(1)), []any{empty, empty, empty}, "Failure 0 2 0 3 0 0", "2 failed, limit 1"},
		{"without data as successes", metric(noData("Success", 15*time.Second)), []any{empty, empty, empty}, "Success 2 0 0 3 0 0", "2 of 2"},
		{"errors tolerated", metric(), []any{down}, "Pending 0 0 0 0 1 1", "1 errors in a row of 1 allowed"},
		{"errors tolerated after success", metric(), []any{0.01, 0.01, down}, "Success 2 0 0 0 1 1", "2 of 2"},
		{"too many errors in a row", metric(), []any{0.01, 0.01, down, down}, "Error 2 0 0 0 2 2", "(HTTP 503); 2 errors in a row, limit 1: the step is held"},
		{"errors apart", metric(), []any{down, 0.01, down, 0.01, down}, "Success 2 0 0 0 3 1", "of 1 allowed"},
		{"no data ends a row of errors", metric(), []any{down, empty, down}, "Pending 0 0 0 1 2 1", "of 1 allowed"},
		{"held, then recovers", metric(), []any{down, down, down, 0.01, 0.01}, "Success 2 0 0 0 3 0", "2 of 2"},
		{"held, then fails", metric(), []any{down, down, 0.2}, "Failure 0 1 0 0 2 0", "1 failed"},
		{"abort is final", metric(abort), []any{down, down, 0.01, 0.01}, "Error 0 0 0 0 2 2", "2 errors in a row, limit 1: the release is aborted"},
		{"errors never succeed", metric(func(m *v1alpha1.Metric) { m.ConsecutiveErrorLimit = ptr.To[int32](1000) }), []any{down, down, down, down}, "Pending 0 0 0 0 4 4", "of 1000 allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fold(tc.metric, v1alpha1.MetricStatus{Name: "errors"}, tc.answers...)
			got := fmt.Sprintf("%s %d %d %d %d %d %d",
				s.Verdict, s.Successful, s.Failed, s.Inconclusive, s.WithoutData, s.Errors, s.ConsecutiveErrors)
			if got != tc.want {
				t.Errorf("got %s, want %s (%s)", got, tc.want, s.Message)
			}
			if !strings.Contains(s.Message, tc.message) {
				t.Errorf("message %q, want %q in it", s.Message, tc.message)
			}
		})
	}
}

func TestFoldIsIdempotent(t *testing.T) {
	m := metric()
	r := Result{Due: t0.Add(10*time.Second + 123*time.Nanosecond), At: t0.Add(10 * time.Second), Sample: Values(0.01)}
	once := Fold(m, v1alpha1.MetricStatus{Name: "errors"}, t0, r)
	twice := Fold(m, once, t0, r)
	if once.Successful != 1 || twice.Successful != 1 || len(twice.Measurements) != 1 {
		t.Errorf("folded twice: %+v", twice)
	}
	r.Due = t0.Add(5 * time.Second)
	if s := Fold(m, once, t0, r); s.Successful != 1 {
		t.Errorf("folded an older one: %+v", s)
	}
	r.Due = t0.Add(-time.Second)
	if s := Fold(m, v1alpha1.MetricStatus{}, t0, r); s.Successful != 0 {
		t.Errorf("folded one from before the step: %+v", s)
	}
}

func TestFoldKeepsEvidenceBounded(t *testing.T) {
	m := metric(func(m *v1alpha1.Metric) {
		m.Series = v1alpha1.SeriesAll
		m.SuccessWhen = "value < 1e300 || " + strings.Repeat("é", 10) + "x == 1.0"
	})
	m.SuccessWhen = "value < 1e300 && " + strings.Repeat("value < 1e300 && ", 50) + "true"
	s := v1alpha1.MetricStatus{Name: "errors"}
	values := make([]float64, 500)
	for i := range values {
		values[i] = float64(i) + 0.123456789
	}
	for i := range 25 {
		due := t0.Add(time.Duration(i) * time.Second)
		s = Fold(m, s, t0, Result{Due: due, At: due, Query: strings.Repeat("ü", 20000), Sample: Values(values...)})
	}
	if len(s.Measurements) != 10 || !s.Measurements[9].At.Time.Equal(t0.Add(24*time.Second)) {
		t.Errorf("kept %d measurements, the latest of %s", len(s.Measurements), s.Measurements[9].At)
	}
	if n := len([]rune(s.Query)); n > 16384 {
		t.Errorf("query of %d characters", n)
	}
	if n := len([]rune(s.Measurements[0].Value)); n > 256 || !strings.HasSuffix(s.Measurements[0].Value, ",…") {
		t.Errorf("value of %d characters: %s", n, s.Measurements[0].Value)
	}
	if n := len([]rune(s.Message)); n > 512 {
		t.Errorf("message of %d characters", n)
	}
}

func step(index int32, since time.Duration) v1alpha1.AnalysisStep {
	return v1alpha1.AnalysisStep{Index: index, Name: fmt.Sprintf("s%d", index), Since: metav1.MicroTime{Time: t0.Add(since)}}
}

func TestEnterResetsTheStepAndKeepsTheAttempt(t *testing.T) {
	metrics := []v1alpha1.Metric{*metric(both, limit(5))}
	status := v1alpha1.AnalysisRunStatus{}
	if !Enter(&status, metrics, step(0, 0)) {
		t.Fatal("the first step is no change")
	}
	status.Metrics[0] = fold(&metrics[0], status.Metrics[0], 0.01, 0.01, 0.2, 0.07, empty, down)
	if Enter(&status, metrics, step(0, 0)) || status.Metrics[0].Successful != 2 {
		t.Fatal("entered the same step again")
	}
	for _, next := range []v1alpha1.AnalysisStep{step(1, time.Hour), step(1, 2*time.Hour)} {
		before := status.Metrics[0]
		if !Enter(&status, metrics, next) {
			t.Fatal("another stay is no change")
		}
		s := status.Metrics[0]
		if s.Successful != 0 || s.Inconclusive != 0 || s.WithoutData != 0 || s.LastMeasuredAt != nil || s.Verdict != v1alpha1.VerdictPending {
			t.Errorf("counters of the step stay: %+v", s)
		}
		if s.Failed != 1 || s.Errors != 1 || s.ConsecutiveErrors != 1 || len(s.Measurements) != len(before.Measurements) {
			t.Errorf("counters of the attempt are lost: %+v", s)
		}
	}
}

func TestFailureIsFinalOverSteps(t *testing.T) {
	metrics := []v1alpha1.Metric{*metric()}
	status := v1alpha1.AnalysisRunStatus{}
	Enter(&status, metrics, step(0, 0))
	status.Metrics[0] = fold(&metrics[0], status.Metrics[0], 0.2)
	message := status.Metrics[0].Message
	Enter(&status, metrics, step(1, time.Hour))
	if s := status.Metrics[0]; s.Verdict != v1alpha1.VerdictFailure || s.Message != message || s.LastMeasuredAt == nil {
		t.Errorf("the failure is lost: %+v", s)
	}
}

func TestWorst(t *testing.T) {
	for _, tc := range []struct {
		want     v1alpha1.Verdict
		verdicts []v1alpha1.Verdict
	}{
		{"Pending", nil},
		{"Success", []v1alpha1.Verdict{"Success", "Success"}},
		{"Pending", []v1alpha1.Verdict{"Success", "Pending"}},
		{"Pending", []v1alpha1.Verdict{"Success", ""}},
		{"Inconclusive", []v1alpha1.Verdict{"Pending", "Inconclusive", "Success"}},
		{"Error", []v1alpha1.Verdict{"Inconclusive", "Error", "Success"}},
		{"Failure", []v1alpha1.Verdict{"Error", "Failure", "Success"}},
	} {
		if got := Worst(tc.verdicts...); got != tc.want {
			t.Errorf("worst of %v is %s, want %s", tc.verdicts, got, tc.want)
		}
	}
}

func TestDecision(t *testing.T) {
	second := func(m *v1alpha1.Metric) { m.Name = "latency" }
	run := func(metrics []v1alpha1.Metric, answers ...[]any) *v1alpha1.AnalysisRun {
		r := &v1alpha1.AnalysisRun{Spec: v1alpha1.AnalysisRunSpec{Metrics: metrics}}
		Enter(&r.Status, metrics, step(1, 0))
		for i, a := range answers {
			r.Status.Metrics[i] = fold(&metrics[i], r.Status.Metrics[i], a...)
		}
		Summarize(&r.Status, metrics)
		return r
	}
	good, bad, broken := []any{0.01, 0.01}, []any{0.2}, []any{down, down}
	two := []v1alpha1.Metric{*metric(both), *metric(both, second)}
	for _, tc := range []struct {
		name    string
		run     *v1alpha1.AnalysisRun
		step    v1alpha1.AnalysisStep
		want    v1alpha1.Verdict
		abort   bool
		reason  string
		message string
	}{
		{"no run", nil, step(1, 0), "Pending", false, v1alpha1.ReasonAnalysing, "no metric"},
		{"empty run", &v1alpha1.AnalysisRun{}, step(1, 0), "Pending", false, v1alpha1.ReasonAnalysing, "not measured"},
		{"passed", run(two, good, good), step(1, 0), "Success", false, v1alpha1.ReasonPassing, "all 2 metrics passed"},
		{"another step", run(two, good, good), step(2, 0), "Pending", false, v1alpha1.ReasonAnalysing, "not measured"},
		{"another stay", run(two, good, good), step(1, time.Second), "Pending", false, v1alpha1.ReasonAnalysing, "not measured"},
		{"one pending", run(two, good, []any{0.01}), step(1, 0), "Pending", false, v1alpha1.ReasonAnalysing, "latency: value 0.01"},
		{"one not measured", run(two, good), step(1, 0), "Pending", false, v1alpha1.ReasonAnalysing, "latency: not measured"},
		{"one inconclusive", run(two, []any{0.07}, []any{0.01}), step(1, 0), "Inconclusive", false, v1alpha1.ReasonAnalysing, "errors: "},
		{"one in error", run(two, []any{0.07}, broken), step(1, 0), "Error", false, v1alpha1.ReasonAnalysisError, "latency: "},
		{"in error at another step", run(two, []any{0.07}, broken), step(2, 0), "Pending", false, v1alpha1.ReasonAnalysing, ""},
		{"one failed", run(two, broken, bad), step(1, 0), "Failure", true, v1alpha1.ReasonAnalysisFailed, "latency: value 0.2 meets failWhen"},
		{"failed at another step", run(two, good, bad), step(7, time.Hour), "Failure", true, v1alpha1.ReasonAnalysisFailed, "latency: "},
		{"error that aborts", run([]v1alpha1.Metric{*metric(), *metric(abort, second)}, broken, broken), step(1, 0), "Error", true, v1alpha1.ReasonAnalysisError, "latency: the server"},
		{"error that aborts, another step", run([]v1alpha1.Metric{*metric(abort)}, broken), step(4, 0), "Error", true, v1alpha1.ReasonAnalysisError, "aborted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, abort, reason, message := Decision(tc.run, tc.step)
			if v != tc.want || abort != tc.abort || reason != tc.reason || !strings.Contains(message, tc.message) {
				t.Errorf("got %s %v %s %q, want %s %v %s %q", v, abort, reason, message, tc.want, tc.abort, tc.reason, tc.message)
			}
		})
	}
}

func TestErrorsHaveReasonsAndPredicates(t *testing.T) {
	wrapped := fmt.Errorf("query: %w", &Error{Reason: ReasonUnauthorized, Status: 401})
	if !IsRefused(wrapped) || !IsUnauthorized(wrapped) || IsUnavailable(wrapped) || IsTimeout(wrapped) || IsMalformed(wrapped) || IsTooLarge(wrapped) {
		t.Error("401 is not told from others")
	}
	if !IsTimeout(context.DeadlineExceeded) || IsTimeout(nil) || IsRefused(nil) {
		t.Error("a deadline, or nil, is misread")
	}
	for _, r := range Reasons() {
		if r.Sentence() == "" || r.Sentence() == Reason("?").Sentence() {
			t.Errorf("%s has no sentence", r)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	e := Endpoint{Username: "u", Password: "canary-secret", Bearer: "canary-secret"}
	for _, text := range []string{fmt.Sprint(e), fmt.Sprintf("%+v %#v %s %q %x", e, e, e.Bearer, e.Bearer, e.Bearer)} {
		if strings.Contains(text, "canary-secret") || strings.Contains(text, fmt.Sprintf("%x", "canary-secret")) {
			t.Errorf("printed: %s", text)
		}
	}
	if b, err := e.Bearer.MarshalText(); err != nil || string(b) != "[hidden]" {
		t.Errorf("marshals as %s, %v", b, err)
	}
}

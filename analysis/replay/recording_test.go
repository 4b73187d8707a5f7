package replay

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestRecordingAnswersTheSame holds that an answer survives being recorded: numbers to
// the last bit, errors with their reason, warnings by their number.
func TestRecordingAnswersTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1)}))
		labels := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3)
		sample := analysis.Sample{
			Series: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) analysis.Series {
				return analysis.Series{Labels: labels.Draw(rt, "labels"), Value: value.Draw(rt, "value")}
			}), 0, 4).Draw(rt, "series"),
			Warnings: rapid.SliceOfN(rapid.Just(""), 0, 3).Draw(rt, "warnings"),
		}
		matrix := analysis.Matrix{Warnings: sample.Warnings}
		for _, s := range sample.Series {
			matrix.Series = append(matrix.Series, analysis.RawSeries{Labels: s.Labels, Points: []analysis.Point{{At: rapid.Int64().Draw(rt, "at"), Value: s.Value}}})
		}
		var answer error
		if rapid.Bool().Draw(rt, "error") {
			answer = &analysis.Error{Reason: rapid.SampledFrom(analysis.Reasons()).Draw(rt, "reason"), Status: rapid.IntRange(0, 599).Draw(rt, "status")}
		}
		asked := analysis.Query{Expr: rapid.String().Draw(rt, "expr"), At: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(rt, "time")), Lookback: time.Minute, Timeout: time.Hour}
		p := fake.Raw{
			Provider: fake.New(func(context.Context, analysis.Query) (analysis.Sample, error) { return sample, answer }),
			Samples:  func(context.Context, analysis.Query) (analysis.Matrix, error) { return matrix, answer },
		}
		var out bytes.Buffer
		recorder, err := NewRecorder(p, &out, input())
		if err != nil {
			rt.Fatal(err)
		}
		s1, e1 := recorder.Query(t.Context(), asked)
		m1, e2 := recorder.ReadRaw(t.Context(), asked)
		recording, err := Load(&out)
		if err != nil {
			rt.Fatal(err)
		}
		asked.Timeout = 0 // How long one waits is no part of a question.
		s2, e3 := recording.Query(t.Context(), asked)
		m2, e4 := recording.ReadRaw(t.Context(), asked)
		same := cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
		if diff := cmp.Diff([]any{e1, e2}, []any{e3, e4}); diff != "" {
			rt.Fatal(diff)
		}
		if answer != nil {
			return
		}
		if diff := cmp.Diff([]any{s1, m1}, []any{s2, m2}, same); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestRecordingsThatAreNone(t *testing.T) {
	const head = `{"sluiceReplay":1,"input":{"namespace":"n"}}` + "\n"
	for text, says := range map[string]string{
		"":                                      "no recording of a replay",
		"{}":                                    "has version 0, and must have 1",
		`{"sluiceReplay":2,"input":{}}`:         "has version 2, and must have 1",
		head + `{"kind":"range"}`:               `answer 1 of the recording: kind "range" is unknown`,
		head + `{"kind":"raw","error":"Tired"}`: `error "Tired" is unknown`,
		head + `{"kind":"sample","series":[{"value":"x"}]}`:                                     `value "x" is no number`,
		head + `{"kind":"raw","series":[{"points":[[1]]}]}`:                                     "a time and a value",
		head + `{"kind":"raw","series":[{"points":[[1,"x"]]}]}`:                                 "invalid syntax",
		head + `{"kind":"raw","query":"a","at":1}` + "\n" + `{"kind":"raw","query":"a","at":1}`: "answer 2 of the recording: the same was answered before",
		head + `{"kind":"raw","query":"a"`:                                                      "unexpected EOF",
	} {
		if _, err := Load(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// open loads a recording of the tests.
func open(t *testing.T, name string) *Recording {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOtherPoliciesOnARecording holds that a recording has what a policy asks that
// aborts later, or never.
func TestOtherPoliciesOnARecording(t *testing.T) {
	r := open(t, "bad-five-times")
	r.Input.Spec.Metrics[0].Compare = &v1alpha1.Compare{Tolerance: "20", Unacceptable: "50", MinRequests: 50}
	report, err := Run(t.Context(), r.Input, r)
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != v1alpha1.VerdictSuccess || report.Steps[0].Passed == nil {
		t.Errorf("got %s: %s", report.Verdict, report.Message)
	}
	r.Input.Spec.Metrics[1].Interval = dur(45 * time.Second)
	var missing *MissingError
	if _, err := Run(t.Context(), r.Input, r); !errors.As(err, &missing) {
		t.Errorf("with another interval: %v", err)
	}
}

// TestTodaysErrorsAreNoEvidence holds that a replay ends when the server cannot be
// asked, and judges what it answers.
func TestTodaysErrorsAreNoEvidence(t *testing.T) {
	for _, reason := range analysis.Reasons() {
		answer := &analysis.Error{Reason: reason, Status: 400}
		p := fake.Raw{
			Provider: fake.New(func(context.Context, analysis.Query) (analysis.Sample, error) { return analysis.Sample{}, answer }),
			Samples:  func(context.Context, analysis.Query) (analysis.Matrix, error) { return analysis.Matrix{}, answer },
		}
		_, err := Run(t.Context(), input(), Past{Server: p})
		var access *AccessError
		switch reason {
		case analysis.ReasonTimeout, analysis.ReasonUnauthorized, analysis.ReasonRedirected, analysis.ReasonUnavailable,
			analysis.ReasonAddressRefused, analysis.ReasonProviderInvalid:
			if !errors.As(err, &access) || access.Reason != reason {
				t.Errorf("%s: %v", reason, err)
			}
		default:
			if err != nil {
				t.Errorf("%s: %v", reason, err)
			}
		}
	}
	for status, judged := range map[int]bool{400: true, 422: true, 404: false, 405: false, 429: false} {
		nowhere := fake.New(func(context.Context, analysis.Query) (analysis.Sample, error) {
			return analysis.Sample{}, &analysis.Error{Reason: analysis.ReasonRefused, Status: status}
		})
		var access *AccessError
		if _, err := (Past{Server: nowhere}).Query(t.Context(), analysis.Query{}); errors.As(err, &access) == judged {
			t.Errorf("HTTP %d: %v", status, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, input(), fake.Stalled()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestInputsThatMakeNoSense(t *testing.T) {
	for says, spoil := range map[string]func(*Input){
		"namespace":                 func(in *Input) { in.Namespace = "" },
		"both revisions":            func(in *Input) { in.Spec.Subject.StableRevision = "" },
		"the same revision":         func(in *Input) { in.Spec.Subject.StableRevision = canaryRev },
		"no metric":                 func(in *Input) { in.Spec.Metrics = nil },
		"no step":                   func(in *Input) { in.Steps = nil },
		"not before its end":        func(in *Input) { in.To = in.Steps[1].Since.Time },
		"step first begins":         func(in *Input) { in.Steps[0].Since = in.Steps[1].Since },
		"threshold is 1":            func(in *Input) { in.Rule.Threshold = 1 },
		"window of the threshold":   func(in *Input) { in.Rule.Window = time.Millisecond },
		"unknown placeholder":       func(in *Input) { in.Spec.Metrics[1].Query = "{{nonsense}}" },
		"more than 100000 measured": nil,
	} {
		in := input()
		if spoil == nil {
			in.To, in.Spec.Metrics[1].Interval = t0.Add(28*time.Hour), dur(time.Second)
			says = "more than 100000 measurements"
		} else {
			spoil(in)
		}
		if _, err := Run(t.Context(), in, fake.Always(0.1)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// TestNotes holds what is said of data that is not there.
func TestNotes(t *testing.T) {
	up := func(then, end bool) func(context.Context, analysis.Query) (analysis.Sample, error) {
		return func(_ context.Context, q analysis.Query) (analysis.Sample, error) {
			switch {
			case strings.HasPrefix(q.Expr, "count by"):
				if !strings.Contains(q.Expr, `destination_workload="checkout"}[1201s]`) {
					t.Errorf("asked %s", q.Expr)
				}
				if !then {
					return analysis.Sample{}, nil
				}
				return analysis.Sample{Series: []analysis.Series{
					{Labels: map[string]string{"destination_canonical_revision": "v2"}}, {Labels: map[string]string{"destination_canonical_revision": "v1"}}, {},
				}}, nil
			case strings.HasPrefix(q.Expr, "count(") && (q.At.Equal(t0) && then || q.At.After(t0) && end):
				return analysis.Values(3), nil
			}
			return analysis.Sample{}, nil
		}
	}
	none := func(context.Context, analysis.Query) (analysis.Matrix, error) { return analysis.Matrix{}, nil }
	for name, tc := range map[string]struct {
		then, end bool
		want      string
	}{
		"all there":        {true, true, ""},
		"kept too shortly": {false, true, `no sample of "up" at 2026-03-01T12:00:00Z, and has some at 2026-03-01T12:20:00Z`},
		"nothing":          {false, false, `no sample of "up" between`},
	} {
		t.Run(name, func(t *testing.T) {
			in, p := input(), fake.Raw{Provider: fake.New(up(tc.then, tc.end)), Samples: none}
			report, err := Run(t.Context(), in, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := report.Explain(t.Context(), in, p); err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(report.Notes, "\n")
			for _, want := range []string{
				`errors: no request of the canary, revision 7c9b, was found; looked for istio_requests_total{reporter="source"`,
				map[bool]string{true: "The revisions that were counted in that time are v1, v2.", false: "There is no such series of any revision"}[tc.then], "p99: there was never any data; looked for p99{", tc.want,
			} {
				if !strings.Contains(notes, want) {
					t.Errorf("%q is missing in:\n%s", want, notes)
				}
			}
			if tc.want == "" && strings.Contains(notes, `"up"`) {
				t.Error(notes)
			}
		})
	}
	full, in := open(t, "good"), input()
	report, err := Run(t.Context(), in, full)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Explain(t.Context(), in, nil); err != nil || len(report.Notes) > 0 {
		t.Errorf("of data that is there: %v, %v", report.Notes, err)
	}
}

// TestAsksAsTheOperatorDoes holds the questions of a replay: none for a moment after
// the one at which it is asked, and none that sees what was before the step.
func TestAsksAsTheOperatorDoes(t *testing.T) {
	p := fake.Always(0.1)
	in := input()
	in.Spec.Metrics = in.Spec.Metrics[1:]
	if _, err := Run(t.Context(), in, p); err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, q := range p.Queries() {
		at = append(at, q.At.Format(time.TimeOnly)+" "+q.Expr[len(`p99{revision="7c9b"}`):])
	}
	want := []string{
		"12:01:00 [60s]", "12:02:00 [120s]", "12:03:00 [180s]", "12:04:00 [240s]", "12:05:00 [300s]", "12:06:00 [300s]", "12:07:00 [300s]",
		"12:08:00 [300s]", "12:09:00 [300s]", // the second step begins at 12:10
		"12:11:00 [60s]", "12:12:00 [120s]", "12:13:00 [180s]", "12:14:00 [240s]", "12:15:00 [300s]", "12:16:00 [300s]", "12:17:00 [300s]",
		"12:18:00 [300s]", "12:19:00 [300s]", "12:20:00 [300s]",
	}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Error(diff)
	}
}

// TestAStepThatWasNotMeasuredIsNotPassed holds that a verdict is that of the last step.
func TestAStepThatWasNotMeasuredIsNotPassed(t *testing.T) {
	r := open(t, "good")
	r.Input.To = r.Input.Steps[1].Since.Add(30 * time.Second)
	report, err := Run(t.Context(), r.Input, r)
	if err != nil {
		t.Fatal(err)
	}
	if report.Steps[0].Passed == nil || report.Steps[1].Passed != nil || report.Verdict != v1alpha1.VerdictPending || report.Decision != nil {
		t.Errorf("got %s at %+v: %s", report.Verdict, report.Decision, report.Message)
	}
	r.Input.To = r.Input.Steps[0].Since.Add(10 * time.Second)
	r.Input.Steps = r.Input.Steps[:1]
	if report, err = Run(t.Context(), r.Input, r); err != nil || report.Verdict != v1alpha1.VerdictPending || report.Message != "nothing was due to be measured" {
		t.Errorf("got %+v, %v", report, err)
	}
}

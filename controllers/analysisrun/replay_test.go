package analysisrun

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// instant is what a run said at a time.
type instant struct {
	At     time.Time
	Status v1alpha1.AnalysisRunStatus
}

// said keeps what a replay says too: conditions are of the live object alone.
func said(at time.Time, s *v1alpha1.AnalysisRunStatus) instant {
	i := instant{At: at.UTC(), Status: *s.DeepCopy()}
	i.Status.Conditions, i.Status.ObservedGeneration = nil, 0
	return i
}

// live takes an input through the reconciler and the measurer, on a clock that a test
// holds, and returns each status that came of an answer.
func live(t *testing.T, in *replay.Input, p analysis.Provider) []instant {
	t.Helper()
	owner := rollout(in.Spec.Subject.Rollout, t0)
	owner.Status = v1alpha1.RolloutStatus{
		Stable: &v1alpha1.RevisionStatus{Revision: in.Spec.Subject.StableRevision},
		Canary: &v1alpha1.RevisionStatus{Revision: in.Spec.Subject.CanaryRevision}, Attempt: 1,
	}
	ar := run(in.Spec.Subject.Rollout)
	ar.Spec = *in.Spec.DeepCopy()
	r := newRig(t, owner, ar)
	r.measurer = newMeasurer(r.clock, &Providers{fallback: p, timeout: replay.DefaultTimeout, clock: r.clock}, limits{1, 1})
	var all []instant
	for i, step := range in.Steps {
		r.clock.SetTime(step.Since.Time)
		owner.Status.Step = &v1alpha1.StepStatus{Index: step.Index, Name: step.Name, Weight: 20, EnteredAt: step.Since, InForceSince: &step.Since}
		if err := r.server.Status().Update(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		r.reconcile(ar)
		last, until := i == len(in.Steps)-1, in.To
		if !last {
			until = in.Steps[i+1].Since.Time
		}
		for !completed(r.get(ar)) {
			due := r.earliest(ar)
			if due.IsZero() || due.After(until) || !last && due.Equal(until) {
				break
			}
			r.clock.SetTime(later(r.clock.Now(), due))
			r.answerDue(ar)
			r.reconcile(ar)
			newest := r.runs.Named(client.ObjectKeyFromObject(ar))
			if newest == nil { // It completed, and was forgotten.
				newest = r.get(ar)
			}
			all = append(all, said(r.clock.Now(), &newest.Status))
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earliest is when something is due next; zero when nothing is.
func (r *rig) earliest(ar *v1alpha1.AnalysisRun) (due time.Time) {
	planned := r.measurer.runs[client.ObjectKeyFromObject(ar)]
	if planned == nil {
		return due
	}
	for _, e := range planned.entries {
		if due.IsZero() || e.Due.Before(due) {
			due = e.Due
		}
	}
	return due
}

// answerDue has the measurer measure all that is due.
func (r *rig) answerDue(ar *v1alpha1.AnalysisRun) {
	r.t.Helper()
	r.dispatch()
	for _, e := range r.measurer.runs[client.ObjectKeyFromObject(ar)].entries {
		if e.state != stateQueued {
			continue
		}
		result, err := r.measurer.measure(r.t.Context(), e.task)
		if err != nil {
			r.t.Fatal(err)
		}
		e.state, e.result = stateAnswered, result
	}
}

// replayed takes an input through a replay.
func replayed(t *testing.T, in *replay.Input, p analysis.Provider) ([]instant, *replay.Report) {
	t.Helper()
	var all []instant
	in.Watch = func(at time.Time, s *v1alpha1.AnalysisRunStatus) { all = append(all, said(at, s)) }
	report, err := replay.Run(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	return all, report
}

// TestReplayOfRecordingsAgrees holds that a replay says of a recorded release, at every
// moment and to the last bit of its evidence, what the controller says.
func TestReplayOfRecordingsAgrees(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "analysis", "replay", "testdata", "*.jsonl"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			recording, err := replay.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			got, report := replayed(t, recording.Input, recording)
			want := live(t, recording.Input, recording)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("live -, replayed +:\n%s", diff)
			}
			if end := want[len(want)-1]; end.Status.Verdict != report.Verdict || report.Aborts && !report.Decision.At.Equal(end.At) {
				t.Errorf("live %s at %s, reported %s at %+v", end.Status.Verdict, end.At, report.Verdict, report.Decision)
			}
		})
	}
}

// TestReplayAgrees holds the same of arbitrary metrics and answers.
func TestReplayAgrees(t *testing.T) {
	verdicts := map[v1alpha1.Verdict]int{}
	rapid.Check(t, func(rt *rapid.T) {
		in, answers := drawInput(rt), &oracle{seed: rapid.Uint64().Draw(rt, "seed"), trouble: rapid.IntRange(0, 3).Draw(rt, "trouble")}
		got, _ := replayed(t, in, answers)
		want := live(t, in, answers)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("live -, replayed +:\n%s", diff)
		}
		for i := range want {
			verdicts[want[i].Status.Verdict]++
		}
	})
	for _, v := range []v1alpha1.Verdict{v1alpha1.VerdictSuccess, v1alpha1.VerdictFailure, v1alpha1.VerdictError, v1alpha1.VerdictInconclusive, v1alpha1.VerdictPending} {
		if verdicts[v] == 0 {
			t.Errorf("no run said %s at any time: %v", v, verdicts)
		}
	}
}

func drawInput(t *rapid.T) *replay.Input {
	seconds := func(name string, least, most int) *metav1.Duration {
		return dur(time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Second)
	}
	first := t0.Add(time.Duration(rapid.IntRange(0, 60e6).Draw(t, "begin")) * time.Microsecond)
	in := &replay.Input{
		Namespace: namespace, Steps: []v1alpha1.AnalysisStep{{Name: "first", Since: micro(first)}},
		Spec: v1alpha1.AnalysisRunSpec{
			Subject: v1alpha1.AnalysisSubject{Rollout: "checkout", StableRevision: stableRev, CanaryRevision: canaryRev, Attempt: 1},
			Steps:   2,
			ComparisonPolicy: v1alpha1.ComparisonPolicy{
				Settle: seconds("settle", 0, 60), Lag: seconds("lag", 1, 40), MaxDuration: seconds("maxDuration", 60, 400),
				OnTimeout: rapid.SampledFrom([]v1alpha1.TimeoutPolicy{"", v1alpha1.TimeoutPause, v1alpha1.TimeoutAbort}).Draw(t, "onTimeout"),
			},
		},
	}
	in.To = first.Add(seconds("length", 1, 400).Duration)
	if rapid.Bool().Draw(t, "second step") {
		second := in.To
		in.Steps = append(in.Steps, v1alpha1.AnalysisStep{Index: 1, Name: "second", Since: micro(second)})
		in.To = second.Add(seconds("length", 1, 400).Duration)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "metrics") {
		m := v1alpha1.Metric{
			Name: fmt.Sprintf("m%d", i), Interval: seconds("interval", 10, 60), InitialDelay: seconds("initialDelay", 0, 60),
			ConsecutiveErrorLimit: ptr.To(int32(rapid.IntRange(0, 3).Draw(t, "errorLimit"))),
			OnError:               rapid.SampledFrom([]v1alpha1.ErrorPolicy{"", v1alpha1.ErrorAbort}).Draw(t, "onError"),
			NoData: &v1alpha1.NoData{
				Policy: rapid.SampledFrom([]v1alpha1.NoDataPolicy{"", v1alpha1.NoDataSuccess, v1alpha1.NoDataFailure}).Draw(t, "noData"),
				After:  seconds("noDataAfter", 0, 120),
			},
		}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			m.Builtin = &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio}
		case 1:
			m.Ratio = &v1alpha1.RatioMetric{Bad: `bad{r="{{revision}}"}`, Total: `all{r="{{revision}}"}`}
		default:
			m.Query = rapid.SampledFrom([]string{`a{r="{{canary}}"}`, `a{r="{{canary}}"}[{{window}}]`, `a[30s] offset 10s`}).Draw(t, "query")
			m.SuccessWhen, m.FailWhen = "value < 0.5", rapid.SampledFrom([]string{"", "value > 0.9"}).Draw(t, "failWhen")
			m.Count, m.FailureLimit = int32(rapid.IntRange(1, 4).Draw(t, "count")), int32(rapid.IntRange(0, 4).Draw(t, "failureLimit"))
			m.Series = rapid.SampledFrom([]v1alpha1.SeriesPolicy{"", v1alpha1.SeriesAll, v1alpha1.SeriesAny}).Draw(t, "series")
			m.NonFinite = rapid.SampledFrom([]v1alpha1.NonFinitePolicy{"", v1alpha1.NonFiniteError, v1alpha1.NonFiniteEvaluate}).Draw(t, "nonFinite")
		}
		in.Spec.Metrics = append(in.Spec.Metrics, m)
	}
	return in
}

// oracle gives an answer to every question: arbitrary, and always the same.
type oracle struct {
	seed uint64
	// trouble is in how many of ten answers there is something wrong.
	trouble int
}

// draw gives a number below n that is a function of a question.
func (o *oracle) draw(n int, what string, q analysis.Query) int {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s %s %d", o.seed, what, q.Expr, q.At.UnixMilli())
	return int(h.Sum64() % uint64(n))
}

// wrong gives an error now and then.
func (o *oracle) wrong(q analysis.Query) error {
	if o.draw(10, "wrong", q) >= o.trouble {
		return nil
	}
	reasons := []analysis.Reason{analysis.ReasonTimeout, analysis.ReasonRefused, analysis.ReasonTooLarge, analysis.ReasonUnavailable}
	return &analysis.Error{Reason: reasons[o.draw(len(reasons), "reason", q)]}
}

func (o *oracle) Query(_ context.Context, q analysis.Query) (analysis.Sample, error) {
	if err := o.wrong(q); err != nil {
		return analysis.Sample{}, err
	}
	s := analysis.Values([]float64{0.1, 0.2, 0.3, 0.7, 0.95, math.NaN(), math.Inf(1)}[o.draw(5+min(o.trouble, 2), "value", q)])
	switch o.draw(20, "series", q) {
	case 0:
		s.Series = nil
	case 1:
		s.Series = slices.Concat(s.Series, s.Series)
	case 2:
		s.Warnings = []string{"partial"}
	}
	return s, nil
}

var inRange = regexp.MustCompile(`\[(\d+)ms\]$`)

func (o *oracle) ReadRaw(_ context.Context, q analysis.Query) (analysis.Matrix, error) {
	if err := o.wrong(q); err != nil {
		return analysis.Matrix{}, err
	}
	found := inRange.FindStringSubmatch(q.Expr)
	if found == nil {
		return analysis.Matrix{}, errors.New("no range")
	}
	length, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return analysis.Matrix{}, err
	}
	all, m := istioCounters(q, float64(o.seed%10)), analysis.Matrix{}
	for i, s := range all.Series {
		if !strings.HasPrefix(q.Expr, "istio_requests_total") { // one counter of one revision
			if i != 0 {
				break
			}
			if strings.HasPrefix(q.Expr, "bad") {
				for p := range s.Points {
					s.Points[p].Value = math.Floor(s.Points[p].Value / 50)
				}
			}
		}
		s.Points = slices.DeleteFunc(s.Points, func(p analysis.Point) bool { return p.At <= q.At.UnixMilli()-length })
		if len(s.Points) > 0 {
			m.Series = append(m.Series, s)
		}
	}
	return m, nil
}

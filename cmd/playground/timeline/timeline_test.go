package timeline_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// tale is a release as its objects show it, told to a printer.
type tale struct {
	t        *testing.T
	printer  timeline.Printer
	narrator timeline.Narrator
	rollout  v1alpha1.Rollout
	run      v1alpha1.AnalysisRun
	now      time.Duration
	line     timeline.Line
}

func newTale(t *testing.T, out *bytes.Buffer, colour bool) *tale {
	s := &tale{t: t, printer: timeline.Printer{Out: out, Colour: colour}}
	s.line.Observed = math.NaN()
	s.rollout.UID = "1"
	s.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPromoted, "revision a is stable and has all traffic")
	s.run.Name = "shop-b-1"
	s.run.Spec.Metrics = []v1alpha1.Metric{
		{Name: "error-ratio", SuccessWhen: "value <= 0.05", Count: 2},
		{Name: "latency-p95", FailWhen: "value > 250.0", Count: 1},
	}
	s.see()
	s.tell(s.narrator.Split(timeline.Split{Stable: "a"}, timeline.Sluice))
	return s
}

func (s *tale) condition(kind string, status metav1.ConditionStatus, reason, message string) {
	s.rollout.Status.Conditions = []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: message}}
}

func (s *tale) transition(kind v1alpha1.TransitionType, step, reason, message string) {
	s.rollout.Status.History = append(s.rollout.Status.History, v1alpha1.Transition{
		At: metav1.MicroTime{Time: start.Add(s.now)}, Type: kind, Step: step, Reason: reason, Message: message,
	})
	s.line.Step = step
}

func (s *tale) see() { s.tell(s.narrator.Rollout(&s.rollout)) }

func (s *tale) split(weight int32, stable, canary string) {
	s.line.Asked = timeline.Split{Weight: weight, Stable: stable, Canary: canary}.Share("b")
	s.tell(s.narrator.Split(timeline.Split{Weight: weight, Stable: stable, Canary: canary}, timeline.Sluice))
}

// measure adds a measurement to a metric.
func (s *tale) measure(metric string, verdict v1alpha1.Verdict, value, reason string) {
	i := 0
	for i < len(s.run.Status.Metrics) && s.run.Status.Metrics[i].Name != metric {
		i++
	}
	if i == len(s.run.Status.Metrics) {
		s.run.Status.Metrics = append(s.run.Status.Metrics, v1alpha1.MetricStatus{Name: metric})
	}
	m := &s.run.Status.Metrics[i]
	switch verdict {
	case v1alpha1.VerdictSuccess:
		m.Successful++
	case v1alpha1.VerdictFailure:
		m.Failed++
	case v1alpha1.VerdictError, v1alpha1.VerdictInconclusive, v1alpha1.VerdictPending:
	}
	m.Measurements = append(m.Measurements, v1alpha1.Measurement{
		At: metav1.MicroTime{Time: start.Add(s.now)}, Verdict: verdict, Value: value, Reason: reason,
	})
}

func (s *tale) tell(notes []timeline.Note) {
	for _, n := range notes {
		l := s.line
		l.At, l.Note = s.now, n
		s.printer.Line(l)
	}
}

// begin tells a release up to its first measurements.
func (s *tale) begin() {
	s.printer.Title("a release of v2")
	s.printer.Header("v1", "v2")
	s.line.Asked, s.line.Observed = 0, 0
	s.now = 100 * time.Millisecond
	s.transition(v1alpha1.TransitionStarted, "smoke", v1alpha1.ReasonWaitingForPods, "revision b is released over a")
	s.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonWaitingForPods,
		"step smoke waits for pods:\n0 of 1 of revision b are available")
	s.see()
	s.split(0, "a", "b")
	s.now = 1200 * time.Millisecond
	s.split(10, "a", "b")
	s.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonShifting, "weight 10% is not in force yet")
	s.see()
	s.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonAnalysing, "step smoke is analysed")
	s.see()
	s.see() // the same again is not news
	s.now, s.line.Observed = 2300*time.Millisecond, 0.094
	s.line.Stable, s.line.Canary = timeline.Count{Requests: 310}, timeline.Count{Requests: 31}
	s.measure("latency-p95", v1alpha1.VerdictPending, "", "NoData")
	s.tell(s.narrator.Run(&s.run))
	s.tell(s.narrator.Run(&s.run)) // the same again is not news
}

func TestGoodRelease(t *testing.T) {
	var out bytes.Buffer
	s := newTale(t, &out, false)
	s.begin()
	s.now = 3300 * time.Millisecond
	s.measure("error-ratio", v1alpha1.VerdictSuccess, "0", "")
	s.measure("latency-p95", v1alpha1.VerdictSuccess, "0.9537500000000001", "")
	s.tell(s.narrator.Run(&s.run))
	s.now += time.Second
	s.measure("error-ratio", v1alpha1.VerdictSuccess, "0.01234567", "")
	s.measure("latency-p95", v1alpha1.VerdictError, "", "Timeout")
	s.tell(s.narrator.Run(&s.run))
	s.transition(v1alpha1.TransitionStepEntered, "promotion", v1alpha1.ReasonPromoting, "step smoke passed: all 2 metrics passed")
	s.see()
	s.now, s.line.Observed = 5900*time.Millisecond, 0.98
	s.split(100, "a", "b")
	s.split(100, "b", "b")
	s.transition(v1alpha1.TransitionPromoted, "", v1alpha1.ReasonPromoted, "revision b passed every step and replaces a")
	s.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPromoted, "revision b is stable and has all traffic")
	s.see()
	s.now, s.line.Observed = 7*time.Second, 1
	s.split(0, "b", "b")
	golden(t, "good.golden", out.Bytes())
}

func badRelease(t *testing.T, colour bool) []byte {
	var out bytes.Buffer
	s := newTale(t, &out, colour)
	s.begin()
	s.now, s.line.Observed = 3300*time.Millisecond, 0.104
	s.line.Canary = timeline.Count{Requests: 47, Failed: 10}
	s.measure("error-ratio", v1alpha1.VerdictFailure, "0.2631578947368421", "")
	s.tell(s.narrator.Run(&s.run))
	s.split(0, "a", "b")
	s.transition(v1alpha1.TransitionAborted, "", v1alpha1.ReasonAnalysisFailed,
		"error-ratio: value 0.2631578947368421 does not meet successWhen value <= 0.05; 1 failed, limit 0")
	s.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonAnalysisFailed, "revision b was aborted")
	s.see()
	return out.Bytes()
}

func TestBadRelease(t *testing.T) { golden(t, "bad.golden", badRelease(t, false)) }

func TestColours(t *testing.T) { golden(t, "colours.golden", badRelease(t, true)) }

// People act, and things break outside of releases.
func TestInterventions(t *testing.T) {
	var out bytes.Buffer
	s := newTale(t, &out, false)
	s.line.Asked = -1
	s.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRouteMissing, "VirtualService shop has no route primary")
	s.see()
	s.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPromoted, "revision a is stable and has all traffic")
	s.see()
	s.transition(v1alpha1.TransitionAborted, "", v1alpha1.ReasonAborted, "aborted in step smoke by ada (action x): tired")
	s.see()
	s.transition(v1alpha1.TransitionRetried, "smoke", v1alpha1.ReasonWaitingForPods, "attempt 2 was started by ada (action y)")
	s.now += time.Millisecond
	s.transition(v1alpha1.TransitionAborted, "", v1alpha1.ReasonProgressDeadlineExceeded, "0 of 1 pods are available")
	s.see()
	refused := &v1alpha1.RolloutAction{Spec: v1alpha1.RolloutActionSpec{Action: v1alpha1.ActionPromote}}
	s.tell(s.narrator.Action(refused))
	refused.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionRefused, Status: metav1.ConditionTrue, Message: "no release is in progress",
	}}
	s.tell(s.narrator.Action(refused))
	s.tell(s.narrator.Action(refused))
	golden(t, "interventions.golden", out.Bytes())
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		name  string
		split timeline.Split
		want  int32
	}{
		{"not bound", timeline.Split{Weight: 10}, 0},
		{"bound to the canary", timeline.Split{Weight: 10, Stable: "a", Canary: "b"}, 10},
		{"bound to both", timeline.Split{Weight: 30, Stable: "b", Canary: "b"}, 100},
		{"bound to stable", timeline.Split{Weight: 0, Stable: "b", Canary: "c"}, 100},
	} {
		if got := c.split.Share("b"); got != c.want {
			t.Errorf("%s: %d%%, want %d%%", c.name, got, c.want)
		}
	}
	if got := (timeline.Split{Weight: 10}).Share(""); got != 0 {
		t.Errorf("no revision: %d%%, want 0%%", got)
	}
}

func TestWriter(t *testing.T) {
	at := func(seconds int) *metav1.Time {
		return &metav1.Time{Time: start.Add(time.Duration(seconds) * time.Second)}
	}
	for _, c := range []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"nobody known", nil, timeline.Sluice},
		{"a person last", []metav1.ManagedFieldsEntry{{Manager: "sluice", Time: at(1)}, {Manager: "kubectl-patch", Time: at(2)}}, "kubectl-patch"},
		{"the operator last", []metav1.ManagedFieldsEntry{{Manager: "sluice", Time: at(3)}, {Manager: "kubectl-patch", Time: at(2)}}, timeline.Sluice},
		{"in the same second", []metav1.ManagedFieldsEntry{{Manager: "kubectl-patch", Time: at(2)}, {Manager: "sluice", Time: at(2)}}, timeline.Sluice},
	} {
		if got := timeline.Writer(&metav1.ObjectMeta{ManagedFields: c.entries}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

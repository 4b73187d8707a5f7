package show_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
)

// TestReplay compares what is drawn of a replay of each outcome.
func TestReplay(t *testing.T) {
	for _, name := range []string{"bad-five-times", "shared-outage"} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(filepath.Join("..", "..", "..", "..", "analysis", "replay", "testdata", name+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			recording, err := replay.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			report, err := replay.Run(t.Context(), recording.Input, recording)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, width := range []int{0, 80, 40} {
				fmt.Fprintf(&b, "=== width %d\n%s", width, show.Replay(draw.Screen{Width: width}, report, false))
			}
			golden(t, "replay-"+name, b.String())
		})
	}
	t.Run("others", func(t *testing.T) {
		golden(t, "replay-others", others())
	})
}

// others are the outcomes that are not in a recording: held, undecided, over midnight,
// and with nothing that a rule could judge.
func others() string {
	from := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
	report := &replay.Report{
		Namespace: "shop", Rollout: "checkout", Canary: "7c9b", Stable: "6d4f", From: from, To: from.Add(time.Hour),
		Verdict: v1alpha1.VerdictPending, Message: "p99: no data; 0 of 1 successful, 2 without data",
		Steps: []replay.StepReport{{Name: "first", Since: from}},
		Timeline: []replay.Moment{
			{At: from, Step: "first", Metric: "p99", Verdict: v1alpha1.VerdictPending, Message: "no data", Relevant: true},
			{At: from.Add(30 * time.Minute), Step: "first", Metric: "p99", Verdict: v1alpha1.VerdictPending, Message: "no data, again"},
		},
		Notes: []string{"p99: there was never any data; looked for \x1b[31mp99.", "Another note."},
	}
	var b strings.Builder
	fmt.Fprintf(&b, "=== undecided\n%s", show.Replay(draw.Screen{}, report, false))
	fmt.Fprintf(&b, "=== all\n%s", show.Replay(draw.Screen{}, report, true))
	report.Steps = append(report.Steps, replay.StepReport{Name: "half", Since: from.Add(30 * time.Minute)})
	report.Steps[0].Passed = &replay.Decision{At: from.Add(10 * time.Minute), Step: "first"}
	fmt.Fprintf(&b, "=== passed once\n%s", show.Replay(draw.Screen{}, report, false))
	report.Verdict, report.Notes = v1alpha1.VerdictInconclusive, nil
	report.Decision = &replay.Decision{At: from.Add(20 * time.Minute), Step: "half", After: "20m"}
	fmt.Fprintf(&b, "=== held\n%s", show.Replay(draw.Screen{Colour: true}, report, false))
	return b.String()
}

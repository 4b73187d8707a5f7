package report_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/cmd/playground/report"
)

var update = flag.Bool("update", false, "write the golden files")

func example() report.Demo {
	seconds, promoted, reaction := 1.45678, 11.24321, 0.61239
	return report.Demo{
		Good: report.Release{
			Outcome: report.Promoted, Reason: "Promoted", Message: "revision b passed every step and replaces a",
			Revision: "b", Stable: "a", Seconds: 15.28812, Weights: []int32{10, 30, 60, 100},
			Requests: map[string]int64{"a": 1562, "b": 1404}, Failed: map[string]int64{"a": 0, "b": 0},
			Versions: map[string]string{"a": "v1", "b": "v2"},
		},
		Bad: report.Release{
			Outcome: report.Aborted, Reason: "AnalysisFailed", Message: "error-ratio: value 0.25 does not meet successWhen value <= 0.05",
			Revision: "c", Stable: "b", Seconds: 3.2871, Weights: []int32{10, 0},
			Requests: map[string]int64{"b": 1124, "c": 48}, Failed: map[string]int64{"b": 0, "c": 11},
			Versions: map[string]string{"b": "v2", "c": "v3-errors-20"}, SecondsToRollback: &seconds,
		},
		Late: report.Release{
			Outcome: report.RolledBack, Reason: "AlertFiring", Message: "rolled back from d to b after its promotion by alert receiver",
			Revision: "d", Stable: "b", Seconds: 27.912, Weights: []int32{10, 30, 60, 100, 0},
			Requests: map[string]int64{"b": 2124, "d": 1948}, Failed: map[string]int64{"b": 0, "d": 112},
			Versions: map[string]string{"b": "v2", "d": "v4-errors-50-after-25s"}, SecondsPromoted: &promoted, SecondsToRollback: &reaction,
		},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestEncode(t *testing.T) {
	content, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "demo.golden.json", string(content))
}

func TestSummary(t *testing.T) { golden(t, "summary.golden", example().Summary()) }

func TestProblems(t *testing.T) {
	weights := []int32{10, 30, 60, 100}
	for _, c := range []struct {
		name   string
		change func(*report.Demo)
		want   string // in the only problem; empty for none
	}{
		{"all well", func(*report.Demo) {}, ""},
		{"good one aborted", func(d *report.Demo) { d.Good.Outcome = report.Aborted }, "not promoted but aborted"},
		{"good one without an end", func(d *report.Demo) { d.Good.Outcome = "" }, "came to no end"},
		{"a step skipped", func(d *report.Demo) { d.Good.Weights = []int32{10, 60, 100} }, "[10 60 100]"},
		{"a request lost", func(d *report.Demo) { d.Good.Failed["unknown"] = 1 }, "1 requests of revision unknown failed"},
		{"no request", func(d *report.Demo) { d.Good.Requests["b"] = 0 }, "got no request"},
		{"bad one promoted", func(d *report.Demo) { d.Bad.Outcome = report.Promoted }, "not aborted by its analysis but promoted"},
		{"bad one aborted by hand", func(d *report.Demo) { d.Bad.Reason = "Aborted" }, "not aborted by its analysis"},
		{"bad one keeps traffic", func(d *report.Demo) { d.Bad.Weights = []int32{10} }, "do not end with 0"},
		{"stable fails", func(d *report.Demo) { d.Bad.Failed["b"] = 2 }, "2 requests of revision v2 (b) failed"},
		{"lost on the way", func(d *report.Demo) { d.Bad.Lost = 3 }, "3 requests were lost"},
		{"nothing failed", func(d *report.Demo) { d.Bad.Failed["c"] = 0 }, "nothing was shown"},
		{"late one not taken back", func(d *report.Demo) { d.Late.Outcome = report.Promoted }, "not rolled back by an alert but promoted"},
		{"late one taken back by hand", func(d *report.Demo) { d.Late.Reason = "RolledBack" }, "not rolled back by an alert"},
		{"late one taken back too soon", func(d *report.Demo) { d.Late.Weights = []int32{10, 0} }, "and then 0"},
		{"late one fails others", func(d *report.Demo) { d.Late.Failed["b"] = 1 }, "1 requests of revision v2 (b) failed"},
		{"no alert", func(d *report.Demo) { d.Late.SecondsToRollback = nil }, "no alert was seen"},
		{"no bad sample", func(d *report.Demo) { d.Bad.SecondsToRollback = nil }, "no bad sample"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := example()
			c.change(&d)
			problems := append(d.Good.GoodProblems(weights), d.Bad.BadProblems("AnalysisFailed")...)
			problems = append(problems, d.Late.LateProblems(weights, "AlertFiring")...)
			switch {
			case c.want == "" && len(problems) > 0:
				t.Errorf("problems: %q", problems)
			case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.want)):
				t.Errorf("problems: %q, want one with %q", problems, c.want)
			}
		})
	}
}

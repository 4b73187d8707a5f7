package replay

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var update = flag.Bool("update", false, "write recordings and golden files")

// TestRecordings replays releases that were recorded.
func TestRecordings(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".jsonl")
			if *update {
				record(t, file, w.scraped())
			}
			golden := filepath.Join("testdata", name+".golden")
			got := printed(replayed(t, file))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run the test with -update and look at the difference:\n%s", diff)
			}
		})
	}
}

func record(t *testing.T, file string, p analysis.Provider) {
	t.Helper()
	var out bytes.Buffer
	in := input()
	in.ToTheEnd = true
	r, err := NewRecorder(p, &out, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), in, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func replayed(t *testing.T, file string) *Report {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	recording, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), recording.Input, recording)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// printed writes what counts in a report, for people to compare.
func printed(r *Report) string {
	var b strings.Builder
	for i := range r.Timeline {
		if m := &r.Timeline[i]; m.Relevant {
			fmt.Fprintf(&b, "%s %s %s %s -> %s, run %s: %s\n", m.At.Format(time.TimeOnly), m.Step, m.Metric, m.Measured, m.Verdict, m.Run, m.Message)
		}
	}
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "step %s: %s\n", s.Name, decision(s.Passed))
	}
	for _, rule := range r.Rules {
		text := "never"
		if f := rule.Aborts; f != nil {
			text = fmt.Sprintf("%s: %s, %d of %d", f.At.Format(time.TimeOnly), f.Share, f.Canary.Bad, f.Canary.Requests)
		}
		fmt.Fprintf(&b, "rule %s, %s: %s\n", rule.Metric, rule.Rule, text)
	}
	fmt.Fprintf(&b, "%s, aborts %t: %s\n%d measurements\n", r.Verdict, r.Aborts, decision(r.Decision), r.Measurements)
	return b.String()
}

func decision(d *Decision) string {
	if d == nil {
		return "undecided"
	}
	text := fmt.Sprintf("%s, %s after step %s", d.At.Format(time.TimeOnly), d.After, d.Step)
	if d.Canary != nil {
		text += fmt.Sprintf(", canary %d/%d, stable %d/%d", d.Canary.Bad, d.Canary.Requests, d.Stable.Bad, d.Stable.Requests)
	}
	return text + ", " + d.Metric
}

// TestDecisions holds what is known of the recorded releases.
func TestDecisions(t *testing.T) {
	for name, want := range map[string]struct {
		verdict v1alpha1.Verdict
		rule    bool
	}{
		"good":           {v1alpha1.VerdictSuccess, false},
		"bad-five-times": {v1alpha1.VerdictFailure, true},
		"shared-outage":  {v1alpha1.VerdictSuccess, true},
		"slow":           {v1alpha1.VerdictFailure, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := replayed(t, filepath.Join("testdata", name+".jsonl"))
			if r.Verdict != want.verdict || r.Aborts != (want.verdict == v1alpha1.VerdictFailure) || r.Decision == nil {
				t.Errorf("got %s at %+v: %s", r.Verdict, r.Decision, r.Message)
			}
			if fired := r.Rules[0].Aborts != nil; fired != want.rule {
				t.Errorf("the rule: %+v", r.Rules[0].Aborts)
			}
		})
	}
}

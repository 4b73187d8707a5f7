package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// series are measurements of one thing, in one unit.
type series []float64

func one(x float64) series { return series{x} }

func (s *series) addDuration(d time.Duration) { *s = append(*s, d.Seconds()) }

// quantile is the nearest-rank quantile, 0 of nothing.
func (s series) quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func (s series) most() float64 { return s.quantile(1) }

// nth is the n-th of moments in order, from 1.
func nth(times []time.Time, n int) time.Time {
	slices.SortFunc(times, func(a, b time.Time) int { return a.Compare(b) })
	return times[n-1]
}

// limit is the unit of a measurement and what is aimed at: p95 at most so much,
// or exactly zero.
type limit struct {
	unit  string
	most  float64 // 0 for no aim
	exact bool
}

func seconds(most float64) limit { return limit{unit: "s", most: most} }

func mebibytes(b int64) float64 { return float64(b) / (1 << 20) }

// row is one line of the table.
type row struct {
	Part   string   `json:"part"`
	Name   string   `json:"name"`
	Unit   string   `json:"unit,omitempty"`
	Count  int      `json:"count"`
	Median float64  `json:"median"`
	P95    float64  `json:"p95"`
	Max    float64  `json:"max"`
	Target *float64 `json:"target,omitempty"`
	Met    *bool    `json:"met,omitempty"`
}

// breakdown says which requests a part consisted of.
type breakdown struct {
	Part     string `json:"part"`
	Rollouts int    `json:"rollouts"`
	tally
}

// report is everything that was measured, and on what.
type report struct {
	Date       time.Time   `json:"date"`
	Machine    string      `json:"machine"`
	Cores      int         `json:"cores"`
	Go         string      `json:"go"`
	Load       string      `json:"loadAtStart"`
	Quick      bool        `json:"quick,omitempty"`
	Rows       []row       `json:"rows"`
	Breakdowns []breakdown `json:"breakdowns,omitempty"`
}

func newReport(quick bool) *report {
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Machine: machine(), Cores: runtime.NumCPU(),
		Go: runtime.Version(), Load: loadAverage(), Quick: quick,
	}
}

func (r *report) add(part, name string, s series, l limit) {
	line := row{
		Part: part, Name: name, Unit: l.unit, Count: len(s),
		Median: s.quantile(0.5), P95: s.quantile(0.95), Max: s.most(),
	}
	if l.most > 0 || l.exact {
		met := line.P95 <= l.most
		line.Target, line.Met = &l.most, &met
	}
	r.Rows = append(r.Rows, line)
}

func (r *report) breakdown(part string, n int, t *tally) {
	r.Breakdowns = append(r.Breakdowns, breakdown{Part: part, Rollouts: n, tally: *t})
}

// print writes the report as text.
func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s, %d cores, %s, load at start %s\n", r.Machine, r.Cores, r.Go, r.Load)
	if r.Quick {
		fmt.Fprintln(out, "A quick run: fewer of everything.")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nwhat\tn\tmedian\tp95\taim (p95)\t")
	for i := range r.Rows {
		line := &r.Rows[i]
		aim := ""
		if line.Target != nil {
			aim = "<= " + number(*line.Target, line.Unit)
			if !*line.Met {
				aim += "  MISSED"
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t\n", line.Name, line.Count, number(line.Median, line.Unit), number(line.P95, line.Unit), aim)
	}
	_ = w.Flush()
	for i := range r.Breakdowns {
		b := &r.Breakdowns[i]
		if len(b.Kinds) == 0 {
			continue
		}
		fmt.Fprintf(out, "\nrequests of %s, per Rollout (%d Rollouts):\n", b.Part, b.Rollouts)
		for _, kind := range b.sorted() {
			fmt.Fprintf(out, "  %6.2f  %s\n", float64(b.Kinds[kind])/float64(b.Rollouts), kind)
		}
	}
}

func number(x float64, unit string) string {
	digits := 3
	if unit != "s" || x >= 100 {
		digits = 1
	}
	text := fmt.Sprintf("%.*f", digits, x)
	if unit == "" {
		text = strings.TrimSuffix(text, ".0")
	}
	return strings.TrimSpace(text + " " + unit)
}

// write writes the report as JSON.
func (r *report) write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// machine is the model of the processor, as far as the system tells.
func machine() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage is the system's load over one, five and fifteen minutes.
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(content))[:3], " ")
}

package main

import (
	"fmt"
	"strings"
)

// text is "detected% @ median minutes (mean harmed requests)".
func (t *tally) text(r *result) string {
	share := fmt.Sprintf("%.3g", r.share(t.detected))
	if t.detected > 0 {
		share += fmt.Sprintf("@%.3g", t.median())
	}
	if r.kind == regression {
		share += fmt.Sprintf(" (%.3g)", t.harmed)
	}
	return share
}

// report is what came out, as Markdown.
func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "# Analysis benchmark, %d releases for each cell\n", b.repetitions)
	b.reportErrors(&s)
	b.reportLatency(&s)
	s.WriteString("\n## Gates\n\n| gate | measured | |\n|---|---|---|\n")
	for _, g := range append(b.gates(), b.checks...) {
		fmt.Fprintf(&s, "| %s | %s | %s |\n", g.name, g.measured, g.verdict())
	}
	return s.String()
}

func (b *bench) reportErrors(s *strings.Builder) {
	if len(b.grid) == 0 {
		return
	}
	s.WriteString("\nRolled back % @ median minutes after the fault began (harmed requests per release)\n")
	group := ""
	for i := range b.grid {
		r := &b.grid[i]
		if g := r.service(); g != group {
			group = g
			fmt.Fprintf(s, "\n## %s\n\n| |", group)
			for j := range rivals {
				fmt.Fprintf(s, " %s |", rivals[j].name)
			}
			fmt.Fprintf(s, " **engine** | passed |\n|---|%s---|---|\n", strings.Repeat("---|", len(rivals)))
		}
		fmt.Fprintf(s, "| %s |", r.name)
		for j := range r.rivals {
			fmt.Fprintf(s, " %s |", r.rivals[j].text(r))
		}
		fmt.Fprintf(s, " **%s** | %.3g |\n", r.engine.text(r), r.share(r.passed))
	}
}

func (b *bench) reportLatency(s *strings.Builder) {
	if len(b.latency) == 0 {
		return
	}
	fmt.Fprintf(s, "\n## Latency\n\nSlower than %v ms, chosen from the day before.\n\n| | rolled back %% @ median minutes | passed |\n|---|---|---|\n", latencyBounds())
	for i := range b.latency {
		r := &b.latency[i]
		fmt.Fprintf(s, "| %s | %s | %.3g |\n", r.String(), r.engine.text(&r.result), r.share(r.passed))
	}
}

// service is what a user would tune a rule for.
func (c *cell) service() string { return fmt.Sprintf("%v rps, %v%% errors", c.rps, c.base*100) }

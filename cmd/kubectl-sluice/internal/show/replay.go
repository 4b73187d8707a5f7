package show

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
)

// entry is one line of a replay's timeline.
type entry struct {
	at                    time.Time
	step, metric, verdict string
	text                  draw.Span
}

// Replay draws what a replay came to: the moments that count for a decision, or all,
// and what would have been decided.
func Replay(screen draw.Screen, r *replay.Report, all bool) string {
	var b strings.Builder
	layout := layoutOf(r)
	b.WriteString(screen.Paragraph("", draw.Text(fmt.Sprintf("%s in %s, canary %s against stable %s, from %s to %s",
		r.Rollout, r.Namespace, r.Canary, r.Stable, utc(r.From, time.RFC3339), utc(r.To, time.RFC3339)))))
	b.WriteString("\n")
	entries := entriesOf(r, all)
	if len(entries) > 0 {
		b.WriteString(timeline(screen, entries, layout))
		b.WriteString("\n")
	}
	b.WriteString(screen.Paragraph("Sluice:  ", draw.Span{Text: outcome(r, layout), Style: verdictStyle(r.Verdict)}))
	for _, rule := range r.Rules {
		b.WriteString(screen.Paragraph("Rule:    ", draw.Text(ruleOutcome(&rule, layout))))
	}
	if len(r.Rules) == 0 {
		b.WriteString(screen.Paragraph("Rule:    ", draw.Text("none: no metric counts failed requests")))
	}
	for _, note := range r.Notes {
		b.WriteString(screen.Paragraph("Note:    ", draw.Span{Text: note, Style: draw.Warning}))
	}
	return b.String()
}

// layoutOf is how moments are written: with the day where there are several.
func layoutOf(r *replay.Report) string {
	if utc(r.From, time.DateOnly) == utc(r.To, time.DateOnly) {
		return time.TimeOnly
	}
	return "01-02 15:04:05"
}

func utc(t time.Time, layout string) string { return t.UTC().Format(layout) }

// entriesOf lists what happened, with when the rules fired.
func entriesOf(r *replay.Report, all bool) []entry {
	var entries []entry
	for i := range r.Timeline {
		m := &r.Timeline[i]
		if !m.Relevant && !all {
			continue
		}
		entries = append(entries, entry{m.At, m.Step, m.Metric, string(m.Verdict), draw.Span{Text: m.Message, Style: entryStyle(m.Verdict)}})
	}
	for _, rule := range r.Rules {
		if f := rule.Aborts; f != nil {
			entries = append(entries, entry{f.At, stepAt(r, f.At), rule.Metric, "(rule)", draw.Text(ruleSaw(&rule))})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.at.Compare(b.at) })
	return entries
}

// entryStyle leaves what decides nothing plain.
func entryStyle(v v1alpha1.Verdict) draw.Style {
	if v == v1alpha1.VerdictPending {
		return draw.Plain
	}
	return verdictStyle(v)
}

func stepAt(r *replay.Report, at time.Time) string {
	name := ""
	for i := range r.Steps {
		if !r.Steps[i].Since.After(at) {
			name = r.Steps[i].Name
		}
	}
	return name
}

// timeline draws entries, what was seen wrapped beside the columns.
func timeline(screen draw.Screen, entries []entry, layout string) string {
	titles := [...]string{"TIME (UTC)", "STEP", "METRIC", "VERDICT"}
	rows := make([][len(titles)]string, 0, len(entries))
	widths := [len(titles)]int{}
	for i, title := range titles {
		widths[i] = draw.Width(title)
	}
	for _, e := range entries {
		row := [...]string{utc(e.at, layout), e.step, e.metric, e.verdict}
		for i, cell := range row {
			widths[i] = max(widths[i], draw.Width(cell))
		}
		rows = append(rows, row)
	}
	columns := func(row [len(titles)]string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell + strings.Repeat(" ", widths[i]-draw.Width(cell)+3))
		}
		return b.String()
	}
	var b strings.Builder
	b.WriteString(screen.Paragraph(columns(titles), draw.Text("WHAT WAS SEEN")))
	for i, e := range entries {
		b.WriteString(screen.Paragraph(columns(rows[i]), e.text))
	}
	return b.String()
}

// outcome says what would have been decided.
func outcome(r *replay.Report, layout string) string {
	d := r.Decision
	if r.Aborts {
		return fmt.Sprintf("would have aborted the release at %s, %s after the weight of step %s was in force%s: %s",
			utc(d.At, layout), d.After, d.Step, counted(d), d.Message)
	}
	steps := passes(r, layout)
	if r.Verdict == v1alpha1.VerdictSuccess {
		return "would have passed " + steps + ", and aborted nothing: " + r.Message
	}
	if steps != "" {
		steps = "passed " + steps + ", and "
	}
	if d != nil {
		return fmt.Sprintf("would have %sheld the release in step %s from %s on: %s", steps, d.Step, utc(d.At, layout), r.Message)
	}
	return fmt.Sprintf("would have %sdecided nothing until %s: %s", steps, utc(r.To, layout), r.Message)
}

// passes says when steps would have been passed; nothing when none would.
func passes(r *replay.Report, layout string) string {
	var passed, left []string
	for i := range r.Steps {
		switch p := r.Steps[i].Passed; {
		case p != nil:
			passed = append(passed, fmt.Sprintf("step %s at %s%s", p.Step, utc(p.At, layout), counted(p)))
		case i < len(r.Steps)-1:
			left = append(left, fmt.Sprintf("not step %s before it was left", r.Steps[i].Name))
		}
	}
	if len(passed) == 0 {
		return ""
	}
	return strings.Join(append(passed, left...), ", ")
}

// counted says after how many requests something was decided.
func counted(d *replay.Decision) string {
	if d.Canary == nil {
		return ""
	}
	return fmt.Sprintf(", after %d requests of the canary, %d of them bad", d.Canary.Requests, d.Canary.Bad)
}

func ruleOutcome(rule *replay.RuleReport, layout string) string {
	text := fmt.Sprintf("abort when %s (%s): ", rule.Rule, rule.Metric)
	if rule.Aborts == nil {
		return text + "would have aborted nothing"
	}
	return text + fmt.Sprintf("would have aborted the release at %s: %d of %d, %s", utc(rule.Aborts.At, layout),
		rule.Aborts.Canary.Bad, rule.Aborts.Canary.Requests, rule.Aborts.Share)
}

func ruleSaw(rule *replay.RuleReport) string {
	return fmt.Sprintf("%d of %d requests failed, %s: the plain rule aborts", rule.Aborts.Canary.Bad, rule.Aborts.Canary.Requests, rule.Aborts.Share)
}

package timeline

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Tone says how a note is meant.
type Tone int

// Values of Tone.
const (
	// Plain tells what goes on.
	Plain Tone = iota
	// Step tells of progress.
	Step
	// Good tells of success.
	Good
	// Bad tells of failure.
	Bad
)

// Who decided or did something.
const (
	You      = "you"
	Sluice   = "sluice"
	Analysis = "analysis"
	Alerts   = "alerts"
	Traffic  = "traffic"
	Cluster  = "cluster"
)

// Note is one thing that happened.
type Note struct {
	// Who decided or did it.
	Who string
	// Text is what happened.
	Text string
	// Tone is how it is meant.
	Tone Tone
}

// Count is what a revision had to answer.
type Count struct {
	Requests, Failed int64
}

// Line is one line of a timeline.
type Line struct {
	// At is the time since the timeline began.
	At time.Duration
	// Step is the current step's name; empty without a release in progress.
	Step string
	// Asked is the percentage of requests that the routing gives the revision that
	// is released; negative when there is none.
	Asked int32
	// Observed is the share of the latest requests that it got, 0 to 1; NaN without
	// requests.
	Observed float64
	// Stable and Canary count the requests of the replaced revision and of the
	// released one since the release began.
	Stable, Canary Count
	Note
}

// Printer writes lines. It is not safe for use by several goroutines.
type Printer struct {
	// Out gets the text.
	Out io.Writer
	// Colour marks tones with escape sequences for terminals.
	Colour bool
}

const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	cyan   = "\x1b[36m"
	yellow = "\x1b[33m"
)

// Title writes a heading.
func (p *Printer) Title(text string) {
	fmt.Fprintf(p.Out, "\n%s\n", p.paint(bold, "==> "+text))
}

// Header names the columns of a release of one version over another.
func (p *Printer) Header(stable, canary string) {
	fmt.Fprintf(p.Out, "%s\n", p.paint(faint, fmt.Sprintf("%8s  %-10s %6s %6s  %-19s  %-19s  %-14s %s",
		"time", "step", "asked", "seen", "requests (failed)", "requests (failed)", "who", "what")))
	fmt.Fprintf(p.Out, "%s\n", p.paint(faint, fmt.Sprintf("%8s  %-10s %6s %6s  %-19s  %s",
		"", "", "", "", shorten("of "+stable, 19), shorten("of "+canary, 19))))
}

// Line writes a line.
func (p *Printer) Line(l Line) {
	step := l.Step
	if step == "" {
		step = "-"
	}
	fmt.Fprintf(p.Out, "%7.1fs  %-10s %6s %6s  %s  %s  %-14s %s\n",
		l.At.Seconds(), shorten(step, 10), asked(l.Asked), observed(l.Observed),
		p.count(l.Stable), p.count(l.Canary), shorten(l.Who, 14), p.paint(colourOf(l.Tone), l.Text))
}

// Say writes a line of text below a timeline's lines.
func (p *Printer) Say(tone Tone, text string) {
	fmt.Fprintln(p.Out, p.paint(colourOf(tone), text))
}

func (p *Printer) count(c Count) string {
	text := fmt.Sprintf("%-19s", fmt.Sprintf("%10d (%d)", c.Requests, c.Failed))
	if c.Failed > 0 {
		return p.paint(yellow, text)
	}
	return text
}

func (p *Printer) paint(colour, text string) string {
	if !p.Colour || colour == "" || text == "" {
		return text
	}
	return colour + text + reset
}

func colourOf(t Tone) string {
	switch t {
	case Step:
		return cyan
	case Good:
		return green
	case Bad:
		return red
	case Plain:
	}
	return ""
}

func asked(percent int32) string {
	if percent < 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", percent)
}

func observed(share float64) string {
	if math.IsNaN(share) {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", share*100)
}

// shorten cuts a text to n characters, the last of which then says so.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}

// oneLine keeps a text from breaking the columns.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

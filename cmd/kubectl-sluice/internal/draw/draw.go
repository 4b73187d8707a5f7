// Package draw lays out text for terminals of any width, and for none: lines,
// paragraphs, tables and trees. Everything that is drawn is cleaned first, so that
// no text from the cluster can move the cursor or colour the screen.
package draw

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Style is how a text looks where there are colours.
type Style uint8

// The styles. They never carry meaning of their own: the text says it too.
const (
	Plain Style = iota
	Strong
	Faint
	Good
	Warning
	Bad
)

// codes are the terminal's numbers of the styles.
var codes = map[Style]string{Strong: "1", Faint: "2", Good: "32", Warning: "33", Bad: "31"}

// Span is a text in one style.
type Span struct {
	Text  string
	Style Style
}

// Text is a Span in the plain style.
func Text(s string) Span { return Span{Text: s} }

// Screen is what is drawn on.
type Screen struct {
	// Width in columns; 0 for no limit, as in a file.
	Width int
	// Colour is whether styles are shown.
	Colour bool
}

// Clean makes a text safe to draw: one line, without anything that a terminal
// obeys instead of showing.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r == unicode.ReplacementChar, unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// Width returns how many columns a text takes.
func Width(s string) int { return ansi.StringWidth(Clean(s)) }

// paint gives a cleaned text its style.
func (s Screen) paint(text string, style Style) string {
	if !s.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + codes[style] + "m" + text + "\x1b[0m"
}

// Line draws spans on one line, cut to the screen.
func (s Screen) Line(spans ...Span) string {
	var b strings.Builder
	for _, span := range spans {
		b.WriteString(s.paint(Clean(span.Text), span.Style))
	}
	return s.cut(b.String()) + "\n"
}

// cut shortens a painted line to the screen.
func (s Screen) cut(line string) string {
	line = strings.TrimRight(line, " ")
	if s.Width <= 0 {
		return line
	}
	return ansi.Truncate(line, s.Width, "…")
}

// Paragraph draws a text behind a first indent, wrapped to the screen, its further
// lines behind as many blanks.
func (s Screen) Paragraph(first string, span Span) string {
	var b strings.Builder
	indent := strings.Repeat(" ", Width(first))
	for i, line := range s.wrap(Clean(span.Text), Width(first)) {
		head := indent
		if i == 0 {
			head = Clean(first)
		}
		b.WriteString(strings.TrimRight(head+s.paint(line, span.Style), " ") + "\n")
	}
	return b.String()
}

// leastColumn is the narrowest column in which a text is wrapped.
const leastColumn = 16

// wrap breaks a cleaned text into the lines that fit beside used columns.
func (s Screen) wrap(text string, used int) []string {
	if s.Width <= 0 {
		return []string{text}
	}
	return strings.Split(ansi.Wrap(text, max(s.Width-used, leastColumn), ""), "\n")
}

// pad fills a cleaned text up to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

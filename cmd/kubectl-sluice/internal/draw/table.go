package draw

import "strings"

// gap is what is left between columns.
const gap = "   "

// Table draws rows in columns. Its widths only grow, so that rows that are drawn
// later stand below those that were drawn before.
type Table struct {
	Screen Screen
	widths []int
}

// Draw returns the rows, each cut to the screen.
func (t *Table) Draw(rows ...[]Span) string {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], Width(cell.Text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			text := Clean(cell.Text)
			line.WriteString(t.Screen.paint(text, cell.Style))
			if i < len(row)-1 {
				line.WriteString(pad("", t.widths[i]-Width(text)) + gap)
			}
		}
		b.WriteString(t.Screen.cut(line.String()) + "\n")
	}
	return b.String()
}

// Header is a row of column titles.
func Header(titles ...string) []Span {
	row := make([]Span, len(titles))
	for i, title := range titles {
		row[i] = Span{title, Strong}
	}
	return row
}

package draw

import "strings"

// Node is a line of a tree and what hangs below it.
type Node struct {
	// Name stands in the tree; State and Age in columns beside it.
	Name, State Span
	// Detail follows the state; it is wrapped where it does not fit.
	Detail   string
	Age      string
	Children []Node
}

// row is a node with the branches before it.
type row struct {
	node *Node
	// first stands before the name, rest before what follows on further lines.
	first, rest string
}

// Tree draws nodes below each other, each with its children.
func (s Screen) Tree(nodes []Node) string {
	var rows []row
	for i := range nodes {
		rows = flatten(rows, &nodes[i], "", "")
	}
	widths := [3]int{}
	for _, r := range rows {
		widths[0] = max(widths[0], Width(r.first+r.node.Name.Text))
		widths[1] = max(widths[1], Width(r.node.State.Text))
		widths[2] = max(widths[2], Width(r.node.Age))
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(s.row(r, widths))
	}
	return b.String()
}

func flatten(rows []row, n *Node, first, rest string) []row {
	r := row{node: n, first: first, rest: rest}
	if len(n.Children) > 0 {
		r.rest += "│ "
	}
	rows = append(rows, r)
	for i := range n.Children {
		if i == len(n.Children)-1 {
			rows = flatten(rows, &n.Children[i], rest+"└─ ", rest+"   ")
		} else {
			rows = flatten(rows, &n.Children[i], rest+"├─ ", rest+"│  ")
		}
	}
	return rows
}

// comfortable is the least width of the detail's column beside the others.
const comfortable = 30

// row draws one node: in columns where there is room for them, otherwise with what
// does not fit on lines of its own.
func (s Screen) row(r row, widths [3]int) string {
	name, state := Clean(r.node.Name.Text), Clean(r.node.State.Text)
	used := widths[0] + widths[1] + widths[2] + 2*len(gap)
	if s.Width > 0 && used > s.Width {
		return s.narrow(r)
	}
	head := s.paint(r.first, Faint) + s.paint(name, r.node.Name.Style) + pad("", widths[0]-Width(r.first+name)) + gap +
		s.paint(state, r.node.State.Style) + pad("", widths[1]-Width(state)) + gap + pad(Clean(r.node.Age), widths[2])
	detail := Clean(r.node.Detail)
	if detail == "" {
		return s.cut(head) + "\n"
	}
	used += len(gap)
	if s.Width > 0 && s.Width-used < comfortable {
		return s.cut(head) + "\n" + s.below(r, Text(detail))
	}
	var b strings.Builder
	for i, line := range s.wrap(detail, used) {
		if i > 0 {
			head = s.paint(r.rest, Faint) + pad("", used-len(gap)-Width(r.rest))
		}
		b.WriteString(s.cut(head+gap+line) + "\n")
	}
	return b.String()
}

// narrow draws a node where there are no columns.
func (s Screen) narrow(r row) string {
	name, state := Clean(r.node.Name.Text), Clean(r.node.State.Text)
	line := s.paint(r.first, Faint) + s.paint(name, r.node.Name.Style)
	var b strings.Builder
	switch {
	case state == "":
		b.WriteString(s.cut(line) + "\n")
	case Width(r.first+name+"  "+state) <= s.Width:
		b.WriteString(line + "  " + s.paint(state, r.node.State.Style) + "\n")
	default:
		b.WriteString(s.cut(line) + "\n" + s.below(r, Span{state, r.node.State.Style}))
	}
	if detail := Clean(r.node.Detail); detail != "" {
		b.WriteString(s.below(r, Text(detail)))
	}
	return b.String()
}

// below draws a text under the name of a node.
func (s Screen) below(r row, span Span) string {
	var b strings.Builder
	indent := r.rest + "  "
	for _, line := range s.wrap(span.Text, Width(indent)) {
		b.WriteString(s.cut(s.paint(indent, Faint)+s.paint(line, span.Style)) + "\n")
	}
	return b.String()
}

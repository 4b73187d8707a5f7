package show

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// Explanation draws why a Rollout is where it is.
func Explanation(screen draw.Screen, s *story.Snapshot) string {
	e := story.Explain(s)
	var b strings.Builder
	b.WriteString(headline(screen, s.Rollout, e.Standing))
	if text := traffic(s); text != "" {
		b.WriteString(screen.Paragraph("  traffic: ", draw.Text(text)))
	}
	if len(e.Gates) > 0 {
		b.WriteString(title(screen, "Step "+e.Position+", needs"))
		for _, g := range e.Gates {
			b.WriteString(gate(screen, g))
		}
	}
	if len(e.Findings) > 0 {
		b.WriteString(title(screen, "Seen besides"))
		for _, f := range e.Findings {
			b.WriteString(screen.Paragraph("  - ", draw.Text(f)))
		}
	}
	b.WriteString(title(screen, "What happens by itself"))
	for _, event := range e.Next {
		b.WriteString(screen.Paragraph("  - ", draw.Text(draw.In(s.Now, event.At)+": "+event.What)))
	}
	if len(e.Next) == 0 {
		b.WriteString(screen.Paragraph("  ", draw.Text(idle(e.State))))
	}
	if len(e.Advice) > 0 {
		b.WriteString(title(screen, "What you can do"))
		for _, a := range e.Advice {
			b.WriteString(advice(screen, a))
		}
	}
	return b.String()
}

// idle says what is waited for when no time is.
func idle(state story.State) string {
	switch state {
	case story.Healthy:
		return "Nothing, until the pod template in the spec changes."
	case story.Paused:
		return "Nothing, until somebody acts. Aborts and newer revisions still take effect."
	case story.Degraded:
		return "Nothing, until somebody acts."
	case story.Unobserved:
		return "The operator looks at it as soon as it runs."
	case story.Progressing:
		return "It goes on as soon as it sees what it waits for; no time is set for that."
	}
	return ""
}

func title(screen draw.Screen, text string) string {
	return "\n" + screen.Line(draw.Span{Text: text, Style: draw.Strong})
}

func gate(screen draw.Screen, g story.Gate) string {
	style := draw.Warning
	if g.Open {
		style = draw.Good
	}
	return screen.Paragraph("  "+mark(g.Open)+" ", draw.Span{Text: fmt.Sprintf("%s: %s", g.Name, g.Detail), Style: style})
}

func advice(screen draw.Screen, a story.Advice) string {
	if a.Command == "" {
		return screen.Paragraph("  ", draw.Text(a.What))
	}
	// A command is never wrapped or cut: it is there to be copied.
	unlimited := draw.Screen{Colour: screen.Colour}
	return unlimited.Line(draw.Span{Text: "  " + a.Command, Style: draw.Strong}) + screen.Paragraph("      ", draw.Text(a.What))
}

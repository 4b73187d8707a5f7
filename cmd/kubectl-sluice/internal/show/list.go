package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// List draws Rollouts a line each.
type List struct {
	Screen draw.Screen
	// Namespaces adds their column, Wide that of the reason.
	Namespaces, Wide bool

	table   draw.Table
	started bool
}

// Rows returns lines for Rollouts; the first call begins with the titles.
func (l *List) Rows(now time.Time, rollouts []v1alpha1.Rollout) string {
	var rows [][]draw.Span
	if !l.started {
		l.started, l.table.Screen = true, l.Screen
		titles := []string{"NAME", "STATE", "STEP", "WEIGHT", "STABLE", "CANARY", "PODS", "AGE"}
		if l.Namespaces {
			titles = append([]string{"NAMESPACE"}, titles...)
		}
		if l.Wide {
			titles = append(titles, "MESSAGE")
		}
		rows = append(rows, draw.Header(titles...))
	}
	for i := range rollouts {
		rows = append(rows, l.row(now, &rollouts[i]))
	}
	return l.table.Draw(rows...)
}

func (l *List) row(now time.Time, r *v1alpha1.Rollout) []draw.Span {
	standing := story.StandingOf(r)
	weight, stable, canary, pods := "-", "-", "-", "-"
	if c := r.Status.Canary; c != nil {
		weight, canary = fmt.Sprintf("%d%%", c.Weight), c.Revision
	}
	if s := r.Status.Stable; s != nil {
		stable, pods = s.Revision, fmt.Sprintf("%d/%d", s.Available, s.Replicas)
	}
	row := []draw.Span{
		{Text: r.Name, Style: draw.Strong},
		{Text: string(standing.State), Style: StateStyle(standing.State)},
		draw.Text(story.Short(r)), draw.Text(weight), draw.Text(stable), draw.Text(canary), draw.Text(pods),
		draw.Text(draw.Ago(now, r.CreationTimestamp.Time)),
	}
	if l.Namespaces {
		row = append([]draw.Span{draw.Text(r.Namespace)}, row...)
	}
	if l.Wide {
		row = append(row, draw.Text(standing.Message))
	}
	return row
}

// History draws the transitions of a Rollout, oldest first.
func History(screen draw.Screen, now time.Time, transitions []v1alpha1.Transition) string {
	nodes := make([]draw.Node, len(transitions))
	for i := range transitions {
		t := &transitions[i]
		nodes[i] = draw.Node{
			Name:   draw.Span{Text: string(t.Type), Style: transitionStyle(t.Type)},
			State:  draw.Text(strings.TrimSpace(t.Revision + " " + t.Step)),
			Age:    draw.Ago(now, t.At.Time),
			Detail: t.Message,
		}
	}
	return screen.Tree(nodes)
}

func transitionStyle(t v1alpha1.TransitionType) draw.Style {
	switch t {
	case v1alpha1.TransitionAborted:
		return draw.Bad
	case v1alpha1.TransitionPromoted, v1alpha1.TransitionDeployed:
		return draw.Good
	case v1alpha1.TransitionStarted, v1alpha1.TransitionStepEntered, v1alpha1.TransitionRetried,
		v1alpha1.TransitionSuperseded, v1alpha1.TransitionRolledBack, v1alpha1.TransitionPaused:
	}
	return draw.Plain
}

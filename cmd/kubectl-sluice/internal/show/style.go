// Package show draws what the story package says: trees, tables and explanations.
package show

import (
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// StateStyle is the colour of a state.
func StateStyle(s story.State) draw.Style {
	switch s {
	case story.Healthy:
		return draw.Good
	case story.Degraded:
		return draw.Bad
	case story.Paused, story.Progressing:
		return draw.Warning
	case story.Unobserved:
		return draw.Faint
	}
	return draw.Plain
}

func verdictStyle(v v1alpha1.Verdict) draw.Style {
	switch v {
	case v1alpha1.VerdictSuccess:
		return draw.Good
	case v1alpha1.VerdictFailure, v1alpha1.VerdictError:
		return draw.Bad
	case v1alpha1.VerdictInconclusive, v1alpha1.VerdictPending:
		return draw.Warning
	}
	return draw.Plain
}

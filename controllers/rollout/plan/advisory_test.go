package plan

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// advised is a world whose release is measured, and waits for no verdict.
func advised() *world {
	w := newWorld(10, defaultSteps()...)
	w.spec.Analysed, w.spec.Advisory = true, true
	return w
}

func TestAdvisoryAnalysisHoldsNoStep(t *testing.T) {
	w := advised()
	w.measure = time.Hour // Nothing is ever measured.
	s := newStory(t, w)
	s.decide()
	s.rests()
	s.push("b")
	s.passes(10 * time.Minute)
	if w.position.Stable != "b" {
		t.Errorf("not promoted: %s", s.text.String())
	}
}

func TestAdvisoryAnalysisAborts(t *testing.T) {
	w := advised()
	w.measure, w.bad["b"] = 20*time.Second, true
	s := newStory(t, w)
	s.decide()
	s.rests()
	s.push("b")
	s.passes(10 * time.Minute)
	if w.position.Stable != "a" || w.position.Abort == nil || w.position.Abort.Reason != v1alpha1.ReasonAnalysisFailed {
		t.Errorf("not aborted: %s", s.text.String())
	}
}

package rollout

import (
	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// analysisOf is what is measured of a Rollout, nil for nothing, and whether that only
// advises: it aborts a release that it is sure is bad, and holds no step. So is the
// default of a Rollout that asks for nothing: whoever did not ask for metrics must not
// wait for them, nor for a Prometheus that is down. It is for Istio's routing, where
// there is something to measure.
func (r *Reconciler) analysisOf(rollout *v1alpha1.Rollout) (asked *v1alpha1.Analysis, advises bool) {
	switch spec := &rollout.Spec; {
	case spec.Analysis != nil:
		return spec.Analysis, false
	case r.analysed && spec.Traffic.Istio != nil:
		return analysis.Default(), true
	}
	return nil, false
}

// withAnalysis is a Rollout as if it had asked for what is measured of it.
func (r *Reconciler) withAnalysis(rollout *v1alpha1.Rollout) *v1alpha1.Rollout {
	asking := *rollout
	asking.Spec.Analysis, _ = r.analysisOf(rollout)
	return &asking
}

package v1alpha1_test

import "testing"

func TestFullObjectsAreAccepted(t *testing.T) {
	for _, kind := range []string{"Rollout", "AnalysisRun", "RolloutAction", "MetricProvider"} {
		t.Run(kind, func(t *testing.T) {
			_, err := create(full(t, kind))
			wantAccepted(t, err)
		})
	}
}

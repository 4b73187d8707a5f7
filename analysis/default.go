package analysis

import "github.com/sluice-dev/sluice/api/v1alpha1"

// Default is the analysis of a Rollout that asks for none, where the operator was told
// to: error ratio and latency of the canary against stable, as the mesh measures them.
// What the API server would have filled in is left to what fields mean without it.
func Default() *v1alpha1.Analysis {
	return &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{
		{Name: "errors", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinErrorRatio}},
		{Name: "latency", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinLatencyDistribution}},
	}}
}

// Package v1alpha1 holds the objects that users of Sluice write and read:
// Rollout, AnalysisRun, RolloutAction, MetricProvider and Notifier.
//
// The doc comment of a field is its reference documentation: it states the
// unit, the default, the bounds and what happens at the edges.
//
// Moments in status have microseconds, as in 2026-01-02T15:04:05.000000Z. The
// schema refuses any other form: a client that meets one could read no object of
// that kind any more.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=sluice.dev
package v1alpha1

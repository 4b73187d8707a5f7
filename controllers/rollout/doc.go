// Package rollout carries Rollouts through their releases: it observes the
// cluster (observe.go), lets package plan decide, and applies the plan (apply.go).
//
// The order of reading: reconciler.go, observe.go, spec.go, position.go, apply.go,
// status.go, events.go, metrics.go, setup.go.
package rollout

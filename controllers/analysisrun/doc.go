// Package analysisrun measures while a canary has traffic and keeps the evidence.
//
//	reconciler.go  reads a run and its Rollout, folds answers into the status, writes it once
//	place.go       PURE: where a run stands, by what its Rollout says
//	advance.go     PURE: what answers and a new step do to the status
//	measurer.go    asks the queries when they are due, outside of the reconcile workers
//	providers.go   turns a metric's provider into a client, with credentials by name
//	readiness.go   tells in a MetricProvider's status whether it is usable
//
// The Measurer holds nothing that matters: what was measured is in the status, and
// what is due next follows from it. An answer is kept until a status that holds it
// was written, and counts once however often it is folded.
package analysisrun

// Package analysis decides what measurements come to.
//
// It is pure but for the one interface through which samples arrive: a Provider
// reads one Sample for one Query, and knows nothing of verdicts. Everything else
// takes values, the time included, and returns values:
//
//	Template, BuildQuery  placeholders filled in; no query sees data from before the step
//	NextDue               when a metric is to be measured next
//	NextComparison, WithBounds, BuildSelection, FoldComparison
//	                      the same for metrics that compare the canary with stable
//	Enter, Fold           what a step and a sample do to the evidence
//	Measurements, Advance what a run measures next, and what answers do to its status
//	Summarize, Decision   what the evidence comes to, and what a release makes of it
//	ValidateMetrics       what is wrong with metrics before any of them is measured
//
// The provider of a kind of server lives in a folder beside this file, and so
// does a fake.
package analysis

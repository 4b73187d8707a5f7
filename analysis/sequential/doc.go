// Package sequential judges counts of requests while they come in, with an error
// rate that holds however often one looks.
//
// Numbers go in and evidence comes out: there is no client, context, logger or
// clock here, and nothing is random. What has to survive a restart is plain data
// in exported fields; written as JSON and read back it goes on as if nothing had
// happened.
//
//	Comparison    is the canary's error ratio worse than stable's? (error ratio, latency)
//	OddsInterval  by how much: an interval that is right at every moment
//	Dispersion    how bursty is this service? learned from stable alone
//	Level         is a ratio above a fixed one? (no stable arm, SLO burn rates)
//	Latency       a Comparison for each of a few bounds of a histogram
//	CompareGauges pods of one revision against pods of the other
//	Combine       many metrics, one error rate
//
// The currency is the e-value: a number that is never negative and whose expected
// value is at most 1 while the canary is no worse than it may be. A process of them
// exceeds 1/alpha at any time at all with a probability of at most alpha (Ville
// 1939), which is why looking costs nothing. docs/statistics.md explains it from the
// start and has the proofs.
package sequential

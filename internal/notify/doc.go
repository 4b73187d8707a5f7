// Package notify tells people and programs what happened to Rollouts: which Notifiers
// hear of a transition, in which words, and getting it to them.
//
// It is told in memory after the fact and returns at once, so that nobody's chat can
// hold up a release, or a recovery. What is queued is bounded and lives in the process:
// a notification arrives at most once for each leader, and is lost with it.
//
// Servers are chosen by whoever may write a Notifier, so they are treated as hostile:
// addresses are checked after resolution, redirects are not followed, nothing of an
// answer but its status and Retry-After is read, and time is bounded.
package notify

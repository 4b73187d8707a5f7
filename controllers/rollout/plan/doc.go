// Package plan decides what a Rollout needs next. It is pure: Decide takes an
// observation, the time included, and returns a plan. It reads and writes nothing.
//
// The files, in the order in which to read them:
//
//   - observed.go: what is seen, and the durable memory (Position)
//   - plan.go: Decide and what it returns
//   - rules.go: how the position moves, as an ordered list of rules
//   - gates.go: what a step must come to before it is passed
//   - commands.go: the rules that carry out a person's commands
//   - capacity.go: how much traffic a revision's pods can carry
//   - split.go: the next safe routing on the way to the one that is wanted
//   - retreat.go: how an abort is carried out over a broken routing
//   - scale.go: how many pods each revision gets, and when it may lose them
//   - verdict.go: what the conditions say
package plan

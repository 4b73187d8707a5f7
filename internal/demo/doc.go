// Package demo installs Sluice and a demo service on a local cluster. The demo,
// the playground, the end-to-end tests and the benchmarks share it.
package demo

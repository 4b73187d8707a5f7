// Package resources builds the objects that a Rollout owns. Everything in it is
// pure: values in, objects out.
package resources

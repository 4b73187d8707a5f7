// Package istio routes a Rollout's traffic by the weights of VirtualServices.
//
// The stable and the canary destination are two subsets of one DestinationRule,
// or two Services. A destination is bound to a revision by the value of
// pod-template-hash, in the subset's labels or in the Service's selector.
//
// All these objects are the user's. They are read as typed objects and written
// only by JSON patches that name the very number or label that is meant, each
// preceded by tests that it is still what was read: fields that this build does
// not know, other routes and other destinations cannot be lost, and a write that
// crosses another one fails instead of overwriting it. Nothing is ever created.
//
// router.go and objects.go do the reading and writing; routes.go, shares.go,
// binding.go and host.go compute and know no client.
package istio

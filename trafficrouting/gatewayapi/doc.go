// Package gatewayapi routes a Rollout's traffic by the weights of HTTPRoutes and
// GRPCRoutes of the Gateway API: those of gateways, and those of Services in a mesh.
//
// The stable and the canary destination are two Services, bound to a revision by
// the value of pod-template-hash in their selectors. All these objects are the
// user's; package edit says how they are written.
//
// What carries out a route reports on it in the route's status, which is evidence
// for whether the data plane follows (evidence.go).
package gatewayapi

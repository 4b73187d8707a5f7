package gatewayapi_test

import (
	"fmt"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/conformance"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
)

const (
	stableService = `
apiVersion: v1
kind: Service
metadata: {name: checkout, annotations: {example.com/owner: web}}
spec: {selector: {app: checkout}, ports: [{name: http, port: 80, targetPort: 8080}]}
`
	canaryService = `
apiVersion: v1
kind: Service
metadata: {name: checkout-canary}
spec: {selector: {app: checkout}, ports: [{name: http, port: 80, targetPort: 8080}]}
`
	ofGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout, labels: {a/b: c}, annotations: {example.com/owner: web}}
spec:
  parentRefs: [{name: public, namespace: gateways, sectionName: https}]
  hostnames: [shop.example.com]
  rules:
  - name: admin
    matches: [{path: {type: PathPrefix, value: /admin}}]
    backendRefs: [{name: admin, port: 80}]
  - name: primary
    timeouts: {request: 3s}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-from, value: gateway}]}
    backendRefs:
    - name: checkout
      port: 80
      weight: 100
      filters:
      - type: ResponseHeaderModifier
        responseHeaderModifier: {add: [{name: x-side, value: stable}]}
    - {name: checkout-canary, port: 80, weight: 0}
`
	ofMesh = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec:
  parentRefs: [{group: "", kind: Service, name: checkout, port: 80}]
  rules:
  - matches: [{headers: [{name: x-a, value: b}]}]
    backendRefs: [{name: other, port: 80}, {name: legacy, namespace: elsewhere, port: 80, weight: 9}]
  - backendRefs:
    - {name: checkout-canary, namespace: NAMESPACE, port: 80, weight: 0}
    - {name: checkout, port: 80}
`
	withThird = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout}
spec:
  parentRefs: [{name: public}]
  rules:
  - backendRefs:
    - {name: checkout, port: 80, weight: 62}
    - {name: legacy, port: 80, weight: 38}
    - {name: checkout-canary, port: 80, weight: 0}
  - backendRefs:
    - {name: checkout, port: 80, weight: 900000}
    - {name: checkout-canary, port: 80, weight: 0}
    - {name: checkout, namespace: elsewhere, port: 80, weight: 100000}
`
	ofGRPC = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: checkout}
spec:
  parentRefs: [{group: "", kind: Service, name: checkout}]
  rules:
  - name: pay
    matches: [{method: {service: shop.Checkout, method: Pay}}]
    backendRefs:
    - {name: checkout, port: 80, weight: 1}
    - {name: checkout-canary, port: 80, weight: 0}
  - name: rest
    backendRefs:
    - {name: checkout, port: 80, weight: 100}
    - {name: checkout-canary, port: 80, weight: 0}
`
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name      string
		routes    []v1alpha1.GatewayAPIRoute
		documents []string
		edited    place
		foreign   bool
		missing   func(g *gateway) []conformance.Missing
	}{
		{
			name: "OfAGateway", routes: []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout", "primary")},
			documents: []string{ofGateway},
			edited:    place{kind: "HTTPRoute", rule: 1, stable: 0, canary: 1, common: 100},
			missing: func(g *gateway) []conformance.Missing {
				return []conformance.Missing{
					{
						Name: "route", Remove: func() { g.Delete("HTTPRoute", "checkout") },
						Reason: v1alpha1.ReasonObjectMissing, Says: "checkout does not exist: create it",
					}, {
						Name: "stable Service", Remove: func() { g.Delete("Service", "checkout") },
						Reason: v1alpha1.ReasonObjectMissing, Says: "correct its name in spec.traffic.gatewayAPI.services",
					}, {
						Name: "canary Service", Remove: func() { g.Delete("Service", "checkout-canary") },
						Reason: v1alpha1.ReasonObjectMissing, Says: "checkout-canary does not exist: create it",
					}, {
						Name: "rule", Remove: func() {
							g.Edit("HTTPRoute", "checkout", func(object map[string]any) {
								at(object, "spec", "rules", 1).(map[string]any)["name"] = "other"
							})
						},
						Reason: v1alpha1.ReasonRouteMissing, Says: "set spec.rules[].name to it",
					}, {
						Name: "backend", Remove: func() {
							g.Edit("HTTPRoute", "checkout", func(object map[string]any) {
								rule := at(object, "spec", "rules", 1).(map[string]any)
								rule["backendRefs"] = rule["backendRefs"].([]any)[:1]
							})
						},
						Reason: v1alpha1.ReasonDestinationMissing,
						Says:   "spec.rules[1].backendRefs:\n- name: checkout-canary\n  port: 80\n  weight: 0",
					},
				}
			},
		},
		{
			name: "OfAMesh", routes: []v1alpha1.GatewayAPIRoute{named("", "checkout")},
			documents: []string{ofMesh},
			edited:    place{kind: "HTTPRoute", rule: 1, stable: 1, canary: 0, common: 100},
			missing: func(g *gateway) []conformance.Missing {
				return []conformance.Missing{{
					Name: "backends", Remove: func() {
						g.Edit("HTTPRoute", "checkout", func(object map[string]any) {
							delete(at(object, "spec", "rules", 1).(map[string]any), "backendRefs")
						})
					},
					Reason: v1alpha1.ReasonRouteMissing, Says: "- name: checkout\n",
				}, {
					Name: "stable backend", Remove: func() {
						g.Edit("HTTPRoute", "checkout", func(object map[string]any) {
							at(object, "spec", "rules", 1, "backendRefs", 1).(map[string]any)["name"] = "other"
						})
					},
					Reason: v1alpha1.ReasonDestinationMissing, Says: "or name the rules to weigh",
				}}
			},
		},
		{
			name: "OtherBackends", routes: []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout")}, foreign: true,
			documents: []string{withThird},
			edited:    place{kind: "HTTPRoute", rule: 0, stable: 0, canary: 2, common: 62},
			missing: func(g *gateway) []conformance.Missing {
				return []conformance.Missing{{
					Name: "all but others", Remove: func() {
						g.Edit("HTTPRoute", "checkout", func(object map[string]any) {
							at(object, "spec", "rules", 1, "backendRefs", 0).(map[string]any)["namespace"] = "elsewhere"
						})
					},
					Reason: v1alpha1.ReasonDestinationMissing, Says: "spec.rules[1], has no stable Service",
				}}
			},
		},
		{
			name: "HTTPAndGRPC", documents: []string{ofGateway, ofGRPC},
			routes: []v1alpha1.GatewayAPIRoute{named("HTTPRoute", "checkout"), named("GRPCRoute", "checkout", "rest", "pay")},
			edited: place{kind: "GRPCRoute", rule: 1, stable: 0, canary: 1, common: 100},
			missing: func(g *gateway) []conformance.Missing {
				return []conformance.Missing{{
					Name: "one of two routes", Remove: func() { g.Delete("GRPCRoute", "checkout") },
					Reason: v1alpha1.ReasonObjectMissing, Says: "GRPCRoute",
				}}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) conformance.World {
				g := newGateway(t, c.routes, c.documents...)
				w := conformance.World{
					Router:       g.Router,
					Target:       g.Target,
					Writes:       g.Writes,
					SetWeight:    func(weight int32) { g.setWeight(c.edited, weight) },
					SetRevisions: g.setRevisions,
					Foreign:      g.foreign,
					Reapply:      g.Reapply,
					BeforeWrite:  g.BeforeWrite,
					Missing:      c.missing(g),
				}
				if c.foreign {
					w.ForeignShares = g.foreignShares
				}
				return w
			})
		})
	}
}

// place is where in a route named checkout the two weights are.
type place struct {
	kind                 string
	rule, stable, canary int
	// common is what both hold together.
	common int64
}

func (g *gateway) setWeight(p place, percent int32) {
	g.T.Helper()
	g.Edit(p.kind, "checkout", func(object map[string]any) {
		backends := at(object, "spec", "rules", p.rule, "backendRefs")
		canary := (p.common*int64(percent) + 99) / 100
		at(backends, p.canary).(map[string]any)["weight"] = canary
		at(backends, p.stable).(map[string]any)["weight"] = p.common - canary
	})
}

func (g *gateway) setRevisions(stable, canary string) {
	g.T.Helper()
	for name, revision := range map[string]string{"checkout": stable, "checkout-canary": canary} {
		g.Edit("Service", name, func(object map[string]any) {
			at(object, "spec", "selector").(map[string]any)["pod-template-hash"] = revision
		})
	}
}

// foreign returns all objects of the namespace without what is the Router's: the
// weights of the two backends and the label of revisions.
func (g *gateway) foreign() any {
	g.T.Helper()
	return g.Foreign(map[string]func(spec map[string]any){
		"HTTPRoute": g.eraseWeights,
		"GRPCRoute": g.eraseWeights,
		"Service":   func(spec map[string]any) { onserver.EraseRevision(spec, "selector") },
	})
}

func (g *gateway) isForeign(backend map[string]any) bool {
	namespace, named := backend["namespace"]
	name := backend["name"]
	return named && namespace != g.Name || name != "checkout" && name != "checkout-canary"
}

func (g *gateway) eraseWeights(spec map[string]any) {
	for _, rule := range spec["rules"].([]any) {
		backends, _ := rule.(map[string]any)["backendRefs"].([]any)
		for _, b := range backends {
			if backend := b.(map[string]any); !g.isForeign(backend) {
				delete(backend, "weight")
			}
		}
	}
}

// foreignShares returns the share of each backend of the HTTPRoute checkout that is
// neither stable nor canary.
func (g *gateway) foreignShares() map[string]float64 {
	g.T.Helper()
	shares := map[string]float64{}
	for i := range at(g.Get("HTTPRoute", "checkout").Object, "spec", "rules").([]any) {
		foreign, sum := int64(0), int64(0)
		for j, weight := range g.weights("HTTPRoute", "checkout", i) {
			sum += weight
			backend := at(g.Get("HTTPRoute", "checkout").Object, "spec", "rules", i, "backendRefs", j).(map[string]any)
			if g.isForeign(backend) {
				foreign += weight
			}
		}
		if foreign > 0 {
			shares[fmt.Sprint(i)] = float64(foreign) / float64(sum)
		}
	}
	return shares
}

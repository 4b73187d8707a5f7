package istio_test

import (
	"fmt"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/conformance"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
)

const (
	destinationRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout, annotations: {example.com/owner: web}}
spec:
  host: checkout
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}
  subsets:
  - name: old
    labels: {version: v0}
  - name: canary
  - name: stable
    labels: {app: checkout}
    trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}
`
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
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
`
	subsetVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout, labels: {a/b: c}, annotations: {example.com/owner: web}}
spec:
  hosts: [checkout]
  http:
  - name: admin
    match: [{uri: {prefix: /admin}}]
    route: [{destination: {host: checkout, subset: old}}]
  - name: primary
    retries: {attempts: 2, perTryTimeout: 1s}
    headers: {request: {set: {x-from: mesh}}}
    route:
    - destination: {host: checkout, subset: stable, port: {number: 80}}
      weight: 100
      headers: {response: {add: {x-side: stable}}}
    - destination: {host: checkout.NAMESPACE.svc.cluster.local, subset: canary}
`
	hostVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout}
spec:
  hosts: [shop.example.com]
  gateways: [public]
  http:
  - timeout: 3s
    route:
    - {destination: {host: checkout-canary}, weight: 0}
    - {destination: {host: checkout}, weight: 100}
`
	thirdVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout}
spec:
  hosts: [checkout]
  http:
  - route:
    - {destination: {host: legacy.other}, weight: 41}
    - {destination: {host: checkout, subset: stable}, weight: 59}
    - {destination: {host: checkout, subset: canary}, weight: 0}
`
	allVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout}
spec:
  hosts: [checkout, checkout.example.com]
  gateways: [mesh, public]
  http:
  - name: primary
    route:
    - {destination: {host: checkout, subset: stable}, weight: 100}
    - {destination: {host: checkout, subset: canary}}
  - route: [{destination: {host: legacy.other}}]
  tls:
  - match: [{port: 443, sniHosts: [checkout.example.com], gateways: [public]}]
    route:
    - {destination: {host: checkout, subset: canary}, weight: 0}
    - {destination: {host: checkout, subset: stable}, weight: 90}
    - {destination: {host: checkout, subset: old}, weight: 10}
  tcp:
  - match: [{port: 3306, sourceLabels: {app: shop}}]
    route:
    - {destination: {host: checkout, subset: stable, port: {number: 3306}}, weight: 100}
    - {destination: {host: checkout, subset: canary, port: {number: 3306}}}
`
	secondVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout-public}
spec:
  hosts: [shop.example.com]
  http:
  - name: one
    route:
    - {destination: {host: checkout, subset: stable}, weight: 900}
    - {destination: {host: checkout, subset: canary}}
    - {destination: {host: legacy.other}, weight: 100}
  - name: two
    route:
    - {destination: {host: checkout, subset: canary}}
    - {destination: {host: checkout, subset: stable}, weight: 100}
`
)

func subsets(virtualServices ...v1alpha1.IstioVirtualService) v1alpha1.IstioTraffic {
	return v1alpha1.IstioTraffic{
		VirtualServices: virtualServices,
		DestinationRule: &v1alpha1.IstioDestinationRule{Name: "checkout", StableSubset: "stable", CanarySubset: "canary"},
	}
}

func services(virtualServices ...v1alpha1.IstioVirtualService) v1alpha1.IstioTraffic {
	return v1alpha1.IstioTraffic{
		VirtualServices: virtualServices,
		Services:        &v1alpha1.IstioServices{Stable: "checkout", Canary: "checkout-canary"},
	}
}

func named(name string, routes ...string) v1alpha1.IstioVirtualService {
	return v1alpha1.IstioVirtualService{Name: name, Routes: routes}
}

// missing makes the objects and parts that can be missing: each is the kind and the
// name of an object, or a change of one.
func (m *mesh) missing(kind, name, reason, says string, change ...func(object map[string]any)) conformance.Missing {
	if len(change) == 0 {
		return conformance.Missing{Name: "no " + kind, Reason: reason, Says: says, Remove: func() { m.Delete(kind, name) }}
	}
	return conformance.Missing{Name: "part of " + kind, Reason: reason, Says: says, Remove: func() { m.Edit(kind, name, change[0]) }}
}

func TestConformance(t *testing.T) {
	noVirtualService := func(m *mesh) conformance.Missing {
		return m.missing("VirtualService", "checkout", v1alpha1.ReasonObjectMissing, "checkout does not exist: create it")
	}
	noRule := func(m *mesh) conformance.Missing {
		return m.missing("DestinationRule", "checkout", v1alpha1.ReasonObjectMissing, "checkout does not exist: create it")
	}
	noSubset := func(m *mesh) conformance.Missing {
		return m.missing("DestinationRule", "checkout", v1alpha1.ReasonDestinationMissing, "spec.subsets:\n- name: canary",
			func(object map[string]any) { at(object, "spec", "subsets", 1).(map[string]any)["name"] = "other" })
	}
	noCanary := func(list string) func(m *mesh) conformance.Missing {
		return func(m *mesh) conformance.Missing {
			return m.missing("VirtualService", "checkout", v1alpha1.ReasonDestinationMissing, "subset: canary\n  weight: 0",
				func(object map[string]any) {
					routes := at(object, "spec", list).([]any)
					route := routes[len(routes)-1].(map[string]any)
					route["route"] = []any{map[string]any{
						"destination": map[string]any{"host": "checkout", "subset": "stable"}, "weight": int64(100),
					}}
				})
		}
	}
	for _, c := range []struct {
		name    string
		traffic v1alpha1.IstioTraffic
		// edited is the route in which somebody else sets weights.
		edited    place
		documents []string
		missing   []func(m *mesh) conformance.Missing
		// foreign says that the VirtualService checkout has other destinations.
		foreign bool
	}{
		{
			name: "Subsets", traffic: subsets(named("checkout", "primary")),
			edited:    place{vs: "checkout", list: "http", route: 1, stable: 0, canary: 1, common: 100},
			documents: []string{destinationRule, subsetVirtualService},
			missing: []func(m *mesh) conformance.Missing{noVirtualService, noRule, noSubset, noCanary("http"),
				func(m *mesh) conformance.Missing {
					return m.missing("VirtualService", "checkout", v1alpha1.ReasonRouteMissing, "set spec.http[].name to it",
						func(object map[string]any) { at(object, "spec", "http", 1).(map[string]any)["name"] = "other" })
				}},
		},
		{
			name: "Services", traffic: services(named("checkout")),
			edited:    place{vs: "checkout", list: "http", route: 0, stable: 1, canary: 0, common: 100},
			documents: []string{stableService, canaryService, hostVirtualService},
			missing: []func(m *mesh) conformance.Missing{noVirtualService,
				func(m *mesh) conformance.Missing {
					return m.missing("Service", "checkout-canary", v1alpha1.ReasonObjectMissing, "spec.traffic.istio.services")
				},
				func(m *mesh) conformance.Missing {
					return m.missing("VirtualService", "checkout", v1alpha1.ReasonRouteMissing, "host: checkout-canary",
						func(object map[string]any) {
							at(object, "spec", "http", 0).(map[string]any)["route"] = []any{
								map[string]any{"destination": map[string]any{"host": "other"}},
							}
						})
				}},
		},
		{
			name: "ThirdDestination", traffic: subsets(named("checkout")), foreign: true,
			edited:    place{vs: "checkout", list: "http", route: 0, stable: 1, canary: 2, common: 59},
			documents: []string{destinationRule, thirdVirtualService},
			missing:   []func(m *mesh) conformance.Missing{noRule},
		},
		{
			name: "ThreeRoutesOfTwoVirtualServices", traffic: subsets(named("checkout", "primary"), named("checkout-public", "one", "two")),
			edited:    place{vs: "checkout-public", list: "http", route: 1, stable: 1, canary: 0, common: 100},
			documents: []string{destinationRule, subsetVirtualService, secondVirtualService},
			missing: []func(m *mesh) conformance.Missing{noVirtualService, func(m *mesh) conformance.Missing {
				return m.missing("VirtualService", "checkout-public", v1alpha1.ReasonObjectMissing, "checkout-public does not exist")
			}},
		},
		{
			name: "AllRoutesOfAllProtocols", traffic: subsets(named("checkout")), foreign: true,
			edited:    place{vs: "checkout", list: "tls", route: 0, stable: 1, canary: 0, common: 90},
			documents: []string{destinationRule, allVirtualService},
			missing:   []func(m *mesh) conformance.Missing{noVirtualService, noRule, noSubset, noCanary("tls"), noCanary("tcp")},
		},
		{
			name: "ConnectionsByName", foreign: true,
			traffic: subsets(v1alpha1.IstioVirtualService{
				Name: "checkout",
				TLS:  []v1alpha1.IstioTLSRoute{{Port: ptr.To(int32(443)), SNIHosts: []string{"checkout.example.com"}}},
				TCP:  []v1alpha1.IstioTCPRoute{{Port: 3306}},
			}),
			edited:    place{vs: "checkout", list: "tcp", route: 0, stable: 0, canary: 1, common: 100},
			documents: []string{destinationRule, allVirtualService},
			missing: []func(m *mesh) conformance.Missing{noRule, func(m *mesh) conformance.Missing {
				return m.missing("VirtualService", "checkout", v1alpha1.ReasonRouteMissing, "correct spec.tcp[].match",
					func(object map[string]any) {
						at(object, "spec", "tcp", 0, "match", 0).(map[string]any)["port"] = int64(3307)
					})
			}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) conformance.World {
				m := newMesh(t, c.traffic, c.documents...)
				w := conformance.World{
					Router:       m.Router,
					Target:       m.Target,
					Writes:       m.Writes,
					SetWeight:    func(weight int32) { m.setWeight(c.edited, weight) },
					SetRevisions: m.setRevisions,
					Foreign:      m.foreign,
					Reapply:      m.Reapply,
					BeforeWrite:  m.BeforeWrite,
				}
				for _, missing := range c.missing {
					w.Missing = append(w.Missing, missing(m))
				}
				if c.foreign {
					w.ForeignShares = m.foreignShares
				}
				return w
			})
		})
	}
}

// foreignShares returns the share of each destination of the VirtualService
// checkout that is neither stable nor canary.
func (m *mesh) foreignShares() map[string]float64 {
	m.T.Helper()
	shares := map[string]float64{}
	spec := m.Get("VirtualService", "checkout").Object["spec"].(map[string]any)
	for _, list := range []string{"http", "tls", "tcp"} {
		routes, _ := spec[list].([]any)
		for i := range routes {
			foreign, sum := int64(0), int64(0)
			for j, weight := range m.weightsOf("checkout", list, i) {
				sum += max(weight, 0)
				if isForeign(at(spec, list, i, "route", j, "destination")) {
					foreign += max(weight, 0)
				}
			}
			if foreign > 0 {
				shares[fmt.Sprintf("%s %d", list, i)] = float64(foreign) / float64(sum)
			}
		}
	}
	return shares
}

func isForeign(destination any) bool {
	return at(destination, "host") == "legacy.other" || at(destination, "subset") == "old"
}

// place is where in a VirtualService the two weights are.
type place struct {
	vs, list              string
	route, stable, canary int
	// common is what both hold together.
	common int64
}

func (m *mesh) setWeight(p place, percent int32) {
	m.T.Helper()
	m.Edit("VirtualService", p.vs, func(object map[string]any) {
		route := at(object, "spec", p.list, p.route, "route")
		canary := (p.common*int64(percent) + 99) / 100
		at(route, p.canary).(map[string]any)["weight"] = canary
		at(route, p.stable).(map[string]any)["weight"] = p.common - canary
	})
}

func (m *mesh) setRevisions(stable, canary string) {
	m.T.Helper()
	if s := m.Target.Traffic.Istio.Services; s != nil {
		for name, revision := range map[string]string{s.Stable: stable, s.Canary: canary} {
			m.Edit("Service", name, func(object map[string]any) {
				at(object, "spec", "selector").(map[string]any)["pod-template-hash"] = revision
			})
		}
		return
	}
	m.Edit("DestinationRule", "checkout", func(object map[string]any) {
		at(object, "spec", "subsets", 1, "labels").(map[string]any)["pod-template-hash"] = canary
		at(object, "spec", "subsets", 2, "labels").(map[string]any)["pod-template-hash"] = stable
	})
}

// foreign returns all objects of the namespace without what is the Router's: the
// weights of the two destinations and the label of revisions.
func (m *mesh) foreign() any {
	m.T.Helper()
	return m.Foreign(map[string]func(spec map[string]any){
		"VirtualService": eraseWeights,
		"DestinationRule": func(spec map[string]any) {
			for _, subset := range spec["subsets"].([]any) {
				onserver.EraseRevision(subset.(map[string]any), "labels")
			}
		},
		"Service": func(spec map[string]any) { onserver.EraseRevision(spec, "selector") },
	})
}

func eraseWeights(spec map[string]any) {
	for _, list := range []string{"http", "tls", "tcp"} {
		routes, _ := spec[list].([]any)
		for _, route := range routes {
			for _, d := range at(route, "route").([]any) {
				if !isForeign(at(d, "destination")) {
					delete(d.(map[string]any), "weight")
				}
			}
		}
	}
}

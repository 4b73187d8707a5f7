package istio_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/conformance"
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

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name    string
		traffic v1alpha1.IstioTraffic
		// edited is the route in which somebody else sets weights.
		edited    place
		documents []string
		remove    [2]string
	}{
		{
			name: "Subsets", traffic: subsets(named("checkout", "primary")),
			edited:    place{vs: "checkout", route: 1, stable: 0, canary: 1, common: 100},
			documents: []string{destinationRule, subsetVirtualService},
			remove:    [2]string{"VirtualService", "checkout"},
		},
		{
			name: "Services", traffic: services(named("checkout")),
			edited:    place{vs: "checkout", route: 0, stable: 1, canary: 0, common: 100},
			documents: []string{stableService, canaryService, hostVirtualService},
			remove:    [2]string{"Service", "checkout-canary"},
		},
		{
			name: "ThirdDestination", traffic: subsets(named("checkout")),
			edited:    place{vs: "checkout", route: 0, stable: 1, canary: 2, common: 59},
			documents: []string{destinationRule, thirdVirtualService},
			remove:    [2]string{"DestinationRule", "checkout"},
		},
		{
			name: "ThreeRoutesOfTwoVirtualServices", traffic: subsets(named("checkout", "primary"), named("checkout-public", "one", "two")),
			edited:    place{vs: "checkout-public", route: 1, stable: 1, canary: 0, common: 100},
			documents: []string{destinationRule, subsetVirtualService, secondVirtualService},
			remove:    [2]string{"VirtualService", "checkout-public"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) conformance.World {
				m := newMesh(t, c.traffic, c.documents...)
				return conformance.World{
					Router:       m.router,
					Target:       m.target,
					Writes:       m.writes,
					SetWeight:    func(weight int32) { m.setWeight(c.edited, weight) },
					SetRevisions: m.setRevisions,
					Foreign:      m.foreign,
					Remove:       func() { m.delete(c.remove[0], c.remove[1]) },
					BeforeWrite:  m.beforeWrite,
				}
			})
		})
	}
}

// place is where in a VirtualService the two weights are.
type place struct {
	vs                    string
	route, stable, canary int
	// common is what both hold together.
	common int64
}

func (m *mesh) setWeight(p place, percent int32) {
	m.t.Helper()
	m.edit("VirtualService", p.vs, func(object map[string]any) {
		route := at(object, "spec", "http", p.route, "route")
		canary := (p.common*int64(percent) + 99) / 100
		at(route, p.canary).(map[string]any)["weight"] = canary
		at(route, p.stable).(map[string]any)["weight"] = p.common - canary
	})
}

func (m *mesh) setRevisions(stable, canary string) {
	m.t.Helper()
	if s := m.target.Traffic.Istio.Services; s != nil {
		for name, revision := range map[string]string{s.Stable: stable, s.Canary: canary} {
			m.edit("Service", name, func(object map[string]any) {
				at(object, "spec", "selector").(map[string]any)["pod-template-hash"] = revision
			})
		}
		return
	}
	m.edit("DestinationRule", "checkout", func(object map[string]any) {
		at(object, "spec", "subsets", 1, "labels").(map[string]any)["pod-template-hash"] = canary
		at(object, "spec", "subsets", 2, "labels").(map[string]any)["pod-template-hash"] = stable
	})
}

// foreign returns all objects of the namespace without what is the Router's: the
// weights of the two destinations and the label of revisions; and without what
// the API server counts.
func (m *mesh) foreign() any {
	m.t.Helper()
	all := map[string]any{}
	for _, kind := range []string{"VirtualService", "DestinationRule", "Service"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(newObject(kind).GroupVersionKind())
		if err := m.admin.List(m.t.Context(), list, inNamespace(m.namespace)); err != nil {
			m.t.Fatal(err)
		}
		for _, item := range list.Items {
			object := item.Object
			for _, field := range []string{"resourceVersion", "generation", "managedFields"} {
				delete(object["metadata"].(map[string]any), field)
			}
			erase(kind, object["spec"].(map[string]any))
			all[kind+"/"+item.GetName()] = object
		}
	}
	return all
}

func erase(kind string, spec map[string]any) {
	switch kind {
	case "VirtualService":
		for _, route := range spec["http"].([]any) {
			for _, d := range at(route, "route").([]any) {
				host := at(d, "destination", "host")
				if subset := at(d, "destination", "subset"); host != "legacy.other" && subset != "old" {
					delete(d.(map[string]any), "weight")
				}
			}
		}
	case "DestinationRule":
		for _, subset := range spec["subsets"].([]any) {
			eraseRevision(subset.(map[string]any), "labels")
		}
	case "Service":
		eraseRevision(spec, "selector")
	}
}

// eraseRevision takes the label of revisions out of a map, and the map if it is
// empty then.
func eraseRevision(object map[string]any, field string) {
	labels, ok := object[field].(map[string]any)
	if !ok {
		return
	}
	delete(labels, "pod-template-hash")
	if len(labels) == 0 {
		delete(object, field)
	}
}

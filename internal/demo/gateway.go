package demo

import (
	"fmt"
	"strings"
)

// gatewayRoute is the route of what comes through the gateway.
const gatewayRoute = "web"

// Host is the name by which the service is called through the gateway.
func (s Service) Host() string { return s.Name + "." + s.Namespace + ".example.com" }

// gatewayYAML is routing for callers in the mesh, by gRPC, and for those that come
// through a gateway, by HTTP. Nothing is tried again: a lost request shows.
func (s Service) gatewayYAML() string {
	var out strings.Builder
	services, stable, canary := []string{s.Name}, "host: "+s.Name+", subset: stable", "host: "+s.Name+", subset: canary"
	if s.Services {
		services = append(services, s.Name+"-stable", s.Name+"-canary")
		stable, canary = "host: "+services[1], "host: "+services[2]
	}
	fmt.Fprintf(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", s.Namespace)
	for _, name := range services {
		fmt.Fprintf(&out, gatewayServiceYAML, s.Namespace, name, s.Name)
	}
	if !s.Services {
		fmt.Fprintf(&out, gatewayRuleYAML, s.Namespace, s.Name)
	}
	fmt.Fprintf(&out, gatewayRoutesYAML, s.Namespace, s.Name, s.Host(), stable, canary)
	return out.String()
}

const gatewayServiceYAML = `---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[3]s}
  ports:
  - {name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}
  - {name: http, port: 8000, targetPort: 8081}
`

const gatewayRuleYAML = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  host: %[2]s
  subsets:
  - {name: stable, labels: {app: %[2]s}}
  - {name: canary, labels: {app: %[2]s}}
`

const gatewayRoutesYAML = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [%[3]s]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  hosts: [%[2]s, %[3]s]
  gateways: [mesh, %[2]s]
  http:
  - name: web
    match: [{gateways: [%[2]s]}]
    retries: {attempts: 0}
    route:
    - {destination: {%[4]s, port: {number: 8000}}, weight: 100}
    - {destination: {%[5]s, port: {number: 8000}}, weight: 0}
  - name: primary
    route:
    - {destination: {%[4]s, port: {number: 80}}, weight: 100}
    - {destination: {%[5]s, port: {number: 80}}, weight: 0}
`

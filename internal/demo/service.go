package demo

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Service is a demo service: its routing and its Rollout.
type Service struct {
	// Namespace and Name of everything.
	Namespace, Name string
	// Replicas of the Rollout.
	Replicas int32
	// Version is the image tag; it says how the service behaves.
	Version string
	// Annotations of the pods, for the pod runner.
	Annotations map[string]string
	// Image without its tag; the demo app without it.
	Image string
	// Steps of the release.
	Steps []v1alpha1.Step
	// Metrics to analyse; none without them.
	Metrics []v1alpha1.Metric
	// Comparisons is how sure one must be of those that compare.
	Comparisons v1alpha1.ComparisonPolicy
	// Services makes the split one of two Services instead of two subsets.
	Services bool
	// Route makes the split one of two Services by a route of the Gateway API of this
	// kind, HTTPRoute or GRPCRoute.
	Route v1alpha1.GatewayAPIRouteKind
	// Gateway has the service called through an Istio Gateway, too, by HTTP: for
	// Host, by a route of its own that the Rollout moves with the other.
	Gateway bool
	// Propagation and Drain as in the Rollout; 500ms and 2s without them.
	Propagation, Drain time.Duration
	// AfterPromotion as in the Rollout; nothing without it.
	AfterPromotion *v1alpha1.AfterPromotion
	// Alerts as in the Rollout; none without them.
	Alerts []v1alpha1.AlertRule
	// ProgressDeadline as in the Rollout; 1m without it.
	ProgressDeadline time.Duration
}

// DemoImage is the image of the demo app.
const DemoImage = "sluice.dev/demo"

// Target is what traffic clients dial.
func (s Service) Target() string {
	return fmt.Sprintf("xds:///%s.%s.svc.cluster.local:80", s.Name, s.Namespace)
}

// RoutingYAML is the namespace and the routing, as a user would have it before
// Sluice: it says nothing of revisions.
func (s Service) RoutingYAML() string {
	if s.Route != "" {
		return fmt.Sprintf(routeYAML, s.Namespace, s.Name, s.Route)
	}
	if s.Gateway {
		return s.gatewayYAML()
	}
	if s.Services {
		return fmt.Sprintf(servicesYAML, s.Namespace, s.Name)
	}
	return fmt.Sprintf(subsetsYAML, s.Namespace, s.Name)
}

const subsetsYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  host: %[2]s
  subsets:
  - {name: stable, labels: {app: %[2]s}}
  - {name: canary, labels: {app: %[2]s}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  hosts: [%[2]s]
  http:
  - name: primary
    route:
    - {destination: {host: %[2]s, subset: stable}, weight: 100}
    - {destination: {host: %[2]s, subset: canary}, weight: 0}
`

const servicesYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s-stable, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s-canary, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  hosts: [%[2]s]
  http:
  - name: primary
    route:
    - {destination: {host: %[2]s-stable}, weight: 100}
    - {destination: {host: %[2]s-canary}, weight: 0}
`

// routeYAML routes within the mesh: the parent is the Service that is called, which
// is the stable one too.
const routeYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s-canary, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: 8080, appProtocol: grpc}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: %[3]s
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  parentRefs: [{group: "", kind: Service, name: %[2]s, port: 80}]
  rules:
  - name: primary
    backendRefs:
    - {name: %[2]s, port: 80, weight: 100}
    - {name: %[2]s-canary, port: 80, weight: 0}
`

// traffic says which routing objects split the service's requests.
func (s Service) traffic() v1alpha1.Traffic {
	traffic := v1alpha1.Traffic{
		PropagationTime: durationOr(s.Propagation, 500*time.Millisecond),
		DrainTime:       durationOr(s.Drain, 2*time.Second),
	}
	if s.Route != "" {
		traffic.GatewayAPI = &v1alpha1.GatewayAPITraffic{
			Routes:   []v1alpha1.GatewayAPIRoute{{Kind: s.Route, Name: s.Name, Rules: []string{"primary"}}},
			Services: v1alpha1.GatewayAPIServices{Stable: s.Name, Canary: s.Name + "-canary"},
		}
		return traffic
	}
	routes := []string{"primary"}
	if s.Gateway {
		routes = append(routes, gatewayRoute)
	}
	traffic.Istio = &v1alpha1.IstioTraffic{
		VirtualServices: []v1alpha1.IstioVirtualService{{Name: s.Name, Routes: routes}},
	}
	if s.Services {
		traffic.Istio.Services = &v1alpha1.IstioServices{Stable: s.Name + "-stable", Canary: s.Name + "-canary"}
	} else {
		traffic.Istio.DestinationRule = &v1alpha1.IstioDestinationRule{Name: s.Name, StableSubset: "stable", CanarySubset: "canary"}
	}
	return traffic
}

// Rollout builds the service's Rollout.
func (s Service) Rollout() (*v1alpha1.Rollout, error) {
	template, err := s.template()
	if err != nil {
		return nil, err
	}
	rollout := &v1alpha1.Rollout{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name},
		Spec: v1alpha1.RolloutSpec{
			Replicas:         ptr.To(s.Replicas),
			Selector:         metav1.LabelSelector{MatchLabels: map[string]string{"app": s.Name}},
			Workload:         v1alpha1.Workload{Template: template},
			Strategy:         v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: s.Steps}},
			Traffic:          s.traffic(),
			AfterPromotion:   s.AfterPromotion,
			Alerts:           s.Alerts,
			ProgressDeadline: durationOr(s.ProgressDeadline, time.Minute),
		},
	}
	if len(s.Metrics) > 0 {
		rollout.Spec.Analysis = &v1alpha1.Analysis{Metrics: s.Metrics, ComparisonPolicy: s.Comparisons}
	}
	return rollout, nil
}

// template is the pod template of the service's version.
func (s Service) template() (*runtime.RawExtension, error) {
	image := s.Image
	if image == "" {
		image = DemoImage
	}
	raw, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": map[string]string{"app": s.Name}, "annotations": s.Annotations},
		"spec": map[string]any{
			"terminationGracePeriodSeconds": 2,
			"containers": []any{map[string]any{
				"name":  "app",
				"image": image + ":" + s.Version,
				"ports": s.ports(),
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the pod template: %w", err)
	}
	return &runtime.RawExtension{Raw: raw}, nil
}

// ports of the container: HTTP is served only where it is asked for.
func (s Service) ports() []any {
	ports := []any{map[string]any{"name": "grpc", "containerPort": 8080}}
	if s.Gateway {
		ports = append(ports, map[string]any{"name": "http", "containerPort": 8081})
	}
	return ports
}

func durationOr(d, otherwise time.Duration) *metav1.Duration {
	if d == 0 {
		d = otherwise
	}
	return &metav1.Duration{Duration: d}
}

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Traffic says which routing objects split the service's requests.
//
// +kubebuilder:validation:XValidation:rule="has(self.istio) != has(self.gatewayAPI)",message="exactly one of istio and gatewayAPI must be set"
type Traffic struct {
	// istio splits by the weights of VirtualServices.
	// +optional
	Istio *IstioTraffic `json:"istio,omitempty"`

	// gatewayAPI splits by the weights of the Gateway API's routes, of gateways and
	// of meshes.
	// +optional
	GatewayAPI *GatewayAPITraffic `json:"gatewayAPI,omitempty"`

	// propagationTime is how long a change of routing may take to reach every
	// proxy: a split counts as in force, and the next change that builds on it is
	// made, no sooner. Default 1s, at most 10m.
	// +optional
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('10m')",message="propagationTime must be between 0s and 10m"
	PropagationTime *metav1.Duration `json:"propagationTime,omitempty"`

	// drainTime is how long a ReplicaSet keeps its pods after the last request
	// was routed to it, for requests in flight. Default 30s, at most 24h.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="drainTime must be between 0s and 24h"
	DrainTime *metav1.Duration `json:"drainTime,omitempty"`
}

// IstioTraffic splits by the weights of VirtualServices. Only weights are ever
// edited, and either the subsets' labels or the Services' selectors.
//
// +kubebuilder:validation:XValidation:rule="has(self.destinationRule) != has(self.services)",message="exactly one of destinationRule and services must be set"
type IstioTraffic struct {
	// virtualServices hold the routes whose weights move. 1 to 10.
	// +required
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	VirtualServices []IstioVirtualService `json:"virtualServices"`

	// destinationRule splits by two subsets of one Service.
	// +optional
	DestinationRule *IstioDestinationRule `json:"destinationRule,omitempty"`

	// services splits by two Services.
	// +optional
	Services *IstioServices `json:"services,omitempty"`
}

// IstioVirtualService names routes of a VirtualService. Without any of routes, tls
// and tcp it is all routes, of whichever of the three lists, that send to the
// stable or the canary destination, of which there must be one at least.
type IstioVirtualService struct {
	// name of the VirtualService.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// namespace of the VirtualService; empty stands for the Rollout's. In any other
	// one a ReferenceGrant of gateway.networking.k8s.io must let Rollouts of this
	// namespace refer to the VirtualService. Default "".
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$`
	Namespace string `json:"namespace,omitempty"`
	// routes are names of HTTP routes (spec.http[].name).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Routes []string `json:"routes,omitempty"`
	// tls are TLS routes (spec.tls), by what they match. Weights divide
	// connections there. At most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	TLS []IstioTLSRoute `json:"tls,omitempty"`
	// tcp are TCP routes (spec.tcp), by the port that they match. Weights divide
	// connections there. At most 50.
	// +optional
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MaxItems=50
	TCP []IstioTCPRoute `json:"tcp,omitempty"`
}

// IstioTLSRoute picks the TLS routes that have a match with all that is named here.
type IstioTLSRoute struct {
	// sniHosts must all be among those of the match, letter for letter. 1 to 16.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	SNIHosts []string `json:"sniHosts"`
	// port of the match. 1 to 65535; any without it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
}

// IstioTCPRoute picks the TCP routes that have a match with the port.
type IstioTCPRoute struct {
	// port of the match. 1 to 65535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// IstioDestinationRule names the two subsets between which traffic is split.
//
// +kubebuilder:validation:XValidation:rule="!has(self.stableSubset) || !has(self.canarySubset) || self.stableSubset != self.canarySubset",message="stableSubset and canarySubset must differ"
type IstioDestinationRule struct {
	// name of the DestinationRule, in the Rollout's namespace. It must have both
	// subsets; Sluice sets the label pod-template-hash in them and nothing else.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// stableSubset is the subset of the stable revision. Default "stable".
	// +optional
	// +kubebuilder:default=stable
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StableSubset string `json:"stableSubset,omitempty"`
	// canarySubset is the subset of the canary revision. Default "canary".
	// +optional
	// +kubebuilder:default=canary
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	CanarySubset string `json:"canarySubset,omitempty"`
}

// IstioServices names the two Services between which traffic is split.
//
// +kubebuilder:validation:XValidation:rule="self.stable != self.canary",message="stable and canary must be different Services"
type IstioServices struct {
	// stable is the Service of the stable revision, in the Rollout's namespace.
	// Sluice sets pod-template-hash in its selector and nothing else.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Stable string `json:"stable"`
	// canary is the Service of the canary revision, likewise.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Canary string `json:"canary"`
}

// GatewayAPITraffic splits by the weights of HTTPRoutes and GRPCRoutes in the
// Rollout's namespace, between two Services. Only weights and the Services'
// selectors are ever edited.
type GatewayAPITraffic struct {
	// routes are those whose weights move. 1 to 10.
	// +required
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Routes []GatewayAPIRoute `json:"routes"`

	// services are the two Services between which the routes divide requests.
	// +required
	Services GatewayAPIServices `json:"services"`
}

// GatewayAPIRouteKind is a kind of route of the Gateway API.
//
// +kubebuilder:validation:Enum=HTTPRoute;GRPCRoute
type GatewayAPIRouteKind string

const (
	// GatewayAPIHTTPRoute is an HTTPRoute of gateway.networking.k8s.io/v1.
	GatewayAPIHTTPRoute GatewayAPIRouteKind = "HTTPRoute"
	// GatewayAPIGRPCRoute is a GRPCRoute of gateway.networking.k8s.io/v1.
	GatewayAPIGRPCRoute GatewayAPIRouteKind = "GRPCRoute"
)

// GatewayAPIRoute names rules of a route. Without rules it is all rules that send
// to the stable or the canary Service, of which there must be one at least.
type GatewayAPIRoute struct {
	// kind of the route. Default HTTPRoute.
	// +optional
	// +kubebuilder:default=HTTPRoute
	Kind GatewayAPIRouteKind `json:"kind,omitempty"`
	// name of the route, in the Rollout's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// rules are names of rules (spec.rules[].name).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Rules []string `json:"rules,omitempty"`
}

// GatewayAPIServices names the two Services between which traffic is split.
//
// +kubebuilder:validation:XValidation:rule="self.stable != self.canary",message="stable and canary must be different Services"
type GatewayAPIServices struct {
	// stable is the Service of the stable revision, in the Rollout's namespace.
	// Sluice sets pod-template-hash in its selector and nothing else.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Stable string `json:"stable"`
	// canary is the Service of the canary revision, likewise.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Canary string `json:"canary"`
}

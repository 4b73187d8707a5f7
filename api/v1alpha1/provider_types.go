package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MetricProvider says where metrics of its namespace live and how to sign in
// there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mp,categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.prometheus.address`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MetricProvider struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says where and how.
	// +required
	Spec MetricProviderSpec `json:"spec"`
	// status tells whether the provider is usable.
	// +optional
	Status MetricProviderStatus `json:"status,omitempty"`
}

// MetricProviderList is a list of MetricProviders.
//
// +kubebuilder:object:root=true
type MetricProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MetricProvider `json:"items"`
}

// MetricProviderSpec says where metrics live.
//
// +kubebuilder:validation:XValidation:rule="has(self.prometheus)",message="prometheus is required"
type MetricProviderSpec struct {
	// prometheus is a server with the Prometheus HTTP API.
	// +optional
	Prometheus *PrometheusProvider `json:"prometheus,omitempty"`
}

// PrometheusProvider is a server with the Prometheus HTTP API.
type PrometheusProvider struct {
	// address of the server, http or https, with an optional path and without
	// credentials or query. Redirects are not followed. Addresses that are
	// loopback, link-local or the API server's own are refused.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="address must be an http or https URL"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="address must not contain credentials, a query or a fragment"
	Address string `json:"address"`

	// timeout of a query. Default 10s, 100ms to 5m.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="timeout must be between 100ms and 5m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// auth says how to sign in. Without it nothing is sent.
	// +optional
	Auth *ProviderAuth `json:"auth,omitempty"`

	// tls says how to verify an https server. Without it the system's authorities
	// are trusted. TLS 1.2 is the least.
	// +optional
	TLS *ProviderTLS `json:"tls,omitempty"`
}

// ProviderAuth says how to sign in.
//
// +kubebuilder:validation:XValidation:rule="has(self.basic) != has(self.bearer)",message="exactly one of basic and bearer must be set"
type ProviderAuth struct {
	// basic is HTTP basic authentication.
	// +optional
	Basic *BasicAuth `json:"basic,omitempty"`
	// bearer is a bearer token.
	// +optional
	Bearer *SecretKeyReference `json:"bearer,omitempty"`
}

// BasicAuth is HTTP basic authentication.
type BasicAuth struct {
	// username to send.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Username string `json:"username"`
	// password to send.
	// +required
	Password SecretKeyReference `json:"password"`
}

// SecretKeyReference names one key of a Secret in the same namespace. The
// operator needs a Role there that lets it get this Secret by name.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key in the Secret's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// ProviderTLS says how to verify an https server.
type ProviderTLS struct {
	// ca is a bundle of PEM certificates to trust instead of the system's.
	// +required
	CA SecretKeyReference `json:"ca"`
}

// MetricProviderStatus tells whether the provider is usable.
type MetricProviderStatus struct {
	// conditions holds Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

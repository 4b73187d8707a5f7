// Package cluster reads and writes Rollouts with the user's own kubeconfig and
// permissions, as kubectl does.
package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// FieldOwner is the name under which the plugin writes.
const FieldOwner = "kubectl-sluice"

// Cluster is the API server that the user's kubeconfig names.
type Cluster struct {
	Client client.WithWatch
	Config *rest.Config
	// Namespace is the one to work in.
	Namespace string
	// Now tells the time.
	Now func() time.Time
}

// Scheme knows the kinds that the plugin reads and prints.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

// Connect reads the user's kubeconfig and flags. Nothing is asked of the API server
// yet.
func Connect(flags *genericclioptions.ConfigFlags) (*Cluster, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the namespace of the kubeconfig: %w", err)
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	config.UserAgent = FieldOwner
	config.QPS, config.Burst = 50, 100 // a person does not wait behind a throttle of ours
	log.SetLogger(logr.Discard())      // the library would complain, on the terminal, about having none
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: kinds(), FieldOwner: FieldOwner})
	if err != nil {
		return nil, fmt.Errorf("setting up the client: %w", err)
	}
	return &Cluster{Client: c, Config: config, Namespace: namespace, Now: time.Now}, nil
}

// kinds maps the few kinds that are asked for to their resources, so that no
// discovery, several requests of its own, comes before the first answer.
func kinds() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Rollout", "RolloutAction", "AnalysisRun", "MetricProvider"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), meta.RESTScopeRoot)
	return mapper
}

package history

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Kinds that a Checker looks at.
const (
	KindRollout         = "Rollout"
	KindAnalysisRun     = "AnalysisRun"
	KindRolloutAction   = "RolloutAction"
	KindVirtualService  = "VirtualService"
	KindDestinationRule = "DestinationRule"
	KindHTTPRoute       = "HTTPRoute"
	KindGRPCRoute       = "GRPCRoute"
	KindService         = "Service"
	KindReplicaSet      = "ReplicaSet"
	KindPod             = "Pod"
	KindLease           = "Lease"
)

// folders are where the API server stores the kinds in etcd.
var folders = map[string]string{
	"sluice.dev/rollouts":                  KindRollout,
	"sluice.dev/analysisruns":              KindAnalysisRun,
	"sluice.dev/rolloutactions":            KindRolloutAction,
	"networking.istio.io/virtualservices":  KindVirtualService,
	"networking.istio.io/destinationrules": KindDestinationRule,
	"gateway.networking.k8s.io/httproutes": KindHTTPRoute,
	"gateway.networking.k8s.io/grpcroutes": KindGRPCRoute,
	"services/specs":                       KindService,
	"replicasets":                          KindReplicaSet,
	"pods":                                 KindPod,
	"leases":                               KindLease,
}

// Version is one stored version of an object, or its deletion.
type Version struct {
	// Revision of the store; the object's resourceVersion.
	Revision int64
	// Seen is when the watch delivered it, which is shortly after it was stored.
	Seen time.Time
	// Kind is one of the constants; Namespace and Name identify the object.
	Kind, Namespace, Name string
	// Raw is the object as JSON; empty when it was deleted.
	Raw []byte
	// Writer is the user name of the operator that wrote it; empty for anybody
	// else.
	Writer string
}

// Deleted reports whether the object was removed.
func (v *Version) Deleted() bool { return len(v.Raw) == 0 }

// parseKey tells which object a key of etcd is for; ok is false for kinds that
// nobody looks at.
func parseKey(key string) (kind, namespace, name string, ok bool) {
	rest, found := strings.CutPrefix(key, prefix)
	if !found {
		return "", "", "", false
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 {
		return "", "", "", false
	}
	n := len(parts)
	kind, ok = folders[strings.Join(parts[:n-2], "/")]
	return kind, parts[n-2], parts[n-1], ok
}

// object is a decoded version: the typed value, and for the objects of users what
// is stored field by field.
type object struct {
	typed   any
	generic map[string]any
}

// The parts of Istio's kinds that matter here.
type (
	virtualService struct {
		Spec struct {
			HTTP []httpRoute `json:"http"`
		} `json:"spec"`
	}
	httpRoute struct {
		Name  string        `json:"name"`
		Route []destination `json:"route"`
	}
	destination struct {
		Destination struct {
			Host   string `json:"host"`
			Subset string `json:"subset"`
		} `json:"destination"`
		Weight int32 `json:"weight"`
	}
	destinationRule struct {
		Spec struct {
			Subsets []subset `json:"subsets"`
		} `json:"spec"`
	}
	subset struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
)

// decode reads a version's object.
func decode(v *Version) (*object, error) {
	typed, err := newTyped(v.Kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(v.Raw, typed); err != nil {
		return nil, fmt.Errorf("decoding %s %s/%s at revision %d: %w", v.Kind, v.Namespace, v.Name, v.Revision, err)
	}
	o := &object{typed: typed}
	switch v.Kind {
	case KindVirtualService, KindDestinationRule, KindHTTPRoute, KindGRPCRoute, KindService, KindRollout:
		if err := json.Unmarshal(v.Raw, &o.generic); err != nil {
			return nil, fmt.Errorf("decoding %s %s/%s: %w", v.Kind, v.Namespace, v.Name, err)
		}
	}
	return o, nil
}

func newTyped(kind string) (any, error) {
	switch kind {
	case KindRollout:
		return &v1alpha1.Rollout{}, nil
	case KindAnalysisRun:
		return &v1alpha1.AnalysisRun{}, nil
	case KindRolloutAction:
		return &v1alpha1.RolloutAction{}, nil
	case KindVirtualService:
		return &virtualService{}, nil
	case KindDestinationRule:
		return &destinationRule{}, nil
	case KindHTTPRoute, KindGRPCRoute:
		return &gatewayRoute{}, nil
	case KindService:
		return &corev1.Service{}, nil
	case KindReplicaSet:
		return &appsv1.ReplicaSet{}, nil
	case KindPod:
		return &corev1.Pod{}, nil
	case KindLease:
		return &coordinationv1.Lease{}, nil
	}
	return nil, fmt.Errorf("kind %s is not known", kind)
}

package localcluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DemoImage is the repository of the demo app's images. The tag says how the
// version behaves: see ParseDemoTag.
const DemoImage = "sluice.dev/demo"

// DemoMethod is the demo app's one gRPC method. It takes a
// google.protobuf.Empty and answers with a google.protobuf.Struct that has
// the fields pod, revision and version.
const DemoMethod = "/sluice.demo.v1.Demo/Get"

// Trailers that the demo app sends with every answer, failures included; headers
// of an answer by HTTP.
const (
	// TrailerInjected is "true" on a failure that the version was told to
	// produce. Any other failure is a lost request.
	TrailerInjected          = "x-demo-injected"
	TrailerPod               = "x-demo-pod"
	TrailerRevision          = "x-demo-revision" // label pod-template-hash
	TrailerVersion           = "x-demo-version"  // image tag
	TrailerWorkload          = "x-demo-workload"
	TrailerNamespace         = "x-demo-namespace"
	TrailerCanonicalService  = "x-demo-canonical-service"
	TrailerCanonicalRevision = "x-demo-canonical-revision"
)

// Behaviour is how one version of the demo app behaves.
type Behaviour struct {
	Version    string        // the whole image tag
	ErrorRate  float64       // share of requests that fail with code Internal, 0..1
	Latency    time.Duration // added to every answer
	StartDelay time.Duration // from the pod's start until it is ready
	GoodFor    time.Duration // from the pod's start until requests begin to fail
}

// ParseDemoTag reads a demo image's tag: a version, then options, joined by
// "-". "v2-errors-20" fails 20% of its requests (decimals allowed),
// "v3-latency-200ms" adds 200 ms to each, "v4-start-3s" takes 3 s to become
// ready, "v5-errors-20-after-1m" fails as the first from a minute after the start
// on; they combine. Anything else is an error.
func ParseDemoTag(tag string) (Behaviour, error) {
	b := Behaviour{Version: tag}
	parts := strings.Split(tag, "-")
	if parts[0] == "" || len(parts)%2 == 0 {
		return Behaviour{}, fmt.Errorf("demo tag %q: want VERSION and then any number of -OPTION-VALUE", tag)
	}
	for i := 1; i < len(parts); i += 2 {
		if err := b.option(parts[i], parts[i+1]); err != nil {
			return Behaviour{}, fmt.Errorf("demo tag %q: %w", tag, err)
		}
	}
	return b, nil
}

func (b *Behaviour) option(name, value string) error {
	if name == "errors" {
		percent, err := strconv.ParseFloat(value, 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return fmt.Errorf("errors %q: want a percentage", value)
		}
		b.ErrorRate = percent / 100
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > time.Hour {
		return fmt.Errorf("%s %q: want a duration of at most an hour", name, value)
	}
	switch name {
	case "latency":
		b.Latency = d
	case "start":
		b.StartDelay = d
	case "after":
		b.GoodFor = d
	default:
		return fmt.Errorf("unknown option %q", name)
	}
	return nil
}

// behaviourOf reads a container's image. Only the demo repository's tags mean
// something; any other image is a well-behaved app.
func behaviourOf(image string) (Behaviour, error) {
	repository, tag, _ := strings.Cut(image, ":")
	if repository != DemoImage {
		return Behaviour{Version: tag}, nil
	}
	return ParseDemoTag(tag)
}

// identityOf is what a pod tells its callers about itself: what a sidecar
// would tell them, and by the same rules.
func identityOf(pod *corev1.Pod, version string) metadata.MD {
	workload := workloadOf(pod)
	return metadata.Pairs(
		TrailerPod, pod.Name,
		TrailerRevision, pod.Labels["pod-template-hash"],
		TrailerVersion, version,
		TrailerWorkload, workload,
		TrailerNamespace, pod.Namespace,
		TrailerCanonicalService, firstLabel(pod, workload,
			"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"),
		TrailerCanonicalRevision, firstLabel(pod, "latest",
			"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"),
	)
}

// workloadOf is the name of the owner with the pod template's hash stripped,
// which is how the mesh names a workload.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return pod.Name
	}
	if hash := pod.Labels["pod-template-hash"]; hash != "" {
		return strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return owner.Name
}

func firstLabel(pod *corev1.Pod, fallback string, keys ...string) string {
	for _, key := range keys {
		if v := pod.Labels[key]; v != "" {
			return v
		}
	}
	return fallback
}

// demoServer is one pod's app.
type demoServer struct {
	behaviour Behaviour
	identity  metadata.MD
	injected  metadata.MD // identity plus the mark
	answer    *structpb.Struct
	badFrom   time.Time // when requests begin to fail
	// later is by how much more than its behaviour says it answers later.
	later func() time.Duration
}

func newDemoServer(pod *corev1.Pod, b Behaviour, slow *slowdowns) (*demoServer, error) {
	identity := identityOf(pod, b.Version)
	answer, err := structpb.NewStruct(map[string]any{
		"pod": pod.Name, "revision": pod.Labels["pod-template-hash"], "version": b.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("answer of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return &demoServer{
		behaviour: b, identity: identity, answer: answer, badFrom: time.Now().Add(b.GoodFor),
		later:    func() time.Duration { return slow.draw(pod.Namespace) },
		injected: metadata.Join(identity, metadata.Pairs(TrailerInjected, "true")),
	}, nil
}

// respond takes as long as the version is told to, and says whether the request is
// one that it is told to fail.
func (s *demoServer) respond(ctx context.Context) (fail bool, err error) {
	if latency := s.behaviour.Latency + s.later(); latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return s.fails(time.Now()), nil
}

// injectedMessage says whose fault an injected failure is.
const injectedMessage = "injected by the version's image tag"

func (s *demoServer) get(ctx context.Context) (*structpb.Struct, error) {
	fail, err := s.respond(ctx)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if fail {
		if err := grpc.SetTrailer(ctx, s.injected); err != nil {
			return nil, err
		}
		return nil, status.Error(codes.Internal, injectedMessage)
	}
	if err := grpc.SetTrailer(ctx, s.identity); err != nil {
		return nil, err
	}
	return s.answer, nil
}

// fails tells whether a request at a time is one of those that the version is told to
// fail.
func (s *demoServer) fails(now time.Time) bool {
	return s.behaviour.ErrorRate > 0 && !now.Before(s.badFrom) && rand.Float64() < s.behaviour.ErrorRate
}

// demoService describes the service without generated code: both messages
// are well-known types.
var demoService = grpc.ServiceDesc{
	ServiceName: "sluice.demo.v1.Demo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Get",
		Handler: func(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(&emptypb.Empty{}); err != nil {
				return nil, err
			}
			app, ok := server.(*demoServer)
			if !ok {
				return nil, status.Errorf(codes.Unimplemented, "served by a %T", server)
			}
			return app.get(ctx)
		},
	}},
}

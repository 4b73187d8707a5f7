package istio_test

import (
	"errors"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

var apiServer = envtest.Shared{CRDs: envtest.AllCRDs}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(apiServer.Run(m))
}

// mesh is a namespace of the API server with routing objects in it.
type mesh struct{ *onserver.Namespace }

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := istio.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// newMesh makes a namespace and, in it, the objects of the YAML documents.
func newMesh(t *testing.T, traffic v1alpha1.IstioTraffic, documents ...string) *mesh {
	t.Helper()
	return newMeshOn(t, apiServer.Config(t), traffic, documents...)
}

func newMeshOn(t *testing.T, config *rest.Config, traffic v1alpha1.IstioTraffic, documents ...string) *mesh {
	t.Helper()
	m := &mesh{onserver.New(t, config, newScheme(t), documents...)}
	m.Target.Traffic.Istio = &traffic
	m.Router = mux.New(istio.Backend(m.Client))
	return m
}

var at = onserver.At

// weights returns those of an HTTP route; -1 where there is none.
func (m *mesh) weights(vs string, route int) []int64 { return m.weightsOf(vs, "http", route) }

func (m *mesh) weightsOf(vs, list string, route int) []int64 {
	m.T.Helper()
	var weights []int64
	for _, d := range at(m.Get("VirtualService", vs).Object, "spec", list, route, "route").([]any) {
		weight, ok := d.(map[string]any)["weight"].(int64)
		if !ok {
			weight = -1
		}
		weights = append(weights, weight)
	}
	return weights
}

func (m *mesh) wantWeights(vs string, route int, want ...int64) {
	m.T.Helper()
	if diff := cmp.Diff(want, m.weights(vs, route)); diff != "" {
		m.T.Errorf("weights of %s, route %d (-want +got):\n%s", vs, route, diff)
	}
}

// errDown is what a write fails with when a test says so.
var errDown = errors.New("the API server is down")

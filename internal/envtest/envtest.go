// Package envtest gives tests a real API server: etcd and kube-apiserver as
// child processes, with the CustomResourceDefinitions that the test asks for.
//
// KUBEBUILDER_ASSETS names the folder of the two programs, SLUICE_ISTIO_CRDS the
// file (or folder) of Istio's CustomResourceDefinitions, SLUICE_GATEWAY_CRDS that of
// the Gateway API's. "make test" sets all of them; without them a test fails and
// says so, it never passes by being skipped.
package envtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	assetsEnv      = "KUBEBUILDER_ASSETS"
	istioCRDsEnv   = "SLUICE_ISTIO_CRDS"
	gatewayCRDsEnv = "SLUICE_GATEWAY_CRDS"
)

// Start boots an API server for one test, or for a test and its subtests, and
// stops it when the test ends. It takes seconds: where several tests of a
// package can share one, use Shared. crdPaths are files or folders of
// CustomResourceDefinitions.
func Start(tb testing.TB, crdPaths ...string) *rest.Config {
	tb.Helper()
	env, err := start(crdPaths)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := env.Stop(); err != nil {
			tb.Errorf("stop the API server: %v", err)
		}
	})
	return env.Config
}

// Shared is one API server for all tests of a package, booted by the first test
// that needs it. The zero value is ready; TestMain must call Run.
type Shared struct {
	// CRDs returns the files or folders of CustomResourceDefinitions to install.
	CRDs func() ([]string, error)
	// BeforeStop, if not nil, ends what holds connections to the API server, such
	// as caches: it waits for them.
	BeforeStop func()

	once sync.Once
	env  *envtest.Environment
	err  error
}

// Config boots the API server unless it runs already. Tests that share it keep
// apart by namespaces.
func (s *Shared) Config(tb testing.TB) *rest.Config {
	tb.Helper()
	s.once.Do(func() {
		var paths []string
		if s.CRDs != nil {
			if paths, s.err = s.CRDs(); s.err != nil {
				return
			}
		}
		s.env, s.err = start(paths)
	})
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.env.Config
}

// Run runs the package's tests, stops the API server, and returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.env == nil {
		return code
	}
	if s.BeforeStop != nil {
		s.BeforeStop()
	}
	if err := s.env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
		return max(code, 1)
	}
	return code
}

// IstioCRDs returns where Istio's CustomResourceDefinitions are.
func IstioCRDs() (string, error) { return pathFrom(istioCRDsEnv) }

// GatewayCRDs returns where the Gateway API's CustomResourceDefinitions are.
func GatewayCRDs() (string, error) { return pathFrom(gatewayCRDsEnv) }

func pathFrom(env string) (string, error) {
	path := os.Getenv(env)
	if path == "" {
		return "", fmt.Errorf("%s is not set: run \"make test\", which sets it", env)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: %w: run \"make test\", which sets it", env, err)
	}
	return path, nil
}

// AllCRDs returns where Sluice's, Istio's and the Gateway API's
// CustomResourceDefinitions are.
func AllCRDs() ([]string, error) {
	var paths []string
	for _, find := range []func() (string, error){SluiceCRDs, IstioCRDs, GatewayCRDs} {
		path, err := find()
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// SluiceCRDs returns the folder of Sluice's own CustomResourceDefinitions.
func SluiceCRDs() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the build has no file names: cannot find config/crd")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "config", "crd"), nil
}

func start(crdPaths []string) (*envtest.Environment, error) {
	dir := os.Getenv(assetsEnv)
	if dir == "" {
		return nil, fmt.Errorf("%s is not set: run \"make test\", which builds etcd and kube-apiserver and sets it", assetsEnv)
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("%s: %w: run \"make test\", which builds etcd and kube-apiserver", assetsEnv, err)
		}
	}
	existing := false
	env := &envtest.Environment{
		BinaryAssetsDirectory: dir,
		CRDDirectoryPaths:     crdPaths,
		ErrorIfCRDPathMissing: true,
		UseExistingCluster:    &existing,
	}
	if _, err := env.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the API server: %w", err), env.Stop())
	}
	return env, nil
}

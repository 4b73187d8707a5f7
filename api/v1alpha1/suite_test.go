package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// server is the real API server that every test of this package asks.
var server client.Client

func TestMain(m *testing.M) {
	code, err := withServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withServer(m *testing.M) (code int, err error) {
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd")},
		ErrorIfCRDPathMissing: true,
	}
	cfg, err := env.Start()
	if err != nil {
		return 0, fmt.Errorf("start the API server (KUBEBUILDER_ASSETS must name a folder with etcd and "+
			"kube-apiserver; \"make test\" sets it): %w", err)
	}
	defer func() {
		if stopErr := env.Stop(); err == nil {
			err = stopErr
		}
	}()
	cfg.QPS, cfg.Burst = -1, 0
	if server, err = client.New(cfg, client.Options{}); err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	return m.Run(), nil
}

// full returns an object of the kind that has every field of the spec, read
// from testdata. Its name is unique to the test.
func full(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", strings.ToLower(kind)+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &u.Object); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	u.SetNamespace("default")
	return u
}

// set puts a value at a dotted path; a number is an index of a list, and "-"
// in place of a value's last name appends. A nil value removes the field.
func set(t *testing.T, u *unstructured.Unstructured, path string, value any) {
	t.Helper()
	if err := assign(u.Object, strings.Split(path, "."), value); err != nil {
		t.Fatalf("set %s: %v", path, err)
	}
}

func assign(at any, path []string, value any) error {
	name, rest := path[0], path[1:]
	switch node := at.(type) {
	case map[string]any:
		if len(rest) > 0 {
			return assign(node[name], rest, value)
		}
		if value == nil {
			delete(node, name)
			return nil
		}
		node[name] = value
		return nil
	case []any:
		index, err := strconv.Atoi(name)
		if err != nil || index >= len(node) {
			return fmt.Errorf("no item %q", name)
		}
		if len(rest) > 0 {
			return assign(node[index], rest, value)
		}
		node[index] = value
		return nil
	default:
		return fmt.Errorf("%q is in neither an object nor a list", name)
	}
}

// create asks the server whether it would take the object, and returns what it
// would store, defaults included.
func create(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	stored := u.DeepCopy()
	err := server.Create(context.Background(), stored, client.DryRunAll, client.FieldValidation("Strict"))
	return stored, err
}

// wantRefused asserts that the server refused for the stated reason.
func wantRefused(t *testing.T, err error, message string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted, want it refused with %q", message)
	case !strings.Contains(err.Error(), message):
		t.Errorf("refused with\n  %v\nwant a message with %q", err, message)
	}
}

func wantAccepted(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("refused, want it accepted: %v", err)
	}
}

package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/envtest"
)

// apiServer is the real API server that the tests of this package ask.
var apiServer = envtest.Shared{CRDs: func() ([]string, error) {
	dir, err := envtest.SluiceCRDs()
	return []string{dir}, err
}}

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// connect returns a client of the API server without limits of its own.
func connect(t *testing.T) client.Client {
	t.Helper()
	cfg := *apiServer.Config(t)
	cfg.QPS = -1
	c, err := client.New(&cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, "Strict")
}

// kinds of the group, each with an object in testdata that has every field.
var kinds = []string{"Rollout", "AnalysisRun", "RolloutAction", "MetricProvider", "Notifier"}

// full reads the kind's object from testdata.
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

// change puts a value at a dotted path, in which a number is the index in a
// list. A nil value removes the field.
type change struct {
	path  string
	value any
}

func apply(t *testing.T, u *unstructured.Unstructured, changes ...change) {
	t.Helper()
	for _, c := range changes {
		if err := assign(u.Object, strings.Split(c.path, "."), runtime.DeepCopyJSONValue(c.value)); err != nil {
			t.Fatalf("set %s: %v", c.path, err)
		}
	}
}

func assign(at any, path []string, value any) error {
	name, rest := path[0], path[1:]
	switch node := at.(type) {
	case map[string]any:
		switch {
		case len(rest) > 0:
			return assign(node[name], rest, value)
		case value == nil:
			delete(node, name)
		default:
			node[name] = value
		}
		return nil
	case []any:
		index, err := strconv.Atoi(name)
		if err != nil || index < 0 || index >= len(node) {
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

func wantRefused(t *testing.T, err error, message string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted, want it refused with %q", message)
	case !strings.Contains(err.Error(), message):
		t.Errorf("refused with\n  %v\nwant a message with\n  %s", err, message)
	}
}

func wantAccepted(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("refused, want it accepted: %v", err)
	}
}

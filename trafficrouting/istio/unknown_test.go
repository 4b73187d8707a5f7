package istio_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/envtest"
)

const (
	futureDestinationRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout}
spec:
  host: checkout
  future: {kept: [1, two, {three: 3}]}
  subsets:
  - {name: stable, future: 1.25}
  - {name: canary, labels: {app: checkout}, future: [true]}
`
	futureVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout}
spec:
  hosts: [checkout]
  future: {kept: [1, two, {three: 3}]}
  http:
  - future: {kept: yes please}
    route:
    - destination: {host: checkout, subset: stable, future: 1.25}
      weight: 100
      future: [true]
    - destination: {host: checkout, subset: canary}
      future: {}
`
)

// TestFieldsOfALaterIstioSurvive works on an API server whose Istio has fields
// that this build does not know.
func TestFieldsOfALaterIstioSurvive(t *testing.T) {
	m := newMeshOn(t, envtest.Start(t, laterCRDs(t)), subsets(named("checkout")), futureDestinationRule, futureVirtualService)
	before := m.foreign()
	for what, value := range map[string]any{
		"VirtualService":  at(m.Get("VirtualService", "checkout").Object, "spec", "http", 0, "route", 0, "destination", "future"),
		"DestinationRule": at(m.Get("DestinationRule", "checkout").Object, "spec", "subsets", 0, "future"),
	} {
		if value != 1.25 {
			t.Fatalf("%s: the API server does not keep unknown fields: %v", what, value)
		}
	}
	m.MustApply("a", "b", 30)
	m.MustApply("b", "b", 100)
	m.wantWeights("checkout", 0, 0, 100)
	if diff := cmp.Diff(before, m.foreign()); diff != "" {
		t.Errorf("applied (-before +after):\n%s", diff)
	}
	if err := m.Router.Release(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.foreign()); diff != "" {
		t.Errorf("released (-before +after):\n%s", diff)
	}
}

// laterCRDs returns the file of CustomResourceDefinitions that are Istio's but
// keep every field that they do not describe.
func laterCRDs(t *testing.T) string {
	t.Helper()
	path, err := envtest.IstioCRDs()
	if err != nil {
		t.Fatal(err)
	}
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(string(text), "\n---\n")...)
	}
	var documents []string
	for _, text := range all {
		var crd map[string]any
		if err := yaml.Unmarshal([]byte(text), &crd); err != nil {
			t.Fatal(err)
		}
		if crd == nil {
			continue
		}
		switch at(crd, "metadata", "name") {
		case "virtualservices.networking.istio.io", "destinationrules.networking.istio.io":
		default:
			continue
		}
		for _, version := range at(crd, "spec", "versions").([]any) {
			keepUnknown(at(version, "schema", "openAPIV3Schema", "properties", "spec"))
		}
		document, err := yaml.Marshal(crd)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(document))
	}
	file := filepath.Join(t.TempDir(), "crds.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(documents, "\n---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// keepUnknown makes each object of a schema keep unknown fields.
func keepUnknown(schema any) {
	node, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if properties, ok := node["properties"].(map[string]any); ok {
		node["x-kubernetes-preserve-unknown-fields"] = true
		for _, property := range properties {
			keepUnknown(property)
		}
	}
	keepUnknown(node["items"])
}

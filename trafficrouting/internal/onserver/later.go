package onserver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// LaterCRDs returns a file of the CustomResourceDefinitions of these names, taken
// from a file or folder, that keep every field which they do not describe: as those
// of a later version do, which describe fields that this build does not know.
func LaterCRDs(t testing.TB, path string, names ...string) string {
	t.Helper()
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	var documents []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			if later := laterCRD(t, document, names); later != "" {
				documents = append(documents, later)
			}
		}
	}
	if len(documents) != len(names) {
		t.Fatalf("found %d of %v in %s", len(documents), names, path)
	}
	file := filepath.Join(t.TempDir(), "crds.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(documents, "\n---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// laterCRD returns a document that is one of names, changed; others are empty.
func laterCRD(t testing.TB, document string, names []string) string {
	t.Helper()
	var crd map[string]any
	if err := yaml.Unmarshal([]byte(document), &crd); err != nil {
		t.Fatal(err)
	}
	if crd == nil || !slices.Contains(names, At(crd, "metadata", "name").(string)) {
		return ""
	}
	for _, version := range At(crd, "spec", "versions").([]any) {
		keepUnknown(At(version, "schema", "openAPIV3Schema", "properties", "spec"))
	}
	later, err := yaml.Marshal(crd)
	if err != nil {
		t.Fatal(err)
	}
	return string(later)
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

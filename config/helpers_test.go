package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// kustomize is the pinned program, built on first use; "make test" builds it
// beforehand.
var kustomize = sync.OnceValues(func() (string, error) {
	ensure := exec.Command(filepath.Join("..", "internal", "tools", "ensure.sh"), "kustomize")
	ensure.Stderr = os.Stderr
	out, err := ensure.Output()
	if err != nil {
		return "", fmt.Errorf("build kustomize: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
})

// build renders a folder of manifests as "make deploy" does.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	program, err := kustomize()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	render := exec.Command(program, "build", folder)
	render.Stderr = &stderr
	out, err := render.Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v\n%s", folder, err, &stderr)
	}
	return parse(t, folder, out)
}

// read parses a file of manifests.
func read(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, path, data)
}

func parse(t *testing.T, from string, data []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

// into converts a manifest to its Go type, and fails on fields it does not have.
func into[T any](t *testing.T, u *unstructured.Unstructured) *T {
	t.Helper()
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, typed, true); err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return typed
}

// find returns the only object of the kind and name.
func find(t *testing.T, all []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range all {
		if u.GetKind() == kind && u.GetName() == name {
			return u
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

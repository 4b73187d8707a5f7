package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/lint"
)

// sample is a Rollout that has nothing wrong.
const sample = `
apiVersion: sluice.dev/v1alpha1
kind: Rollout
metadata: {name: checkout, namespace: default}
spec:
  selector: {matchLabels: {app: checkout}}
  workload:
    template:
      metadata: {labels: {app: checkout}}
      spec: {containers: [{name: app, image: "registry.example/app:1"}]}
  strategy: {canary: {steps: [{name: first, weight: 10, bake: 5m}]}}
  traffic: {istio: {virtualServices: [{name: checkout}], destinationRule: {name: checkout}}}
  analysis: {metrics: [{name: errors, query: "vector(1)", successWhen: "value < 1.0"}]}
`

// TestLintAgrees holds that lint without a cluster and the API server accept and refuse
// the same.
func TestLintAgrees(t *testing.T) {
	w := theWorld(t)
	schemas, err := lint.Load()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, value string }{
		{"as it is", "metadata.labels", "{team: shop}"},
		{"no name", "metadata.name", "null"},
		{"a name that is none", "metadata.name", "Check_out"},
		{"a long name", "metadata.name", strings.Repeat("a", 53)},
		{"a label that is none", "metadata.labels", `{team: "a b"}`},
		{"labels that are numbers", "metadata.labels", "{team: 1}"},
		{"null where there is a default", "spec.replicas", "null"},
		{"null where there is none", "spec.paused", "null"},
		{"a string for a number", "spec.replicas", `"4"`},
		{"a fraction", "spec.replicas", "1.5"},
		{"a number out of bounds", "spec.replicas", "100001"},
		{"a number beyond 32 bits", "spec.replicas", "4294967300"},
		{"a duration that is none", "spec.progressDeadline", "soon"},
		{"a duration out of bounds", "spec.progressDeadline", "25h"},
		{"a duration with a fraction", "spec.progressDeadline", "1.5h"},
		{"a value that the enum lacks", "spec.deletionPolicy", "Keep"},
		{"an empty selector", "spec.selector", "{}"},
		{"a selector of revisions", "spec.selector", "{matchLabels: {pod-template-hash: x}}"},
		{"no steps", "spec.strategy.canary.steps", "[]"},
		{"a step without weight", "spec.strategy.canary.steps", "[{name: first}]"},
		{"equal names", "spec.strategy.canary.steps", "[{name: a, weight: 1}, {name: a, weight: 2}]"},
		{"a reserved name", "spec.strategy.canary.steps", "[{name: step-1, weight: 1}]"},
		{"both scales", "spec.strategy.canary.steps", "[{weight: 1, scale: {replicas: 1, percent: 1}}]"},
		{"a scale of none", "spec.strategy.canary.steps", "[{weight: 1, scale: {replicas: 0}}]"},
		{"no router", "spec.traffic", "{}"},
		{"the same VirtualService twice", "spec.traffic.istio.virtualServices", "[{name: a}, {name: a}]"},
		{"the same route twice", "spec.traffic.istio.virtualServices", "[{name: a, routes: [x, x]}]"},
		{"equal subsets", "spec.traffic.istio.destinationRule", "{name: a, stableSubset: x, canarySubset: x}"},
		{"the default subset twice", "spec.traffic.istio.destinationRule", "{name: a, stableSubset: canary}"},
		{"equal metrics", "spec.analysis.metrics", `[{name: a, query: "1", successWhen: "value < 1.0"}, {name: a, query: "1", successWhen: "value < 1.0"}]`},
		{"a metric without conditions", "spec.analysis.metrics", `[{name: a, query: "1"}]`},
		{"a template that is no object", "spec.workload.template", "[]"},
		{"no template", "spec.workload", "{}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := edited(t, tt.path, tt.value)
			found := schemas.Object(t.Context(), u).Errors
			err := w.client.Create(t.Context(), u.DeepCopy(), client.DryRunAll)
			if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Fatal(err)
			}
			if (len(found) > 0) != (err != nil) {
				t.Errorf("lint: %q\nthe API server: %v", found, err)
			}
		})
	}
}

// edited is the sample with another value at a path.
func edited(t *testing.T, path, value string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	var v any
	for text, into := range map[string]any{sample: &u.Object, value: &v} {
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	at := u.Object
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		at = at[key].(map[string]any)
	}
	at[keys[len(keys)-1]] = v
	return asRead(t, u.Object)
}

// asRead gives an object its numbers as Kubernetes reads them.
func asRead(t *testing.T, object map[string]any) *unstructured.Unstructured {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLintSamples holds that nothing is found in the samples.
func TestLintSamples(t *testing.T) {
	schemas, err := lint.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	err = filepath.WalkDir(filepath.Join("..", "..", "config", "samples"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, document := range strings.Split(string(raw), "\n---\n") {
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				return err
			}
			if object["kind"] == nil {
				continue // comments alone
			}
			u := asRead(t, object)
			if is, problem := schemas.Knows(u); !is {
				if problem != "" {
					t.Errorf("%s: %s", path, problem)
				}
				continue
			}
			known++
			if f := schemas.Object(context.Background(), u); len(f.Errors)+len(f.Warnings) > 0 {
				t.Errorf("%s: %s %s: %q", path, u.GetKind(), u.GetName(), f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if known < 7 {
		t.Errorf("only %d samples were looked at", known)
	}
}

// TestGuardedPatch holds that an image is not set in a template that somebody else
// edited meanwhile.
func TestGuardedPatch(t *testing.T) {
	s := newStage(t)
	at := &cluster.Cluster{Client: s.client, Config: s.config, Namespace: s.namespace}
	seen, err := at.Rollout(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	operations, err := imageOperations(seen, []image{{"app", "registry.example/app:mine"}})
	if err != nil {
		t.Fatal(err)
	}
	theirs := []cluster.Operation{{Op: "replace", Path: "/spec/workload/template/spec/containers/0/image", Value: "registry.example/app:theirs"}}
	if _, err := at.Patch(t.Context(), "app", theirs, false); err != nil {
		t.Fatal(err)
	}
	_, err = at.Patch(t.Context(), "app", operations, false)
	if err == nil || !strings.Contains(err.Error(), "somebody else changed it at the same time") {
		t.Errorf("error %v", err)
	}
	now, err := at.Rollout(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(now.Spec.Workload.Template.Raw), "app:theirs") {
		t.Errorf("their change is lost: %s", now.Spec.Workload.Template.Raw)
	}
}

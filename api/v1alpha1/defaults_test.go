package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// minimal objects leave out all that can be left out.
var minimal = map[string]string{
	rollout: `
selector: {matchLabels: {app: a}}
workload: {template: {}}
strategy: {canary: {steps: [{weight: 10, scale: {replicas: 1}}]}}
traffic: {istio: {virtualServices: [{name: a}], destinationRule: {name: a}}}
analysis: {metrics: [{name: m, query: vector(1), successWhen: value < 1.0, noData: {}}]}
alerts: [{name: a, matchers: ["a=b"]}]`,
	analysisRun: `
subject: {rollout: a, stableRevision: a, canaryRevision: b, attempt: 1}
metrics: [{name: m, query: vector(1), successWhen: value < 1.0, noData: {}}]`,
	rolloutAction:  `{rollout: a, action: Promote, revision: b}`,
	metricProvider: `{prometheus: {address: "http://p"}}`,
	notifier:       `{webhook: {address: "http://h"}}`,
}

// defaults are what the API server adds to the minimal objects.
var defaults = map[string]map[string]any{
	rollout: withMetric("spec.analysis.metrics[].", withPolicy("spec.analysis.", map[string]any{
		"spec.replicas":                                   int64(1),
		"spec.strategy.canary.steps[].approval":           "None",
		"spec.traffic.propagationTime":                    "1s",
		"spec.traffic.drainTime":                          "30s",
		"spec.traffic.istio.destinationRule.stableSubset": "stable",
		"spec.traffic.istio.destinationRule.canarySubset": "canary",
		"spec.traffic.istio.virtualServices[].namespace":  "",
		"spec.alerts[].action":                            "Abort",
		"spec.alerts[].scope":                             "Canary",
		"spec.alerts[].revisionLabel":                     "destination_canonical_revision",
		"spec.alerts[].namespaceLabel":                    "destination_workload_namespace",
		"spec.alerts[].whenUnknown":                       "Hold",
		"spec.progressDeadline":                           "10m",
		"spec.revisionHistoryLimit":                       int64(5),
		"spec.deletionPolicy":                             "Orphan",
	})),
	analysisRun:    withMetric("spec.metrics[].", withPolicy("spec.", map[string]any{"spec.steps": int64(1)})),
	rolloutAction:  {"spec.timeToLive": "1h"},
	metricProvider: {"spec.prometheus.timeout": "10s"},
	notifier:       {"spec.triggers[].type": "Stalled"}, // and others: TestNotifierDefaultTriggers
}

func withMetric(at string, others map[string]any) map[string]any {
	for field, value := range map[string]any{
		"window":                "5m",
		"interval":              "30s",
		"count":                 int64(1),
		"consecutiveErrorLimit": int64(4),
		"onError":               "Hold",
		"noData.policy":         "Hold",
		"series":                "Error",
		"nonFinite":             "NoData",
		"warnings":              "Error",
	} {
		others[at+field] = value
	}
	return others
}

func withPolicy(at string, others map[string]any) map[string]any {
	for field, value := range map[string]any{
		"alpha": "0.01", "beta": "0.05", "settle": "30s", "lag": "20s", "maxDuration": "15m", "onTimeout": "Promote",
	} {
		others[at+field] = value
	}
	return others
}

// TestDefaultsOfAComparison holds that a comparison needs no more than its kind.
func TestDefaultsOfAComparison(t *testing.T) {
	c := connect(t)
	object := full(t, analysisRun)
	apply(t, object, change{"spec.metrics", []any{map[string]any{
		"name": "errors", "builtin": map[string]any{"kind": "ErrorRatio"}, "compare": map[string]any{},
	}}})
	if err := c.Create(context.Background(), object, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	got := leaves("", object.Object["spec"])
	for path, want := range map[string]any{
		".metrics[].builtin.reporter":     "Source",
		".metrics[].compare.tolerance":    "1.2",
		".metrics[].compare.unacceptable": "2.0",
		".metrics[].compare.minRequests":  int64(50),
	} {
		if got[path] != want {
			t.Errorf("%s: got %v, want %v", path, got[path], want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := connect(t)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			written := map[string]any{}
			if err := yaml.Unmarshal([]byte(minimal[kind]), &written); err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{Object: map[string]any{"spec": written}}
			object.SetAPIVersion("sluice.dev/v1alpha1")
			object.SetKind(kind)
			object.SetName("minimal")
			object.SetNamespace("default")
			before := leaves("spec", object.Object["spec"])
			if err := c.Create(context.Background(), object, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			added := leaves("spec", object.Object["spec"])
			maps.DeleteFunc(added, func(path string, _ any) bool { _, ok := before[path]; return ok })
			if diff := cmp.Diff(defaults[kind], added); diff != "" {
				t.Errorf("defaults (-want +got):\n%s", diff)
			}
		})
	}
}

// leaves maps the paths of an object's values to them.
func leaves(at string, value any) map[string]any {
	all := map[string]any{}
	switch node := value.(type) {
	case map[string]any:
		for name, child := range node {
			maps.Copy(all, leaves(at+"."+name, child))
		}
	case []any:
		for _, child := range node {
			maps.Copy(all, leaves(at+"[]", child))
		}
	default:
		all[at] = value
	}
	return all
}

// TestDefaultsAreDocumented holds that a field's documentation states its
// default.
func TestDefaultsAreDocumented(t *testing.T) {
	for _, node := range schemaNodes(t) {
		if node.schema.Default == nil {
			continue
		}
		var value any
		if err := json.Unmarshal(node.schema.Default.Raw, &value); err != nil {
			t.Fatal(err)
		}
		value = inWords(value)
		doc := strings.Join(strings.Fields(node.schema.Description), " ")
		stated := strings.Contains(doc, fmt.Sprintf("%v (default)", value))
		for _, form := range []string{"Default %v,", "Default %v.", "Default %v:", "Default %q."} {
			stated = stated || strings.Contains(doc+".", fmt.Sprintf(form, value))
		}
		if !stated {
			t.Errorf("%s %s: the documentation does not state the default %v: %s", node.kind, node.path, value, doc)
		}
	}
}

// inWords is how a default is documented: a list of objects by their types.
func inWords(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	var types []string
	for _, item := range list {
		object, _ := item.(map[string]any)
		types = append(types, fmt.Sprint(object["type"]))
	}
	return strings.Join(types, ", ")
}

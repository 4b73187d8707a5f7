package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/notify"
)

// TestDocumentedNotifiersWork asks the API server about every object of the manual page
// and of the samples, and tries each template.
func TestDocumentedNotifiersWork(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "notifications.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t)
	formats := map[notify.Format]int{}
	all := read(t, filepath.Join("samples", "notifier.yaml"))
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for doc := range strings.SplitSeq(block, "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(doc), u); err != nil {
				t.Fatalf("%v in:\n%s", err, doc)
			}
			all = append(all, u)
		}
	}
	for _, u := range all {
		u.SetNamespace("default")
		if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
			continue
		}
		if u.GetKind() != "Notifier" {
			continue
		}
		n := into[v1alpha1.Notifier](t, u)
		formats[notify.FormatOf(&n.Spec)]++
		if err := notify.Check(&n.Spec); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
	for _, f := range []notify.Format{notify.FormatSlack, notify.FormatTeams, notify.FormatWebhook, notify.FormatCloudEvents} {
		if formats[f] == 0 {
			t.Errorf("no example is for %s", f)
		}
	}
}

// TestEveryTransitionCanBeTold holds that a trigger takes each type of transition, and
// that the manual page has them all.
func TestEveryTransitionCanBeTold(t *testing.T) {
	types := append(enum(t, "rollouts", "status", "lastTransition", "type"), string(v1alpha1.NotificationStalled))
	triggers := enum(t, "notifiers", "spec", "triggers", "type")
	slices.Sort(types)
	slices.Sort(triggers)
	if diff := cmp.Diff(types, triggers); diff != "" {
		t.Errorf("types of triggers (-want +got):\n%s", diff)
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "notifications.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range types {
		if !strings.Contains(string(page), "\n| `"+kind+"` | ") {
			t.Errorf("the page does not tell of %s", kind)
		}
	}
}

// enum reads the values of a field from a CustomResourceDefinition.
func enum(t *testing.T, kind string, path ...string) []string {
	t.Helper()
	crd := read(t, filepath.Join("crd", "sluice.dev_"+kind+".yaml"))[0]
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%s has %d versions: %v", kind, len(versions), err)
	}
	version, _ := versions[0].(map[string]any)
	schema, _, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range path {
		if items, ok := schema["items"].(map[string]any); ok {
			schema = items
		}
		if schema, _, err = unstructured.NestedMap(schema, "properties", field); err != nil || schema == nil {
			t.Fatalf("%s has no field %s: %v", kind, field, err)
		}
	}
	values, _, err := unstructured.NestedStringSlice(schema, "enum")
	if err != nil || len(values) == 0 {
		t.Fatalf("%s: no values: %v", strings.Join(path, "."), err)
	}
	return values
}

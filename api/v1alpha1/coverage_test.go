package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// schemaNode is one field of a kind's schema, with the path that its cases have:
// without the indexes of lists.
type schemaNode struct {
	kind     string
	path     string
	schema   apiextensionsv1.JSONSchemaProps
	required bool
}

// TestEveryRuleHasARefusal holds that each CEL rule's message was seen from the
// API server.
func TestEveryRuleHasARefusal(t *testing.T) {
	refused := map[string]map[string]bool{}
	see := func(kind, message string) {
		if refused[kind] == nil {
			refused[kind] = map[string]bool{}
		}
		refused[kind][message] = true
	}
	for _, fc := range fieldCases() {
		for _, r := range fc.refuse {
			see(fc.kind, r.message)
		}
	}
	for _, uc := range updateCases {
		see(uc.kind, uc.message)
	}
	for _, node := range schemaNodes(t) {
		for _, rule := range node.schema.XValidations {
			if rule.Message == "" {
				t.Errorf("%s %s: the rule %s has no message", node.kind, node.path, rule.Rule)
			}
			if !refused[node.kind][rule.Message] {
				t.Errorf("%s %s: no case is refused with %q", node.kind, node.path, rule.Message)
			}
		}
	}
}

// TestEveryBoundHasARefusal holds that each bound of the schema was hit, at its
// very value, in a case for that field.
func TestEveryBoundHasARefusal(t *testing.T) {
	cases := map[string][]fieldCase{}
	for _, fc := range fieldCases() {
		key := fc.kind + " " + withoutIndexes(fc.path)
		cases[key] = append(cases[key], fc)
	}
	for _, node := range schemaNodes(t) {
		for _, want := range refusalsOf(node) {
			refused := slices.ContainsFunc(cases[node.kind+" "+node.path], func(fc fieldCase) bool {
				return slices.ContainsFunc(fc.refuse, func(r refusal) bool { return strings.Contains(r.message, want) })
			})
			if !refused {
				t.Errorf("%s %s: no case is refused with %q", node.kind, node.path, want)
			}
		}
	}
}

// refusalsOf lists what the API server says at each bound of a field. A field
// that is required but has a default is never missed.
func refusalsOf(node schemaNode) []string {
	var all []string
	add := func(bounded bool, message string) {
		if bounded {
			all = append(all, message)
		}
	}
	s := node.schema
	add(node.required && s.Default == nil, requiredMessage)
	if s.Minimum != nil {
		add(true, atLeast(int64(*s.Minimum)))
	}
	if s.Maximum != nil {
		add(true, atMost(int64(*s.Maximum)))
	}
	if s.MinLength != nil {
		add(true, tooShort(int(*s.MinLength)))
	}
	if s.MaxLength != nil {
		add(true, tooLong(int(*s.MaxLength)))
	}
	if s.MinItems != nil {
		add(true, tooFew(int(*s.MinItems)))
	}
	if s.MaxItems != nil {
		add(true, tooMany(int(*s.MaxItems)))
	}
	add(s.Pattern != "", fmt.Sprintf("should match '%s'", s.Pattern))
	add(len(s.Enum) > 0, "supported values")
	add(s.XListType != nil && *s.XListType != "atomic", "Duplicate value")
	return all
}

var indexes = regexp.MustCompile(`\.\d+`)

func withoutIndexes(path string) string { return indexes.ReplaceAllString(path, "[]") }

// schemaNodes lists every field of every kind, but for those inside conditions:
// their schema is Kubernetes' own.
func schemaNodes(t *testing.T) []schemaNode {
	t.Helper()
	var nodes []schemaNode
	for _, crd := range readCRDs(t) {
		for _, version := range crd.Spec.Versions {
			walk(version.Schema.OpenAPIV3Schema, schemaNode{kind: crd.Spec.Names.Kind}, &nodes)
		}
	}
	return nodes
}

func walk(schema *apiextensionsv1.JSONSchemaProps, at schemaNode, nodes *[]schemaNode) {
	at.schema = *schema
	*nodes = append(*nodes, at)
	if strings.HasSuffix(at.path, "conditions") {
		return
	}
	for name, property := range schema.Properties {
		path := strings.TrimPrefix(at.path+"."+name, ".")
		walk(&property, schemaNode{kind: at.kind, path: path, required: slices.Contains(schema.Required, name)}, nodes)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(schema.Items.Schema, schemaNode{kind: at.kind, path: at.path + "[]"}, nodes)
	}
}

func readCRDs(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "sluice.dev_*.yaml"))
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("found %d CustomResourceDefinitions, want %d: %v", len(files), len(kinds), err)
	}
	crds := make([]apiextensionsv1.CustomResourceDefinition, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(data, &crds[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return crds
}

// Package lint checks manifests without a cluster: with the schemas and the CEL rules
// of Sluice's own CustomResourceDefinitions, as the API server would, and with what the
// operator checks beyond them.
package lint

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/config/crd"
)

// kind is what a CustomResourceDefinition says of one version of a kind.
type kind struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	cel        *cel.Validator
	namespaced bool
}

// Schemas hold the kinds that Sluice defines.
type Schemas struct {
	kinds map[schema.GroupVersionKind]*kind
	group string
}

// Load reads the CustomResourceDefinitions that this program was built with.
func Load() (*Schemas, error) {
	s := &Schemas{kinds: map[schema.GroupVersionKind]*kind{}}
	files, err := fs.Glob(crd.Files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("finding the CustomResourceDefinitions: %w", err)
	}
	for _, name := range files {
		raw, err := crd.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if err := s.add(raw); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return s, nil
}

func (s *Schemas) add(raw []byte) error {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(raw, definition); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	s.group = definition.Spec.Group
	for i := range definition.Spec.Versions {
		version := &definition.Spec.Versions[i]
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		k, err := makeKind(version.Schema.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("version %s: %w", version.Name, err)
		}
		k.namespaced = definition.Spec.Scope == apiextensionsv1.NamespaceScoped
		s.kinds[schema.GroupVersionKind{Group: s.group, Version: version.Name, Kind: definition.Spec.Names.Kind}] = k
	}
	return nil
}

func makeKind(props *apiextensionsv1.JSONSchemaProps) (*kind, error) {
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, internal, nil); err != nil {
		return nil, fmt.Errorf("converting the schema: %w", err)
	}
	structural, err := structuralschema.NewStructural(internal)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return nil, fmt.Errorf("compiling the schema: %w", err)
	}
	return &kind{structural: structural, schema: validator, cel: cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// Knows reports whether an object is of a kind that Sluice defines. It is a problem
// when its group is Sluice's, but not its version or kind.
func (s *Schemas) Knows(u *unstructured.Unstructured) (known bool, problem string) {
	gvk := u.GroupVersionKind()
	if s.kinds[gvk] != nil {
		return true, ""
	}
	if gvk.Group != s.group {
		return false, ""
	}
	var kinds []string
	for k := range s.kinds {
		kinds = append(kinds, k.Version+"/"+k.Kind)
	}
	slices.Sort(kinds)
	return false, fmt.Sprintf("%s/%s is not a kind of %s; it has %s", gvk.Version, gvk.Kind, s.group, strings.Join(kinds, ", "))
}

// schemaProblems checks an object as the API server does when it is created: unknown
// fields, types, bounds, lists, CEL rules. Defaults are filled in on the way.
func (k *kind) schemaProblems(ctx context.Context, u *unstructured.Unstructured) []string {
	var out []string
	for _, path := range pruning.PruneWithOptions(u.Object, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		out = append(out, path+": unknown field")
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(u.Object, k.structural)
	defaulting.Default(u.Object, k.structural)
	errs := validation.ValidateCustomResource(nil, u.Object, k.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, u.Object)...)
	if len(errs) == 0 && k.cel != nil { // rules rest on a valid structure
		ruled, _ := k.cel.Validate(ctx, nil, k.structural, u.Object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, ruled...)
	}
	return append(out, texts(errs)...)
}

func texts(errs field.ErrorList) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}
	slices.Sort(out) // fields of an object are visited in any order
	return out
}

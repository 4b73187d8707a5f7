package localcluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	fieldManager = "localcluster"
	// kindTimeout bounds how long a kind that discovery does not know yet is
	// waited for.
	kindTimeout = 15 * time.Second
)

// applier applies objects of any kind.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newApplier(config *rest.Config) (*applier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a dynamic client: %w", err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a discovery client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	return &applier{client: client, mapper: mapper}, nil
}

// Apply server-side applies the objects in YAML or JSON files, as admin. A
// folder stands for its *.yaml, *.yml and *.json files, without those of
// kustomize. Namespaces and CRDs go first, and CRDs are waited for.
func (c *Cluster) Apply(ctx context.Context, paths ...string) error {
	files, err := manifestFiles(paths)
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		found, err := decodeManifest(content)
		if err != nil {
			return fmt.Errorf("decode %s: %w", path, err)
		}
		objects = append(objects, found...)
	}
	return c.ApplyObjects(ctx, objects...)
}

// ApplyYAML is Apply for objects given as text.
func (c *Cluster) ApplyYAML(ctx context.Context, manifest string) error {
	objects, err := decodeManifest([]byte(manifest))
	if err != nil {
		return fmt.Errorf("decode manifest: %w", err)
	}
	return c.ApplyObjects(ctx, objects...)
}

// ApplyObjects is Apply for objects in memory.
func (c *Cluster) ApplyObjects(ctx context.Context, objects ...*unstructured.Unstructured) error {
	ordered := slices.Clone(objects)
	slices.SortStableFunc(ordered, func(a, b *unstructured.Unstructured) int { return applyRank(a) - applyRank(b) })
	var definitions []string
	waited := true
	for _, o := range ordered {
		if o.GetKind() == "CustomResourceDefinition" {
			definitions, waited = append(definitions, o.GetName()), false
		} else if !waited {
			waited = true
			if err := c.apply.awaitDefinitions(ctx, definitions); err != nil {
				return err
			}
		}
		if err := c.apply.object(ctx, o); err != nil {
			return fmt.Errorf("apply %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
	}
	if !waited {
		return c.apply.awaitDefinitions(ctx, definitions)
	}
	return nil
}

func applyRank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	default:
		return 2
	}
}

func (a *applier) object(ctx context.Context, o *unstructured.Unstructured) error {
	mapping, err := a.mapping(ctx, o.GroupVersionKind())
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := o.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		client = a.client.Resource(mapping.Resource).Namespace(namespace)
	}
	_, err = client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

// mapping finds the resource of a kind. A kind whose CRD was established a
// moment ago takes another moment to show in discovery.
func (a *applier) mapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	ctx, cancel := context.WithTimeout(ctx, kindTimeout)
	defer cancel()
	var mapping *meta.RESTMapping
	err := await(ctx, "find "+gvk.String(), nil, func(context.Context) error {
		var err error
		mapping, err = a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			a.mapper.Reset()
		}
		return err
	})
	return mapping, err
}

var definitionResource = apiextensions.SchemeGroupVersion.WithResource("customresourcedefinitions")

func (a *applier) awaitDefinitions(ctx context.Context, names []string) error {
	for _, name := range names {
		err := await(ctx, "wait for CRD "+name, nil, func(ctx context.Context) error {
			o, err := a.client.Resource(definitionResource).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !isEstablished(o) {
				return errors.New("not established")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	a.mapper.Reset()
	return nil
}

func isEstablished(definition *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(raw any) bool {
		condition, ok := raw.(map[string]any)
		return ok && condition["type"] == string(apiextensions.Established) && condition["status"] == "True"
	})
}

// Delete deletes an object by kind and name, as admin, and does not wait for
// it to be gone. An object that is gone already is fine.
func (c *Cluster) Delete(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) error {
	mapping, err := c.apply.mapping(ctx, gvk)
	if err != nil {
		return err
	}
	err = c.apply.client.Resource(mapping.Resource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s/%s: %w", gvk.Kind, namespace, name, err)
	}
	return nil
}

// manifestFiles expands folders, in the order of their file names.
func manifestFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() && isManifest(e.Name()) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	return files, nil
}

func isManifest(name string) bool {
	extension := filepath.Ext(name)
	return slices.Contains([]string{".yaml", ".yml", ".json"}, extension) &&
		!strings.HasPrefix(name, "kustomiz")
}

// decodeManifest reads a multi-document YAML stream or JSON, and opens Lists.
func decodeManifest(content []byte) ([]*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var objects []*unstructured.Unstructured
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		var raw map[string]any
		if err := utilyaml.Unmarshal(document, &raw); err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			continue
		}
		o := &unstructured.Unstructured{Object: raw}
		if !o.IsList() {
			objects = append(objects, o)
			continue
		}
		list, err := o.ToList()
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
}

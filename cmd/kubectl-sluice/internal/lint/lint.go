package lint

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// Findings are what was found in an object.
type Findings struct {
	// Errors would be refused by the API server, or stall the Rollout.
	Errors []string
	// Warnings may be right: fields that are newer than this program, for one.
	Warnings []string
}

// Object checks one object of a kind that Sluice defines.
func (s *Schemas) Object(ctx context.Context, original *unstructured.Unstructured) Findings {
	u := original.DeepCopy()
	if u.GetName() == "" && u.GetGenerateName() != "" {
		u.SetName(u.GetGenerateName() + "xxxxx") // as the API server does first
	}
	k := s.kinds[u.GroupVersionKind()]
	f := Findings{Errors: metaProblems(u, k.namespaced)}
	f.Errors = append(f.Errors, k.schemaProblems(ctx, u)...)
	if len(f.Errors) > 0 || u.GetKind() != "Rollout" {
		return f
	}
	r := &v1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, r); err != nil {
		f.Errors = append(f.Errors, err.Error())
		return f
	}
	f.rollout(r)
	return f
}

// metaProblems checks what every object has.
func metaProblems(u *unstructured.Unstructured, namespaced bool) []string {
	raw, _, err := unstructured.NestedMap(u.Object, "metadata")
	if err != nil {
		return []string{"metadata: " + err.Error()}
	}
	var meta metav1.ObjectMeta
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, &meta, true); err != nil {
		return []string{"metadata: " + err.Error()}
	}
	if namespaced && meta.Namespace == "" {
		meta.Namespace = metav1.NamespaceDefault // what is missing comes from the command line
	}
	return texts(validation.ValidateObjectMeta(&meta, namespaced, validation.NameIsDNSSubdomain, field.NewPath("metadata")))
}

// rollout checks what the operator does, beyond the schema.
func (f *Findings) rollout(r *v1alpha1.Rollout) {
	seen := map[string]bool{}
	for _, step := range story.Steps(r) {
		if seen[step.Name] {
			f.Errors = append(f.Errors, fmt.Sprintf("spec.strategy.canary.steps: two steps are named %s, one of them by its position: give them different names", step.Name))
		}
		seen[step.Name] = true
	}
	f.template(r)
	if r.Spec.Analysis != nil {
		if err := analysis.ValidateMetrics(r.Spec.Analysis.Metrics); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				f.Errors = append(f.Errors, "spec.analysis: "+line)
			}
		}
	}
}

// template checks the pod template as far as that goes without an API server: the
// CustomResourceDefinition says nothing of it.
func (f *Findings) template(r *v1alpha1.Rollout) {
	const path = "spec.workload.template"
	if r.Spec.Workload.Template == nil {
		return
	}
	var pod corev1.PodTemplateSpec
	if err := json.Unmarshal(r.Spec.Workload.Template.Raw, &pod); err != nil {
		f.Errors = append(f.Errors, fmt.Sprintf("%s: it is no pod template: %v", path, err))
		return
	}
	strict := json.NewDecoder(bytes.NewReader(r.Spec.Workload.Template.Raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&corev1.PodTemplateSpec{}); err != nil {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s: %v, as far as Kubernetes is known to this program", path, err))
	}
	if len(pod.Spec.Containers) == 0 {
		f.Errors = append(f.Errors, path+".spec.containers: at least one container is required")
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == "" || c.Image == "" {
			f.Errors = append(f.Errors, fmt.Sprintf("%s.spec.containers[%d]: name and image are required", path, i))
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(&r.Spec.Selector)
	switch {
	case err != nil:
		f.Errors = append(f.Errors, "spec.selector: "+err.Error())
	case !selector.Matches(labels.Set(pod.Labels)):
		f.Errors = append(f.Errors, "spec.selector does not match "+path+".metadata.labels: no pod would belong to the Rollout")
	}
}

// Complete returns a copy of an object with the API server's defaults, as the operator
// would see it, and what is wrong with it.
func (s *Schemas) Complete(ctx context.Context, original *unstructured.Unstructured) (*unstructured.Unstructured, Findings) {
	u := original.DeepCopy()
	found := s.Object(ctx, original)
	if len(found.Errors) == 0 {
		s.kinds[u.GroupVersionKind()].schemaProblems(ctx, u)
	}
	return u, found
}

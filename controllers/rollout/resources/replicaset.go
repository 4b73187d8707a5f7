package resources

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// ReplicaSetName is the name of a revision's ReplicaSet. It is a function of the
// two, so that creating it twice cannot happen.
func ReplicaSetName(rollout, revision string) string { return rollout + "-" + revision }

// MakeReplicaSet builds the ReplicaSet of a revision. It is made from the template
// as the user wrote it, so that fields newer than this program are not lost.
func MakeReplicaSet(rollout *v1alpha1.Rollout, t Template, revision string, replicas int32) (*unstructured.Unstructured, error) {
	selector, err := withRevision(rollout.Spec.Selector, revision)
	if err != nil {
		return nil, err
	}
	var template map[string]any
	if err := json.Unmarshal(t.Raw, &template); err != nil {
		return nil, fmt.Errorf("reading the pod template: %w", err)
	}
	own := podLabels(t.Pod.Labels, revision)
	if err := unstructured.SetNestedStringMap(template, own, "metadata", "labels"); err != nil {
		return nil, fmt.Errorf("labelling the pod template: %w", err)
	}
	meta := map[string]any{
		"name":            ReplicaSetName(rollout.Name, revision),
		"namespace":       rollout.Namespace,
		"annotations":     map[string]any{v1alpha1.TemplateAnnotation: string(t.Raw)},
		"ownerReferences": []any{ownerReference(rollout)},
	}
	rs := &unstructured.Unstructured{Object: map[string]any{
		"metadata": meta,
		"spec": map[string]any{
			"replicas":        int64(replicas),
			"minReadySeconds": int64(rollout.Spec.MinReadySeconds),
			"selector":        selector,
			"template":        template,
		},
	}}
	rs.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	own[v1alpha1.RolloutLabel] = RolloutLabelValue(rollout.Name)
	rs.SetLabels(own)
	return rs, nil
}

// TemplateOf reads back the template from which a ReplicaSet was made.
func TemplateOf(rs *appsv1.ReplicaSet) (Template, error) {
	return parseTemplate([]byte(rs.Annotations[v1alpha1.TemplateAnnotation]))
}

// MadeFrom reports whether a ReplicaSet was made from a template, word for word.
// It costs next to nothing, but knows no two ways to say the same: see
// Template.Same.
func MadeFrom(rs *appsv1.ReplicaSet, t Template) bool {
	return rs.Annotations[v1alpha1.TemplateAnnotation] == string(t.Raw)
}

// RolloutLabelValue is the value of RolloutLabel for a Rollout's name.
func RolloutLabelValue(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("%s-%08x", name[:most-9], h.Sum32())
}

// podLabels adds the revision to a template's labels.
func podLabels(labels map[string]string, revision string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	if out[v1alpha1.CanonicalRevisionLabel] == "" {
		out[v1alpha1.CanonicalRevisionLabel] = revision
	}
	out[v1alpha1.PodTemplateHashLabel] = revision
	return out
}

// withRevision narrows a selector to a revision's pods.
func withRevision(selector metav1.LabelSelector, revision string) (map[string]any, error) {
	narrowed := selector.DeepCopy()
	if narrowed.MatchLabels == nil {
		narrowed.MatchLabels = map[string]string{}
	}
	narrowed.MatchLabels[v1alpha1.PodTemplateHashLabel] = revision
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(narrowed)
	if err != nil {
		return nil, fmt.Errorf("writing the selector: %w", err)
	}
	return out, nil
}

// ownerReference makes a Rollout the controller of an object. It does not block
// the Rollout's deletion: what is to go on serving is let go first.
func ownerReference(rollout *v1alpha1.Rollout) map[string]any {
	return map[string]any{
		"apiVersion":         v1alpha1.GroupVersion.String(),
		"kind":               "Rollout",
		"name":               rollout.Name,
		"uid":                string(rollout.UID),
		"controller":         true,
		"blockOwnerDeletion": false,
	}
}

// OwnerReference is ownerReference for typed objects.
func OwnerReference(rollout *v1alpha1.Rollout) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion:         v1alpha1.GroupVersion.String(),
		Kind:               "Rollout",
		Name:               rollout.Name,
		UID:                rollout.UID,
		Controller:         ptr.To(true),
		BlockOwnerDeletion: ptr.To(false),
	}
}

// Available returns how many of a ReplicaSet's pods can serve.
func Available(rs *appsv1.ReplicaSet) int32 {
	if rs.DeletionTimestamp != nil {
		return 0
	}
	return rs.Status.AvailableReplicas
}

// SelectorMatches reports whether a Rollout's selector matches the pods of a
// template.
func SelectorMatches(selector *metav1.LabelSelector, pod *corev1.PodTemplateSpec) (bool, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, fmt.Errorf("selector: %w", err)
	}
	return s.Matches(labels.Set(pod.Labels)), nil
}

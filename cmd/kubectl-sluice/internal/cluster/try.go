package cluster

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/lint"
)

// Try lets the API server try an object without keeping it, and for a Rollout the
// pods that it asks for: what the CustomResourceDefinition does not check, and
// admission, answer there.
func (c *Cluster) Try(ctx context.Context, original *unstructured.Unstructured) (lint.Findings, error) {
	u := original.DeepCopy()
	if u.GetNamespace() == "" {
		u.SetNamespace(c.Namespace)
	}
	var f lint.Findings
	if err := c.note(&f, "the API server", c.dryRun(ctx, u)); err != nil || len(f.Errors) > 0 || u.GetKind() != "Rollout" {
		return f, err
	}
	rs, err := replicaSetOf(u)
	if err != nil {
		return f, err
	}
	return f, c.note(&f, "the API server, of the pod template", c.Client.Create(ctx, rs, client.DryRunAll))
}

func (c *Cluster) dryRun(ctx context.Context, u *unstructured.Unstructured) error {
	if u.GetName() == "" { // a generated name cannot be applied
		return c.Client.Create(ctx, u, client.DryRunAll)
	}
	return c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.DryRunAll, client.ForceOwnership)
}

// note sorts an answer: a refusal is a finding, the lack of permission a warning,
// anything else an error.
func (c *Cluster) note(f *lint.Findings, who string, err error) error {
	switch {
	case err == nil:
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), isDenied(err):
		f.Errors = append(f.Errors, fmt.Sprintf("%s: %v", who, err))
	case apierrors.IsForbidden(err):
		f.Warnings = append(f.Warnings, fmt.Sprintf("not tried: %v", err))
	default:
		return c.explain(err, "trying the object")
	}
	return nil
}

// isDenied tells a refusal by admission, a quota or a policy, from a missing
// permission. Both are Forbidden, and only the wording of the latter is fixed.
func isDenied(err error) bool {
	return apierrors.IsForbidden(err) && !(strings.Contains(err.Error(), "User \"") && strings.Contains(err.Error(), " cannot "))
}

// replicaSetOf is the ReplicaSet that the operator would create, in name apart.
func replicaSetOf(rollout *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	template, found, err := unstructured.NestedMap(rollout.Object, "spec", "workload", "template")
	if err != nil || !found {
		return nil, fmt.Errorf("reading the pod template: found %t: %w", found, err)
	}
	selector, _, err := unstructured.NestedMap(rollout.Object, "spec", "selector")
	if err != nil {
		return nil, fmt.Errorf("reading the selector: %w", err)
	}
	labels, _, err := unstructured.NestedStringMap(template, "metadata", "labels")
	if err != nil {
		return nil, fmt.Errorf("reading the pod template's labels: %w", err)
	}
	const revision = "lint"
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.PodTemplateHashLabel] = revision
	if err := unstructured.SetNestedStringMap(template, labels, "metadata", "labels"); err != nil {
		return nil, fmt.Errorf("labelling the pod template: %w", err)
	}
	rs := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1",
		"kind":       "ReplicaSet",
		"metadata":   map[string]any{"generateName": rollout.GetName() + "-", "namespace": rollout.GetNamespace()},
		"spec":       map[string]any{"replicas": int64(0), "selector": selector, "template": template},
	}}
	return rs, nil
}

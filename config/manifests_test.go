package config_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/internal/envtest"
)

var apiServer = envtest.Shared{CRDs: envtest.AllCRDs}

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

func connect(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(apiServer.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

// TestCRDsAreSmall holds that client-side apply, which stores an object a second
// time in an annotation of at most 256 KiB, works.
func TestCRDsAreSmall(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("crd", "sluice.dev_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CustomResourceDefinitions found: %v", err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() >= 256<<10 {
			t.Errorf("%s has %d bytes, want less than 256 KiB", file, info.Size())
		}
	}
}

// TestInstallIsAccepted installs the default manifests, and holds that the API
// server admits the operator's pods under the restricted Pod Security level.
func TestInstallIsAccepted(t *testing.T) {
	ctx, c := context.Background(), connect(t)
	all := build(t, "default")
	for _, u := range all {
		if u.GetKind() == "CustomResourceDefinition" {
			continue // installed already
		}
		if err := c.Create(ctx, u.DeepCopy()); err != nil {
			t.Fatalf("create %s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
	namespace := into[corev1.Namespace](t, find(t, all, "Namespace", "sluice-system"))
	if got := namespace.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q, want restricted", got)
	}
	template := into[appsv1.Deployment](t, find(t, all, "Deployment", "sluice")).Spec.Template
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: namespace.Name},
		Spec:       template.Spec,
	}
	if err := c.Create(ctx, pod.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the operator's pod is refused: %v", err)
	}
	pod.Spec.Containers[0].SecurityContext.Capabilities = nil
	if err := c.Create(ctx, pod, client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("a pod with capabilities got %v: the namespace enforces nothing", err)
	}
}

// TestOperatorIsHardened holds what the restricted level does not ask for.
func TestOperatorIsHardened(t *testing.T) {
	for _, folder := range []string{"default", "namespaced"} {
		d := into[appsv1.Deployment](t, find(t, build(t, folder), "Deployment", "sluice"))
		pod := d.Spec.Template.Spec
		if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || len(pod.Volumes) != 0 {
			t.Fatalf("%s: want one container and no volumes", folder)
		}
		c := pod.Containers[0]
		checks := map[string]bool{
			"root file system is read-only":           ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false),
			"two replicas":                            ptr.Deref(d.Spec.Replicas, 1) >= 2,
			"memory is limited":                       !c.Resources.Limits.Memory().IsZero(),
			"CPU and memory are requested":            !c.Resources.Requests.Cpu().IsZero() && !c.Resources.Requests.Memory().IsZero(),
			"both probes":                             c.LivenessProbe != nil && c.ReadinessProbe != nil,
			"replicas are spread":                     len(pod.TopologySpreadConstraints) > 0,
			"not the node's network, processes, IPC":  !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
			"grace for the writes that are under way": ptr.Deref(pod.TerminationGracePeriodSeconds, 0) >= 30,
		}
		for what, holds := range checks {
			if !holds {
				t.Errorf("%s: not so: %s", folder, what)
			}
		}
	}
}

// TestAlertsInstallIsAccepted asks the API server about what the alert receiver adds,
// and holds that the operator's pods stay as hardened with it.
func TestAlertsInstallIsAccepted(t *testing.T) {
	ctx, c := context.Background(), connect(t)
	all := build(t, "alerts")
	for _, name := range []string{"Service", "ClusterRole", "ClusterRoleBinding"} {
		if err := c.Create(ctx, withoutNamespace(find(t, all, name, "sluice-alerts")), client.DryRunAll); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	template := into[appsv1.Deployment](t, find(t, all, "Deployment", "sluice")).Spec.Template
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "alerts-restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := c.Create(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: namespace.Name}, Spec: template.Spec}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.ServiceAccountName, Namespace: namespace.Name}}
	if err := c.Create(ctx, account); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(ctx, pod, client.DryRunAll); err != nil {
		t.Errorf("the operator's pod is refused: %v", err)
	}
	if container := template.Spec.Containers[0]; len(container.VolumeMounts) != 1 || !container.VolumeMounts[0].ReadOnly {
		t.Errorf("mounts %v", container.VolumeMounts)
	}
}

// withoutNamespace puts what has a namespace into one that exists.
func withoutNamespace(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	if u.GetNamespace() != "" {
		u.SetNamespace("default")
	}
	return u
}

// TestSamplesAreAccepted asks the API server about every sample.
func TestSamplesAreAccepted(t *testing.T) {
	ctx, c := context.Background(), connect(t)
	samples := append(build(t, "samples"), read(t, filepath.Join("samples", "actions.yaml"))...)
	seen := map[string]int{}
	for _, u := range samples {
		seen[u.GetKind()]++
		u.SetNamespace("default")
		if err := c.Create(ctx, u, client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
	for kind, want := range map[string]int{"Rollout": 5, "VirtualService": 4, "DestinationRule": 2, "Gateway": 1, "HTTPRoute": 1, "MetricProvider": 1, "Notifier": 2, "RolloutAction": 6} {
		if seen[kind] != want {
			t.Errorf("samples have %d objects of kind %s, want %d", seen[kind], kind, want)
		}
	}
}

// TestSampleTemplatesAreAccepted asks the API server for the ReplicaSet of each
// sample, in a namespace that enforces the restricted Pod Security level.
func TestSampleTemplatesAreAccepted(t *testing.T) {
	ctx, c := context.Background(), connect(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "samples", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := c.Create(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	for _, u := range build(t, "samples") {
		if u.GetKind() != "Rollout" {
			continue
		}
		template, _, err := unstructured.NestedMap(u.Object, "spec", "workload", "template")
		if err != nil {
			t.Fatal(err)
		}
		pod := &unstructured.Unstructured{Object: template}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetName(u.GetName())
		pod.SetNamespace(namespace.Name)
		if err := c.Create(ctx, pod, client.DryRunAll); err != nil {
			t.Errorf("pod of %s: %v", u.GetName(), err)
		}
	}
}

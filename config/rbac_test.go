package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var update = flag.Bool("update", false, "write testdata/rbac.golden instead of comparing with it")

// TestPermissions compares every permission that an installation gives with the
// golden file, so that none grows unseen.
func TestPermissions(t *testing.T) {
	var text strings.Builder
	for _, folder := range []string{"default", "namespaced"} {
		for _, u := range build(t, folder) {
			text.WriteString(describe(t, folder, u))
		}
	}
	for _, u := range build(t, "alerts") {
		if u.GetName() == "sluice-alerts" { // the rest is that of default
			text.WriteString(describe(t, "alerts", u))
		}
	}
	for _, u := range read(t, filepath.Join("samples", "alerts", "sender.yaml")) {
		text.WriteString(describe(t, "samples", u))
	}
	for _, sample := range []string{"metricprovider.yaml", "notifier.yaml"} {
		for _, u := range read(t, filepath.Join("samples", sample)) {
			text.WriteString(describe(t, "samples", u))
		}
	}
	golden := filepath.Join("testdata", "rbac.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("permissions changed (-golden +now); run \"go test ./config -run TestPermissions -update\" if that is meant:\n%s", diff)
	}
}

// describe gives a role or a binding in a normal form: a line for each group,
// resource and verb list.
func describe(t *testing.T, folder string, u *unstructured.Unstructured) string {
	t.Helper()
	var text strings.Builder
	switch u.GetKind() {
	case "ClusterRole", "Role":
		fmt.Fprintf(&text, "%s: %s %s\n", folder, u.GetKind(), u.GetName())
		for _, line := range ruleLines(rulesOf(t, u)) {
			fmt.Fprintf(&text, "  %s\n", line)
		}
	case "ClusterRoleBinding", "RoleBinding":
		b := into[rbacv1.ClusterRoleBinding](t, u)
		fmt.Fprintf(&text, "%s: %s %s\n", folder, u.GetKind(), u.GetName())
		for _, s := range b.Subjects {
			fmt.Fprintf(&text, "  %s %s to %s %s/%s\n", b.RoleRef.Kind, b.RoleRef.Name, s.Kind, s.Namespace, s.Name)
		}
	}
	return text.String()
}

func rulesOf(t *testing.T, u *unstructured.Unstructured) []rbacv1.PolicyRule {
	t.Helper()
	return into[rbacv1.ClusterRole](t, u).Rules
}

func ruleLines(rules []rbacv1.PolicyRule) []string {
	var lines []string
	for _, r := range rules {
		verbs := slices.Sorted(slices.Values(r.Verbs))
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				if group == "" {
					group = "core"
				}
				line := fmt.Sprintf("%s/%s: %s", group, resource, strings.Join(verbs, " "))
				if len(r.ResourceNames) > 0 {
					line += " (only " + strings.Join(r.ResourceNames, ", ") + ")"
				}
				lines = append(lines, line)
			}
		}
		for _, url := range r.NonResourceURLs {
			lines = append(lines, fmt.Sprintf("%s: %s", url, strings.Join(verbs, " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestNoDangerousPermission holds what no golden file may ever come to say.
func TestNoDangerousPermission(t *testing.T) {
	for _, folder := range []string{"default", "namespaced", "alerts"} {
		for _, u := range build(t, folder) {
			if u.GetKind() != "ClusterRole" && u.GetKind() != "Role" {
				continue
			}
			for _, r := range rulesOf(t, u) {
				for _, problem := range problems(r) {
					t.Errorf("%s: %s %s %s", folder, u.GetKind(), u.GetName(), problem)
				}
			}
		}
	}
}

func problems(r rbacv1.PolicyRule) []string {
	var found []string
	for _, word := range slices.Concat(r.APIGroups, r.Resources, r.Verbs, r.NonResourceURLs) {
		if strings.Contains(word, "*") {
			found = append(found, "has a wildcard")
		}
	}
	for _, verb := range []string{"escalate", "bind", "impersonate", "approve", "sign"} {
		if slices.Contains(r.Verbs, verb) {
			found = append(found, "may "+verb)
		}
	}
	forbidden := []string{"secrets", "pods", "pods/exec", "serviceaccounts/token", "nodes", "configmaps"}
	for _, resource := range r.Resources {
		if slices.Contains(forbidden, resource) {
			found = append(found, "reaches "+resource)
		}
	}
	if slices.Contains(r.APIGroups, "rbac.authorization.k8s.io") {
		found = append(found, "reaches RBAC itself")
	}
	return found
}

// TestNamespacedHasNoClusterScope holds that the namespaced variant needs nobody
// who may write outside of its namespace.
func TestNamespacedHasNoClusterScope(t *testing.T) {
	for _, u := range build(t, "namespaced") {
		if u.GetNamespace() == "" {
			t.Errorf("%s %s is not in a namespace", u.GetKind(), u.GetName())
		}
	}
}

// TestSamplesReadOneSecret holds that each sample gives one Secret by name.
func TestSamplesReadOneSecret(t *testing.T) {
	for sample, secret := range map[string]string{"metricprovider.yaml": "prometheus-token", "notifier.yaml": "release-channel"} {
		all := read(t, filepath.Join("samples", sample))
		got := ruleLines(rulesOf(t, find(t, all, "Role", "sluice-"+secret)))
		if diff := cmp.Diff([]string{"core/secrets: get (only " + secret + ")"}, got); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", sample, diff)
		}
	}
}

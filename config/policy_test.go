package config_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyAll creates manifests that may be there already.
func applyAll(t *testing.T, c client.Client, all []*unstructured.Unstructured) {
	t.Helper()
	for _, u := range all {
		if err := c.Create(t.Context(), u.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create %s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// as is a client of a user who has a role in a namespace.
func as(t *testing.T, c client.Client, user, role, namespace string) client.Client {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	if err := c.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(apiServer.Config(t))
	config.Impersonate.UserName = user
	impersonated, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return impersonated
}

// command is a RolloutAction that a user could send.
func command(kind, namespace string) *unstructured.Unstructured {
	spec := map[string]any{"rollout": "checkout", "action": kind, "revision": "abc", "requestedBy": "somebody else"}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutAction", "spec": spec,
		"metadata": map[string]any{"generateName": "a-", "namespace": namespace},
	}}
	return u
}

// await tries until a policy that was just created is in effect: the API server
// watches its own policies.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not so within a minute", what)
		}
	}
}

// TestPolicyHoldsRolesToTheirActions asks the API server what each role may command.
func TestPolicyHoldsRolesToTheirActions(t *testing.T) {
	const namespace = "default"
	c := connect(t)
	applyAll(t, c, build(t, filepath.Join("rbac", "users")))
	applyAll(t, c, build(t, "policy"))
	try := func(c client.Client, kind string) error {
		return c.Create(t.Context(), command(kind, namespace), client.DryRunAll)
	}
	users := map[string]client.Client{}
	for user, role := range map[string]string{"ed": "sluice-editor", "ann": "sluice-approver", "rob": "sluice-responder", "vic": "sluice-viewer"} {
		users[user] = as(t, c, user, role, namespace)
	}
	await(t, "the policy is in effect", func() bool {
		err := try(users["ann"], "Abort")
		return err != nil && strings.Contains(err.Error(), "ann may not abort Rollout checkout")
	})
	await(t, "the editor's role is in effect", func() bool { return try(users["ed"], "Retry") == nil })
	may := map[string]string{
		"ed": "Promote PromoteFull Abort Pause Retry Rollback", "ann": "Promote", "rob": "Abort", "vic": "",
	}
	for user, actions := range may {
		for _, kind := range strings.Fields("Promote PromoteFull Abort Pause Retry Rollback") {
			err := try(users[user], kind)
			allowed := strings.Contains(" "+actions+" ", " "+kind+" ")
			if allowed && err != nil || !allowed && !apierrors.IsForbidden(err) {
				t.Errorf("%s commands %s: %v, want it allowed: %v", user, kind, err, allowed)
			}
		}
	}
	// What answers to an alert counts for the limits on alerts: nobody but the operator
	// says so.
	inTheNameOf := command("Abort", namespace)
	const moment = "2026-01-02T15:04:05.000000Z"
	alert := map[string]any{"rule": "r", "fingerprint": "f", "startsAt": moment, "receivedAt": moment}
	if err := unstructured.SetNestedMap(inTheNameOf.Object, alert, "spec", "alert"); err != nil {
		t.Fatal(err)
	}
	if err := users["ed"].Create(t.Context(), inTheNameOf.DeepCopy(), client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("an editor commands in the name of an alert: %v", err)
	}
	for _, u := range build(t, "alerts") {
		if u.GetKind() == "ClusterRole" && u.GetName() == "sluice-alerts" {
			applyAll(t, c, []*unstructured.Unstructured{u})
		}
	}
	operator := as(t, c, "operator", "sluice-alerts", namespace)
	await(t, "the operator commands in the name of an alert", func() bool {
		return operator.Create(t.Context(), inTheNameOf.DeepCopy(), client.DryRunAll) == nil
	})
}

// TestStampNamesTheCreator tries the sample policy.
func TestStampNamesTheCreator(t *testing.T) {
	const namespace = "default"
	c := connect(t)
	applyAll(t, c, build(t, filepath.Join("rbac", "users")))
	applyAll(t, c, read(t, filepath.Join("samples", "policies", "stamp.yaml")))
	eve := as(t, c, "eve", "sluice-editor", namespace)
	stamped := ""
	await(t, "the policy is in effect", func() bool {
		u := command("Abort", namespace)
		if err := eve.Create(t.Context(), u, client.DryRunAll); err != nil {
			return false
		}
		stamped, _, _ = unstructured.NestedString(u.Object, "spec", "requestedBy")
		return stamped != "somebody else"
	})
	if stamped != "eve" {
		t.Errorf("requestedBy is %q, want eve", stamped)
	}
}

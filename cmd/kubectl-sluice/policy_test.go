package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// policyCommand installs config/policy, its policy for the script's namespace
// alone, and waits until the API server holds it.
func (w *world) policyCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "policy")
	ctx, namespace := context.Background(), ts.Getenv("NAMESPACE")
	for _, name := range []string{"rolloutactions.yaml", "rolloutactions_binding.yaml"} {
		ts.Check(w.create(ctx, filepath.Join("..", "..", "config", "policy", name), ""))
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	ts.Check(w.client.Get(ctx, client.ObjectKey{Name: "sluice-rolloutactions"}, binding))
	binding.Spec.MatchResources = &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
	}
	ts.Check(w.client.Update(ctx, binding))
	ts.Check(w.awaitPolicy(ctx, namespace))
}

// awaitPolicy waits until the policy is in force: the API server reads policies as
// they come, and there is nothing to watch but what it refuses.
func (w *world) awaitPolicy(ctx context.Context, namespace string) error {
	as := rest.CopyConfig(w.config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "probe"}
	c, err := client.New(as, client.Options{Scheme: w.client.Scheme()})
	if err != nil {
		return err
	}
	if err := w.grant(namespace, "probe", "sluice-responder"); err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		a := &v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"},
			Spec:       v1alpha1.RolloutActionSpec{Rollout: "none", Action: v1alpha1.ActionRetry, Revision: "none"},
		}
		err := c.Create(ctx, a, client.DryRunAll)
		var status apierrors.APIStatus
		return errors.As(err, &status) && apierrors.IsForbidden(err), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy: %w", err)
	}
	return nil
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Whoami is the name under which the API server knows the user: what its audit log
// has too. Where it does not tell, it is the user of this machine.
func (c *Cluster) Whoami(ctx context.Context) string {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Client.Create(ctx, review); err == nil && review.Status.UserInfo.Username != "" {
		return shorten(review.Status.UserInfo.Username)
	}
	if u, err := user.Current(); err == nil {
		return shorten(u.Username)
	}
	return ""
}

// shorten cuts a name to what requestedBy takes.
func shorten(name string) string {
	const most = 253
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most])
	}
	return name
}

// Command creates a command; with dryRun the API server only tries it.
func (c *Cluster) Command(ctx context.Context, spec v1alpha1.RolloutActionSpec, verb string, dryRun bool) (*v1alpha1.RolloutAction, error) {
	a := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, GenerateName: fmt.Sprintf("%s-%s-", spec.Rollout, verb)},
		Spec:       spec,
	}
	var options []client.CreateOption
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	if err := c.Client.Create(ctx, a, options...); err != nil {
		return nil, c.explain(err, "creating the command")
	}
	a.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RolloutAction"))
	return a, nil
}

// Action reads a command.
func (c *Cluster) Action(ctx context.Context, name string) (*v1alpha1.RolloutAction, error) {
	a := &v1alpha1.RolloutAction{}
	if err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, a); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("the command %s is gone: somebody deleted it: %w", name, err)
		}
		return nil, c.explain(err, "reading the command "+name)
	}
	return a, nil
}

// Operation is one operation of a JSON patch.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Patch changes fields of a Rollout; it fails when a test operation finds that
// somebody else changed them first. It returns the Rollout as it is then.
func (c *Cluster) Patch(ctx context.Context, name string, operations []Operation, dryRun bool) (*v1alpha1.Rollout, error) {
	raw, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("writing the patch: %w", err)
	}
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name}}
	options := []client.PatchOption{}
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	if err := c.Client.Patch(ctx, r, client.RawPatch(types.JSONPatchType, raw), options...); err != nil {
		if isFailedTest(err) {
			return nil, fmt.Errorf("changing Rollout %s: somebody else changed it at the same time, and nothing was done: look again, and repeat it: %w", name, err)
		}
		return nil, c.explain(err, "changing Rollout "+name)
	}
	r.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollout"))
	return r, nil
}

// isFailedTest tells a patch whose test operation failed from one whose result is
// refused: the API server says of the latter what is wrong with it.
func isFailedTest(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsInvalid(err) && errors.As(err, &status) &&
		(status.Status().Details == nil || len(status.Status().Details.Causes) == 0)
}

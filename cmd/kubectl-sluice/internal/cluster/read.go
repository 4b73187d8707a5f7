package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// Rollout reads one Rollout.
func (c *Cluster) Rollout(ctx context.Context, name string) (*v1alpha1.Rollout, error) {
	r := &v1alpha1.Rollout{}
	if err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, r); err != nil {
		return nil, c.explain(err, fmt.Sprintf("reading Rollout %s", name))
	}
	return r, nil
}

// Rollouts reads the Rollouts of the namespace, or of all, that match a selector.
func (c *Cluster) Rollouts(ctx context.Context, all bool, selector string) (*v1alpha1.RolloutList, error) {
	options, err := c.listOptions(all, selector)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.RolloutList{}
	if err := c.Client.List(ctx, list, options); err != nil {
		return nil, c.explain(err, "listing Rollouts")
	}
	return list, nil
}

func (c *Cluster) listOptions(all bool, selector string) (*client.ListOptions, error) {
	options := &client.ListOptions{Namespace: c.Namespace}
	if all {
		options.Namespace = ""
	}
	if selector != "" {
		parsed, err := metav1.ParseToLabelSelector(selector)
		if err != nil {
			return nil, fmt.Errorf("--selector: %w", err)
		}
		if options.LabelSelector, err = metav1.LabelSelectorAsSelector(parsed); err != nil {
			return nil, fmt.Errorf("--selector: %w", err)
		}
	}
	return options, nil
}

// Snapshot reads a Rollout and what belongs to it. Only the Rollout must be
// readable: what else is missing is named in the snapshot.
func (c *Cluster) Snapshot(ctx context.Context, name string) (*story.Snapshot, error) {
	r, err := c.Rollout(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.Around(ctx, r)
}

// Around reads what belongs to a Rollout that was read already.
func (c *Cluster) Around(ctx context.Context, r *v1alpha1.Rollout) (*story.Snapshot, error) {
	own := &client.ListOptions{Namespace: r.Namespace}
	labelled := client.MatchingLabels{v1alpha1.RolloutLabel: r.Name}
	selected := &client.ListOptions{Namespace: r.Namespace}
	var err error
	if selected.LabelSelector, err = metav1.LabelSelectorAsSelector(&r.Spec.Selector); err != nil {
		return nil, fmt.Errorf("reading the selector of Rollout %s: %w", r.Name, err)
	}
	var (
		sets    appsv1.ReplicaSetList
		pods    corev1.PodList
		runs    v1alpha1.AnalysisRunList
		actions v1alpha1.RolloutActionList
	)
	reads := []struct {
		what    string
		list    client.ObjectList
		options []client.ListOption
	}{
		{"ReplicaSets", &sets, []client.ListOption{own, labelled}},
		{"pods", &pods, []client.ListOption{selected}},
		{"AnalysisRuns", &runs, []client.ListOption{own, labelled}},
		{"RolloutActions", &actions, []client.ListOption{own}},
	}
	unread := make([]string, len(reads))
	g, ctx := errgroup.WithContext(ctx)
	for i, read := range reads {
		g.Go(func() error {
			err := c.Client.List(ctx, read.list, read.options...)
			if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
				unread[i] = fmt.Sprintf("%s are not shown: %v", read.what, err)
				return nil
			}
			if err != nil {
				return c.explain(err, "listing "+read.what)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("reading what belongs to Rollout %s: %w", r.Name, err)
	}
	s := &story.Snapshot{Rollout: r, Runs: runs.Items, Now: c.Now()}
	s.Unread = slices.DeleteFunc(unread, func(u string) bool { return u == "" })
	s.ReplicaSets = slices.DeleteFunc(sets.Items, func(rs appsv1.ReplicaSet) bool { return !metav1.IsControlledBy(&rs, r) })
	s.Pods = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return !ownedByOne(&p, s.ReplicaSets, unread[0] != "") })
	s.Actions = slices.DeleteFunc(actions.Items, func(a v1alpha1.RolloutAction) bool { return a.Spec.Rollout != r.Name })
	return s, nil
}

// ownedByOne reports whether a pod belongs to one of the ReplicaSets; where those
// could not be read, the Rollout's selector has to do.
func ownedByOne(pod *corev1.Pod, sets []appsv1.ReplicaSet, unknown bool) bool {
	return unknown || slices.ContainsFunc(sets, func(rs appsv1.ReplicaSet) bool { return metav1.IsControlledBy(pod, &rs) })
}

// explain adds what to do next to an error of the API server.
func (c *Cluster) explain(err error, doing string) error {
	switch {
	case isMissingKind(err):
		return fmt.Errorf("%s: %w: this cluster does not have Sluice's CustomResourceDefinitions: install Sluice, or choose another cluster with --context", doing, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w: \"kubectl sluice list -n %s\" shows those of this namespace, and -A those of all", doing, err, c.Namespace)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w: ask for the ClusterRole sluice-viewer to look, or sluice-editor to act", doing, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: log in again, or see \"kubectl config view --minify\"", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isMissingKind tells a kind that the API server does not know from an object that
// does not exist: only the latter is answered with a status that says so.
func isMissingKind(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeUnexpectedServerResponse
	})
}

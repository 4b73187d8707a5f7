package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// settle is how long after a change the next look is taken, so that many
	// changes at once make one look.
	settle = 200 * time.Millisecond
	// patience is how long to wait for a change before looking anyway: what a
	// person may not watch, and pods, show up then.
	patience = 3 * time.Second
	// reopen is how long to wait before watching again after a watch ended.
	reopen = time.Second
)

// Follow calls look at once, and then after every change of the Rollout, of what it
// measures and of commands, until look is done, fails, or ctx ends. It takes the
// watches as hints only: look reads for itself. Once it has worked, a look that fails
// for a reason that passes, such as an API server that restarts, is taken again.
func (c *Cluster) Follow(ctx context.Context, name string, look func(context.Context) (done bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	named := &client.ListOptions{Namespace: c.Namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", name)}
	go c.hint(ctx, changed, &v1alpha1.RolloutList{}, named)
	go c.hint(ctx, changed, &v1alpha1.AnalysisRunList{}, client.InNamespace(c.Namespace), client.MatchingLabels{v1alpha1.RolloutLabel: name})
	go c.hint(ctx, changed, &v1alpha1.RolloutActionList{}, client.InNamespace(c.Namespace))
	for worked := false; ; {
		done, err := look(ctx)
		if done || err != nil && !(worked && passes(err)) {
			return err
		}
		worked = worked || err == nil
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a change: %w", context.Cause(ctx))
		case <-time.After(patience):
		case <-changed:
			if err := pause(ctx, settle); err != nil {
				return err
			}
			select {
			case <-changed:
			default:
			}
		}
	}
}

// passes reports whether an error may be gone at the next look: it is none of the
// API server's answers that are final.
func passes(err error) bool {
	return !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) &&
		!apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for a change: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}

// hint tells of changes of a kind until ctx ends. What cannot be watched is left to
// the regular look.
func (c *Cluster) hint(ctx context.Context, changed chan<- struct{}, list client.ObjectList, options ...client.ListOption) {
	for ctx.Err() == nil {
		w, err := c.Client.Watch(ctx, list, options...)
		if err == nil {
			tell(w, changed)
			w.Stop()
		} else if !passes(err) {
			return
		}
		if pause(ctx, reopen) != nil {
			return
		}
	}
}

func tell(w watch.Interface, changed chan<- struct{}) {
	for range w.ResultChan() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// Each calls seen for every Rollout that matches, as it is and whenever it changes,
// until ctx ends or seen fails.
func (c *Cluster) Each(ctx context.Context, all bool, selector string, seen func([]v1alpha1.Rollout) error) error {
	options, err := c.listOptions(all, selector)
	if err != nil {
		return err
	}
	seen = onlyNews(seen)
	for {
		list := &v1alpha1.RolloutList{}
		if err := c.Client.List(ctx, list, options); err != nil {
			return c.explain(err, "listing Rollouts")
		}
		if err := seen(list.Items); err != nil {
			return err
		}
		from := *options
		from.Raw = from.AsListOptions()
		from.Raw.ResourceVersion = list.ResourceVersion
		w, err := c.Client.Watch(ctx, &v1alpha1.RolloutList{}, &from)
		if err != nil {
			return c.explain(err, "watching Rollouts")
		}
		err = each(w, seen)
		w.Stop()
		if err != nil {
			return err
		}
		if err := pause(ctx, reopen); err != nil {
			return err
		}
	}
}

// each passes on what a watch tells, until it ends.
func each(w watch.Interface, seen func([]v1alpha1.Rollout) error) error {
	for event := range w.ResultChan() {
		r, ok := event.Object.(*v1alpha1.Rollout)
		if !ok || event.Type == watch.Deleted {
			continue
		}
		if err := seen([]v1alpha1.Rollout{*r}); err != nil {
			return err
		}
	}
	return nil
}

// onlyNews leaves out what was seen already: a watch that begins anew starts with
// all there is.
func onlyNews(seen func([]v1alpha1.Rollout) error) func([]v1alpha1.Rollout) error {
	versions := map[types.UID]string{}
	return func(rollouts []v1alpha1.Rollout) error {
		news := slices.DeleteFunc(rollouts, func(r v1alpha1.Rollout) bool { return versions[r.UID] == r.ResourceVersion })
		for i := range news {
			versions[news[i].UID] = news[i].ResourceVersion
		}
		if len(news) == 0 {
			return nil
		}
		return seen(news)
	}
}

package mux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// firstWait is how long Await waits before it asks for the first time.
const firstWait = time.Second

// ErrKindsAdded says that the cluster has a kind that it did not have before.
var ErrKindsAdded = errors.New("the cluster has new kinds of routing objects")

// Discovery is the part of a discovery client that tells of kinds.
type Discovery interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// Installed tells which kinds the cluster has. A kind is not known or known for as
// long as it lives: what a cache was not told to watch at its start, it must not
// be asked for later.
type Installed struct {
	kinds  []Kind
	scheme *runtime.Scheme
	gvks   []schema.GroupVersionKind // of kinds
	has    map[schema.GroupVersionKind]bool
	// wanted is closed when somebody asks for a kind that is missing.
	wanted   chan struct{}
	wantOnce sync.Once
}

// Discover asks the cluster which of kinds it has. Kinds that are named twice
// count once. An error is no answer: it never means that a kind is missing.
func Discover(d Discovery, scheme *runtime.Scheme, kinds ...Kind) (*Installed, error) {
	i := &Installed{scheme: scheme, has: map[schema.GroupVersionKind]bool{}, wanted: make(chan struct{})}
	for _, kind := range kinds {
		gvk, err := apiutil.GVKForObject(kind.Object, scheme)
		if err != nil {
			return nil, fmt.Errorf("discovering kinds: %w", err)
		}
		if _, seen := i.has[gvk]; seen {
			continue
		}
		i.kinds, i.gvks = append(i.kinds, kind), append(i.gvks, gvk)
		i.has[gvk] = false
	}
	found, err := discover(d, i.gvks)
	if err != nil {
		return nil, err
	}
	for gvk := range found {
		i.has[gvk] = true
	}
	return i, nil
}

// discover returns those of gvks that the cluster has.
func discover(d Discovery, gvks []schema.GroupVersionKind) (map[schema.GroupVersionKind]bool, error) {
	asked, found := map[schema.GroupVersion]bool{}, map[schema.GroupVersionKind]bool{}
	for _, gvk := range gvks {
		gv := gvk.GroupVersion()
		if asked[gv] {
			continue
		}
		asked[gv] = true
		resources, err := d.ServerResourcesForGroupVersion(gv.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("discovering the kinds of %s: %w", gv, err)
		}
		for _, resource := range resources.APIResources {
			if !strings.Contains(resource.Name, "/") { // no subresource
				found[gv.WithKind(resource.Kind)] = true
			}
		}
	}
	return found, nil
}

// Kinds returns those that the cluster has: all that can be watched.
func (i *Installed) Kinds() []Kind {
	var kinds []Kind
	for n, kind := range i.kinds {
		if i.has[i.gvks[n]] {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Missing returns the kinds that the cluster does not have.
func (i *Installed) Missing() []schema.GroupVersionKind {
	var missing []schema.GroupVersionKind
	for _, gvk := range i.gvks {
		if !i.has[gvk] {
			missing = append(missing, gvk)
		}
	}
	return missing
}

// Await returns ErrKindsAdded as soon as the cluster has one of the kinds that were
// missing, and nil when ctx ends. It asks the cluster once in each period, and more
// often at first, when the cluster itself may just have started; but not before
// somebody wants one of them, and not at all if nothing is missing: an operator at
// rest asks nothing. While the cluster does not answer, it goes on asking.
func (i *Installed) Await(ctx context.Context, d Discovery, every time.Duration, c clock.Clock) error {
	missing := i.Missing()
	if len(missing) == 0 {
		<-ctx.Done()
		return nil
	}
	select {
	case <-i.wanted:
	case <-ctx.Done():
		return nil
	}
	for wait := min(firstWait, every); ; wait = min(2*wait, every) {
		timer := c.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
		found, err := discover(d, missing)
		if err != nil {
			log.FromContext(ctx).Error(err, "Looking for routing objects' kinds that were missing")
			continue
		}
		for _, gvk := range missing {
			if found[gvk] {
				return fmt.Errorf("%w: %s", ErrKindsAdded, gvk)
			}
		}
	}
}

// Client returns c, which for objects of a kind that is missing answers what the
// API server would, without asking: a cache would wait for the kind in vain.
func (i *Installed) Client(c client.Client) client.Client { return &installedClient{c, i} }

type installedClient struct {
	client.Client
	installed *Installed
}

// Get implements client.Reader.
func (c *installedClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if err := c.installed.check(obj); err != nil {
		return err
	}
	return c.Client.Get(ctx, key, obj, opts...)
}

// List implements client.Reader.
func (c *installedClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if err := c.installed.check(list); err != nil {
		return err
	}
	return c.Client.List(ctx, list, opts...)
}

// check returns an error for objects of a missing kind and for lists of them.
func (i *Installed) check(obj runtime.Object) error {
	gvk, err := apiutil.GVKForObject(obj, i.scheme)
	if err != nil {
		return err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	if has, known := i.has[gvk]; known && !has {
		i.wantOnce.Do(func() { close(i.wanted) })
		return &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	return nil
}

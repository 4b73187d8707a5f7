// Package handover passes what one controller decided to another in the same
// process, ahead of the API server: a verdict reaches the weight without a write
// and a watch in between, and what nobody needs at once is written less often.
//
// Nothing durable rests on it. A process that starts, or starts over, has an empty
// one, and reads what was written.
package handover

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Unwritten is the status of a Rollout that is newer than the one that was written,
// in what may be a moment late in writing.
type Unwritten struct{ Written, Newest *v1alpha1.RolloutStatus }

// Over reports whether it is newer than a status that was read, and not older than
// it.
func (u *Unwritten) Over(read *v1alpha1.RolloutStatus) bool {
	return equality.Semantic.DeepEqual(u.Written, read)
}

// Newest holds the newest value of some objects, written or not. Values are not
// to be changed once published.
type Newest[T any] struct {
	mu        sync.Mutex
	values    map[types.NamespacedName]value[T]
	published func(key types.NamespacedName, before, after *T)
}

type value[T any] struct {
	uid types.UID
	of  *T
}

// New returns an empty one.
func New[T any]() *Newest[T] {
	return &Newest[T]{values: map[types.NamespacedName]value[T]{}}
}

// OnPublish sets what is told of every published value, and of the one before,
// which is nil where there was none. It is called by whoever publishes, and must
// not block.
func (n *Newest[T]) OnPublish(f func(key types.NamespacedName, before, after *T)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.published = f
}

// Publish makes a value the newest of an object.
func (n *Newest[T]) Publish(key types.NamespacedName, uid types.UID, newest *T) {
	n.mu.Lock()
	before, tell := n.values[key], n.published
	n.values[key] = value[T]{uid: uid, of: newest}
	n.mu.Unlock()
	if before.uid != uid {
		before.of = nil
	}
	if tell != nil {
		tell(key, before.of, newest)
	}
}

// Get returns the newest value of an object, or nil when what was written is.
func (n *Newest[T]) Get(key types.NamespacedName, uid types.UID) *T {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.values[key]; v.uid == uid {
		return v.of
	}
	return nil
}

// Named returns the newest value of whatever object has a name, or nil when what was
// written is.
func (n *Newest[T]) Named(key types.NamespacedName) *T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.values[key].of
}

// All returns the newest values, by name.
func (n *Newest[T]) All() map[types.NamespacedName]*T {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[types.NamespacedName]*T, len(n.values))
	for key, v := range n.values {
		all[key] = v.of
	}
	return all
}

// AtStop returns what runs when a leader's work ends because the process, whose
// context is given, stops: not when the lease was lost, after which nothing may be
// written. It gets a context that lasts for a little longer.
func AtStop(process context.Context, do func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		if process.Err() == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		do(ctx)
		return nil
	}
}

// EachAtStop does something for each item, many at a time: a process that stops holds
// the lease until it is through.
func EachAtStop[T any](items []T, do func(T)) {
	var group errgroup.Group
	group.SetLimit(writesAtStop)
	for _, item := range items {
		group.Go(func() error {
			do(item)
			return nil
		})
	}
	_ = group.Wait() // no item returns an error
}

// writesAtStop is how many writes of a process that stops are under way at a time.
const writesAtStop = 32

// stopTimeout is how long a process that stops may take to write what it has.
const stopTimeout = 5 * time.Second

// Forget drops an object: what was written is the newest.
func (n *Newest[T]) Forget(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.values, key)
}

// Package fake is a Router over routes in memory, for tests of whatever uses a
// Router: it counts and shows each write, and fails, lags, or carries out half of
// an Apply when told to.
package fake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// Routing is what the routing objects of one Rollout say.
type Routing struct {
	// Stable and Canary are the revisions that the two destinations select; empty
	// for none in particular.
	Stable, Canary string
	// Weights of the canary, one for each route, in percent.
	Weights []int32
	// Programmed is what Observe reports.
	Programmed trafficrouting.Programmed
	// Missing says that the objects do not exist.
	Missing bool

	version int
}

// State is the Routing as Observe reports it.
func (r Routing) State() trafficrouting.State {
	s := trafficrouting.State{Stable: r.Stable, Canary: r.Canary, Programmed: r.Programmed}
	if len(r.Weights) > 0 {
		s.MinWeight, s.MaxWeight = slices.Min(r.Weights), slices.Max(r.Weights)
	}
	return s
}

func (r Routing) clone() Routing {
	r.Weights = slices.Clone(r.Weights)
	return r
}

// Field is what a Write changes.
type Field string

// The fields, in the order in which Apply writes them.
const (
	StableRevision Field = "StableRevision"
	CanaryRevision Field = "CanaryRevision"
	Weight         Field = "Weight"
)

// Write is one write of an Apply or a Release.
type Write struct {
	// Rollout whose routing is written.
	Rollout types.NamespacedName
	// Field that is written.
	Field Field
	// Route is the index of the route whose weight is written.
	Route int
	// Before and After are what the routing says without and with this write.
	Before, After trafficrouting.State
}

// Router implements trafficrouting.Router. The zero value is ready: every Rollout
// has one route then, with weight 0, from the first call that names it. It may be
// used by several goroutines at once; hooks are called one at a time and may call
// the Router.
type Router struct {
	mu       sync.Mutex
	rollouts map[types.NamespacedName]*Routing
	frozen   map[types.NamespacedName]Routing
	writes   []Write
	reads    int
	observe  error
	before   func(Write) error
	after    func(Write)
}

var _ trafficrouting.Router = (*Router)(nil)

// New returns a Router.
func New() *Router { return &Router{} }

// Edit changes what the routing of a Rollout says, as somebody else would.
func (r *Router) Edit(rollout types.NamespacedName, change func(*Routing)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	routing := r.get(rollout)
	change(routing)
	routing.version++
}

// Get returns what the routing of a Rollout says at this moment, lag or no lag.
func (r *Router) Get(rollout types.NamespacedName) Routing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(rollout).clone()
}

// Freeze makes reads of a Rollout's routing, those of Apply included, stay at
// what it says now, like a cache that lags. A write that builds on an old read
// then fails with a conflict. Thaw ends it.
func (r *Router) Freeze(rollout types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = map[types.NamespacedName]Routing{}
	}
	r.frozen[rollout] = r.get(rollout).clone()
}

// Thaw lets reads of a Rollout's routing see what it says.
func (r *Router) Thaw(rollout types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.frozen, rollout)
}

// FailObserve makes every Observe return err; nil ends it.
func (r *Router) FailObserve(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observe = err
}

// BeforeWrite has hook called before each write; the write fails with the error
// that it returns. nil takes the hook away.
func (r *Router) BeforeWrite(hook func(Write) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = hook
}

// AfterWrite has hook called after each write that was done. nil takes the hook
// away.
func (r *Router) AfterWrite(hook func(Write)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = hook
}

// Writes returns the writes that were done, in order.
func (r *Router) Writes() []Write {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writes)
}

// Observations returns how often Observe was called.
func (r *Router) Observations() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

// Observe implements trafficrouting.Router.
func (r *Router) Observe(ctx context.Context, t trafficrouting.Target) (trafficrouting.State, error) {
	if err := ctx.Err(); err != nil {
		return trafficrouting.State{}, err
	}
	r.mu.Lock()
	r.reads++
	err := r.observe
	r.mu.Unlock()
	if err != nil {
		return trafficrouting.State{}, err
	}
	seen := r.read(t.Rollout)
	return seen.State(), missing(t, seen)
}

// Apply implements trafficrouting.Router.
func (r *Router) Apply(ctx context.Context, t trafficrouting.Target, s trafficrouting.Split) error {
	if s.Weight < 0 || s.Weight > 100 {
		return fmt.Errorf("weight %d is not in 0 to 100", s.Weight)
	}
	seen := r.read(t.Rollout)
	if err := missing(t, seen); err != nil {
		return err
	}
	w := &writer{router: r, ctx: ctx, rollout: t.Rollout, seen: seen}
	mayRaiseStable := w.bind(StableRevision, s.Stable)
	mayRaiseCanary := w.bind(CanaryRevision, s.Canary)
	for route, weight := range seen.Weights {
		if weight < s.Weight && mayRaiseCanary || weight > s.Weight && mayRaiseStable {
			w.weigh(route, s.Weight)
		}
	}
	return errors.Join(w.errs...)
}

// Release implements trafficrouting.Router.
func (r *Router) Release(ctx context.Context, t trafficrouting.Target) error {
	seen := r.read(t.Rollout)
	if seen.Missing {
		return nil
	}
	w := &writer{router: r, ctx: ctx, rollout: t.Rollout, seen: seen}
	for route, weight := range seen.Weights {
		if weight > 0 {
			w.weigh(route, 0)
		}
	}
	if len(w.errs) == 0 {
		w.release(StableRevision, seen.Stable)
		w.release(CanaryRevision, seen.Canary)
	}
	return errors.Join(w.errs...)
}

// get returns the routing of a Rollout; r.mu is held.
func (r *Router) get(rollout types.NamespacedName) *Routing {
	if r.rollouts == nil {
		r.rollouts = map[types.NamespacedName]*Routing{}
	}
	if r.rollouts[rollout] == nil {
		r.rollouts[rollout] = &Routing{Weights: []int32{0}, Programmed: trafficrouting.ProgrammedUnknown}
	}
	return r.rollouts[rollout]
}

func (r *Router) read(rollout types.NamespacedName) Routing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.frozen[rollout]; ok {
		return old.clone()
	}
	return r.get(rollout).clone()
}

func missing(t trafficrouting.Target, seen Routing) error {
	if !seen.Missing {
		return nil
	}
	return trafficrouting.Problemf(v1alpha1.ReasonObjectMissing, "the routing objects of %s do not exist: create them", t.Rollout)
}

// writer carries out the writes of one call, which build on one read.
type writer struct {
	router  *Router
	ctx     context.Context
	rollout types.NamespacedName
	seen    Routing
	errs    []error
}

// bind makes a destination select revision; it reports whether it does.
func (w *writer) bind(field Field, revision string) bool {
	current := w.seen.Stable
	if field == CanaryRevision {
		current = w.seen.Canary
	}
	return revision == "" || revision == current || w.write(field, 0, func(r *Routing) { r.rebind(field, revision) })
}

func (w *writer) release(field Field, current string) {
	if current != "" {
		w.write(field, 0, func(r *Routing) { r.rebind(field, "") })
	}
}

func (w *writer) weigh(route int, weight int32) {
	w.write(Weight, route, func(r *Routing) { r.Weights[route] = weight })
}

func (r *Routing) rebind(field Field, revision string) {
	if field == StableRevision {
		r.Stable = revision
		return
	}
	r.Canary = revision
}

// write does one write; it reports whether it was done.
func (w *writer) write(field Field, route int, change func(*Routing)) bool {
	r := w.router
	r.mu.Lock()
	hook, before := r.before, r.get(w.rollout).clone()
	r.mu.Unlock()

	after := before.clone()
	if route < len(after.Weights) {
		change(&after)
	}
	record := Write{Rollout: w.rollout, Field: field, Route: route, Before: before.State(), After: after.State()}
	if err := w.attempt(hook, record, change); err != nil {
		w.errs = append(w.errs, fmt.Errorf("write %s of %s: %w", field, w.rollout, err))
		return false
	}
	r.mu.Lock()
	done := r.after
	r.mu.Unlock()
	if done != nil {
		done(record)
	}
	return true
}

func (w *writer) attempt(hook func(Write) error, record Write, change func(*Routing)) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if hook != nil {
		if err := hook(record); err != nil {
			return err
		}
	}
	r := w.router
	r.mu.Lock()
	defer r.mu.Unlock()
	routing := r.get(w.rollout)
	if routing.version != w.seen.version {
		return apierrors.NewConflict(schema.GroupResource{Resource: "routing"}, w.rollout.Name, errors.New("it was changed since it was read"))
	}
	change(routing)
	routing.version++
	w.seen.version++
	r.writes = append(r.writes, record)
	return nil
}

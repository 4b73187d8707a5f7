package rollout

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// memory is what one process remembers of its Rollouts. Losing it costs time, a
// propagation wait or a dry run, and nothing else: a restart is always safe.
type memory struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*recollection
}

type recollection struct {
	uid types.UID
	// routing was first seen as it is at since.
	routing trafficrouting.State
	since   time.Time
	// checked is the template hash that the API server took in a dry run.
	checked string

	// spec is what reading the spec came to, kept while a release is in progress.
	spec *checkedSpec

	// outdated is since when the status that is written differs from what is true in
	// what may be a moment late; zero while it does not.
	outdated time.Time
	// changed is when the last such difference came up.
	changed time.Time

	// unsure is the Rollout before a write of its status of which it is not known
	// whether it went through; nil otherwise.
	unsure *v1alpha1.Rollout

	// alerted is when the alert became due for which the release was aborted, while
	// its weight is not 0; zero otherwise.
	alerted time.Time
}

func newMemory() *memory {
	return &memory{known: map[types.NamespacedName]*recollection{}}
}

// recall returns what is remembered of a Rollout; it is the caller's alone, as no
// Rollout is reconciled twice at a time.
func (m *memory) recall(name types.NamespacedName, uid types.UID) *recollection {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[name]
	if known == nil || known.uid != uid {
		known = &recollection{uid: uid}
		m.known[name] = known
	}
	return known
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, name)
}

// check reads a Rollout's spec, or remembers what that came to. It remembers while
// a release is in progress, when a Rollout is looked at often, and not at rest,
// when it would take memory for nothing.
func (r *recollection) check(rollout *v1alpha1.Rollout) *checkedSpec {
	spec := r.spec
	if spec == nil || spec.generation != rollout.Generation {
		spec = checkParts(rollout)
	}
	r.spec = nil
	if rollout.Status.Canary != nil {
		r.spec = spec
	}
	return spec
}

// late reports whether a status can wait to be written, and for how long: until it
// has stood for a moment. known is the newest that was decided before.
func (r *recollection) late(written, known, next *v1alpha1.RolloutStatus, now time.Time) (time.Duration, bool) {
	if equality.Semantic.DeepEqual(written, next) || !sameButMoments(written, next) {
		return 0, false
	}
	if r.outdated.IsZero() {
		r.outdated = now
	}
	if !equality.Semantic.DeepEqual(known, next) {
		r.changed = now
	}
	wait := min(standsFor-now.Sub(r.changed), latest-now.Sub(r.outdated))
	return wait, wait > 0
}

// wrote notes that the status that is written is true.
func (r *recollection) wrote() { r.outdated = time.Time{} }

// lost notes that the routing could not be seen: what comes after is new.
func (r *recollection) lost() { r.since = time.Time{} }

// seen notes the routing and returns since when it has been so.
func (r *recollection) seen(state trafficrouting.State, now time.Time) time.Time {
	if r.since.IsZero() || r.routing != state {
		r.routing, r.since = state, now
	}
	return r.since
}

package history

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Invariant names what must hold.
type Invariant string

// Values of Invariant.
const (
	Weights  Invariant = "W"
	Capacity Invariant = "C"
	Moves    Invariant = "M"
	Single   Invariant = "S"
	Unique   Invariant = "U"
	// Decoding: what is stored can be read at all.
	Decoding Invariant = "decoding"
)

// Violation is a stored version after which an invariant did not hold.
type Violation struct {
	Invariant Invariant
	Namespace string
	Revision  int64
	Message   string
}

// change is one version as it enters the world.
type change struct {
	*Version
	old, new *object
}

// Checker rebuilds the world from versions, which must be added in order, and
// checks it after each. It may be used by several goroutines.
type Checker struct {
	mu         sync.Mutex
	world      world
	tracks     map[key]*track
	unproved   []pass
	lease      lease
	exempt     map[string][]Invariant
	ignored    map[string]bool
	entries    []entry
	violations []Violation
	ongoing    map[string]bool
	// written counts the versions by the operator, by namespace.
	written map[string]int
}

// entry is one line of the history.
type entry struct {
	revision  int64
	namespace string
	line      string
}

// track is what the past tells of a Rollout.
type track struct {
	// split as it was after the version before, if it could be read.
	split *split
	// lastTraffic is when a revision last had weight, "" standing for any; carried
	// is the most pods that were ready while it has had weight.
	lastTraffic map[string]time.Time
	carried     map[string]int32
	// foreignAt is the revision of the latest routing version that the operator did
	// not write; operatorAt of the latest that it did.
	foreignAt, operatorAt int64
	// inForceAt is the revision at which the current step was first in force.
	inForceAt int64
}

// New returns a Checker of an empty world.
func New() *Checker {
	return &Checker{
		world: world{}, tracks: map[key]*track{},
		exempt: map[string][]Invariant{}, ignored: map[string]bool{}, ongoing: map[string]bool{},
		lease: lease{late: map[string]int{}}, written: map[string]int{},
	}
}

// Exempt takes invariants as not asked for in a namespace, from the next version
// on: for faults that a scenario causes, such as pods that die. Without invariants
// the namespace is held to all of them again.
func (c *Checker) Exempt(namespace string, invariants ...Invariant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exempt[namespace] = invariants
}

// Ignore ends the checks of a namespace: it is being deleted.
func (c *Checker) Ignore(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ignored[namespace] = true
}

// Add takes the next version.
func (c *Checker) Add(v Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := key{v.Kind, v.Namespace, v.Name}
	ch := change{Version: &v, old: c.world[k]}
	if v.Deleted() {
		delete(c.world, k)
	} else {
		o, err := decode(&v)
		if err != nil {
			c.log(&ch)
			c.violate(Decoding, &v, "%s", err)
			return
		}
		ch.new, c.world[k] = o, o
	}
	c.log(&ch)
	if v.Writer != "" {
		c.written[v.Namespace]++
	}
	if c.ignored[v.Namespace] {
		return
	}
	for _, check := range []func(*Checker, *change){
		(*Checker).checkLease, (*Checker).checkUnique, (*Checker).checkWeights, (*Checker).checkRouting,
		(*Checker).checkScaleDown, (*Checker).checkEvidence, (*Checker).checkMoves, (*Checker).checkCapacity,
	} {
		check(c, &ch)
	}
	if v.Kind == KindRollout && v.Deleted() {
		delete(c.tracks, k)
	}
}

// track returns what is remembered of a Rollout.
func (c *Checker) track(r *v1alpha1.Rollout) *track {
	k := key{KindRollout, r.Namespace, r.Name}
	if c.tracks[k] == nil {
		c.tracks[k] = &track{lastTraffic: map[string]time.Time{}, carried: map[string]int32{}}
	}
	return c.tracks[k]
}

func (c *Checker) violate(i Invariant, v *Version, format string, args ...any) {
	if slices.Contains(c.exempt[v.Namespace], i) {
		return
	}
	c.violations = append(c.violations, Violation{
		Invariant: i, Namespace: v.Namespace, Revision: v.Revision, Message: fmt.Sprintf(format, args...),
	})
}

// state reports a violation that lasts only once: broken tells whether it is so
// now.
func (c *Checker) state(id string, i Invariant, v *Version, broken bool, message string) {
	id = string(i) + "/" + v.Namespace + "/" + id
	if broken && !c.ongoing[id] {
		c.violate(i, v, "%s", message)
	}
	c.ongoing[id] = broken
}

// Violations returns what did not hold so far, oldest first.
func (c *Checker) Violations() []Violation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all()
}

// all returns the violations, and a step that was passed on what is not written yet
// as one.
func (c *Checker) all() []Violation {
	out := slices.Clone(c.violations)
	for _, p := range c.unproved {
		if !c.ignored[p.namespace] {
			out = append(out, p.violation())
		}
	}
	return out
}

// Written returns how many versions in a namespace the operator is known to have
// written: without any, nothing was checked.
func (c *Checker) Written(namespace string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written[namespace]
}

// Versions returns how many versions in a namespace the history tells of.
func (c *Checker) Versions(namespace string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.history(namespace))
}

// Lines of history that a report shows before and after a violation.
const (
	linesBefore = 25
	linesAfter  = 5
)

// Report tells of the violations in some namespaces, or in all when none is named,
// with the history around each; empty when there are none.
func (c *Checker) Report(namespaces ...string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	for _, v := range c.all() {
		if len(namespaces) > 0 && !slices.Contains(namespaces, v.Namespace) {
			continue
		}
		fmt.Fprintf(&out, "invariant %s does not hold in %s after revision %d: %s\n", v.Invariant, v.Namespace, v.Revision, v.Message)
		lines := c.history(v.Namespace)
		at, _ := slices.BinarySearchFunc(lines, v.Revision, func(e entry, r int64) int { return int(e.revision - r) })
		for _, e := range lines[max(0, at-linesBefore):min(len(lines), at+1+linesAfter)] {
			mark := "   "
			if e.revision == v.Revision {
				mark = "=> "
			}
			out.WriteString(mark + e.line + "\n")
		}
	}
	return out.String()
}

// History returns the latest lines of a namespace's history.
func (c *Checker) History(namespace string, lines int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	all := c.history(namespace)
	for _, e := range all[max(0, len(all)-lines):] {
		out.WriteString("   " + e.line + "\n")
	}
	return out.String()
}

func (c *Checker) history(namespace string) []entry {
	var out []entry
	for _, e := range c.entries {
		if e.namespace == namespace {
			out = append(out, e)
		}
	}
	return out
}

// foreign reports whether the routing is as somebody else left it.
func (t *track) foreign() bool { return t.foreignAt > t.operatorAt }

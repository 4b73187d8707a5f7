package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

// takeover bounds how long work may stand still.
const takeover = leaseDuration + 30*time.Second

// stop is a way in which a leading operator ends.
type stop struct {
	name    string
	signal  syscall.Signal
	standby bool
	target  limit
}

var stops = []stop{
	{"graceful stop, warm standby", syscall.SIGTERM, true, seconds(3)},
	{"SIGKILL, warm standby, lease 15s", syscall.SIGKILL, true, seconds(leaseDuration.Seconds() + 3)},
	{"graceful stop, started again", syscall.SIGTERM, false, seconds(0)},
	{"SIGKILL, started again, lease 15s", syscall.SIGKILL, false, seconds(0)},
}

// manySteps move a Rollout's weight about every two seconds, for most of a minute.
func manySteps() []v1alpha1.Step {
	var steps []v1alpha1.Step
	for weight := int32(4); weight <= 100; weight += 4 {
		steps = append(steps, v1alpha1.Step{Weight: weight})
	}
	return steps
}

// measureRestarts stops the operator while a fleet is in flight, and measures from
// the stop until weights move again by the hand of the next leader.
func measureRestarts(ctx context.Context, b *bench) error {
	leaders, err := watchLeaders(ctx, b)
	if err != nil {
		return err
	}
	active, err := b.startOperator(ctx)
	if err != nil {
		return err
	}
	n := b.size(100, 20)
	f, err := b.newFleet(ctx, n, demo.Service{Steps: manySteps()})
	if err != nil {
		return err
	}
	version := 1
	for _, s := range stops {
		var first, half, all series
		for range b.size(3, 1) {
			version++
			r := &restart{bench: b, fleet: f, leaders: leaders, stop: s}
			if active, err = r.run(ctx, active, fmt.Sprintf("v%d", version)); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			first.addDuration(r.first)
			half.addDuration(r.half)
			all.addDuration(r.all)
		}
		name := fmt.Sprintf("%d in flight, %s: ", n, s.name)
		b.report.add(b.part, name+"first weight moves", first, s.target)
		b.report.add(b.part, name+"half of them moved", half, seconds(0))
		b.report.add(b.part, name+"all of them moved", all, seconds(0))
	}
	return nil
}

// restart is one stop and what came of it.
type restart struct {
	*bench
	fleet   *fleet
	leaders *leaders
	stop    stop

	first, half, all time.Duration // from the stop
}

// run releases a version, stops the active operator in mid-flight and returns the
// one that is active then.
func (r *restart) run(ctx context.Context, active *demo.Operator, version string) (*demo.Operator, error) {
	var next *demo.Operator
	var err error
	if r.stop.standby {
		if next, err = r.startOperator(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := r.fleet.release(ctx, version); err != nil {
		return nil, err
	}
	if err := r.awaitFlight(ctx); err != nil {
		return nil, err
	}
	before := r.leaders.changes()
	stopped := time.Now()
	if err := active.Signal(r.stop.signal); err != nil {
		return nil, fmt.Errorf("stopping the operator: %w", err)
	}
	if next == nil {
		if err := active.Wait(ctx); ctx.Err() != nil {
			return nil, err
		}
		if next, err = r.startOperator(ctx); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, takeover)
	defer cancel()
	since, err := r.leaders.awaitChange(ctx, before)
	if err != nil {
		return nil, err
	}
	for _, wait := range []struct {
		count int
		took  *time.Duration
	}{{1, &r.first}, {(len(r.fleet.names) + 1) / 2, &r.half}, {len(r.fleet.names), &r.all}} {
		at, err := r.weights.awaitMoved(ctx, since, wait.count)
		if err != nil {
			return nil, err
		}
		*wait.took = at.Sub(stopped)
	}
	return next, nil
}

// awaitFlight waits until every Rollout releases, and half of them are past their
// second step.
func (r *restart) awaitFlight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return r.states.await(ctx, "the fleet to be in flight", func() bool {
		far := 0
		for _, name := range r.fleet.names {
			s := r.states.of[name]
			if s.canary == "" || s.saw != s.generation {
				return false
			}
			if s.step != "step-1" && s.step != "step-2" {
				far++
			}
		}
		return 2*far >= len(r.fleet.names)
	})
}

// awaitMoved returns the moment at which the weights of so many VirtualServices had
// moved after a version of the cluster's state.
func (w *weights) awaitMoved(ctx context.Context, version uint64, n int) (time.Time, error) {
	var at time.Time
	err := w.await(ctx, fmt.Sprintf("%d weights to move", n), func() bool {
		var moved []time.Time
		for _, known := range w.moves {
			for i := range known {
				if known[i].version > version {
					moved = append(moved, known[i].at)
					break
				}
			}
		}
		if len(moved) < n {
			return false
		}
		at = nth(moved, n)
		return true
	})
	return at, err
}

// leaders are the holders of the lease, in order.
type leaders struct {
	board
	holders  []string
	versions []uint64
}

func watchLeaders(ctx context.Context, b *bench) (*leaders, error) {
	l := &leaders{board: newBoard()}
	return l, watchResource(ctx, b.client, leases, func(o *unstructured.Unstructured, _ time.Time) {
		if o.GetNamespace() != demo.SystemNamespace {
			return
		}
		holder, _, _ := unstructured.NestedString(o.Object, "spec", "holderIdentity")
		l.update(func() {
			if n := len(l.holders); holder == "" || n > 0 && l.holders[n-1] == holder {
				return
			}
			l.holders, l.versions = append(l.holders, holder), append(l.versions, versionOf(metav1.Object(o)))
		})
	})
}

// changes is how many leaders there were.
func (l *leaders) changes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.holders)
}

// awaitChange waits for a leader after the first n, and returns the version of the
// cluster's state at which it began to lead.
func (l *leaders) awaitChange(ctx context.Context, n int) (uint64, error) {
	var version uint64
	err := l.await(ctx, "another leader", func() bool {
		if len(l.versions) <= n {
			return false
		}
		version = l.versions[n]
		return true
	})
	return version, err
}

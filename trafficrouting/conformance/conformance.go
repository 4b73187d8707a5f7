// Package conformance is the contract of trafficrouting.Router as tests that any
// Router must pass.
package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// World is a Router, and routing objects of its own for it to work on: routes
// that give the canary weight 0, and destinations that select no revision.
type World struct {
	// Router under test.
	Router trafficrouting.Router
	// Target whose objects these are.
	Target trafficrouting.Target
	// Writes returns how many writes the Router has made or tried.
	Writes func() int
	// SetWeight has somebody else set the canary's weight in one of the routes.
	SetWeight func(weight int32)
	// SetRevisions has somebody else bind both destinations.
	SetRevisions func(stable, canary string)
	// Foreign returns all that is the user's: what no Router may change.
	Foreign func() any
	// ForeignShares returns the share of its route that each destination has which is
	// neither stable nor canary; nil if there is none.
	ForeignShares func() map[string]float64
	// Missing are the objects, or parts of them, without which there is no split.
	Missing []Missing
	// Reapply has somebody else write every object anew as it was at first, as a tool
	// does that keeps a cluster as Git has it.
	Reapply func()
	// BeforeWrite has hook called before each of the Router's writes, with its
	// number from 1 on. The write fails if hook returns an error. nil ends it.
	BeforeWrite func(hook func(n int) error)
}

// Missing is something without which there is no split.
type Missing struct {
	// Name of the test.
	Name string
	// Remove has somebody else take it away.
	Remove func()
	// Reason of the problem that the Router makes of it.
	Reason string
	// Says is a part of the problem's message: what to write, or where.
	Says string
}

// Setup makes a new World for one test.
type Setup func(t *testing.T) World

// Run runs the suite.
func Run(t *testing.T, setup Setup) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, w World)
	}{
		{"AtFirst", atFirst},
		{"WhatWasAppliedIsObserved", whatWasAppliedIsObserved},
		{"ApplyWritesNothingTwice", applyWritesNothingTwice},
		{"EmptyRevisionsAreLeft", emptyRevisionsAreLeft},
		{"WeightsOutOfRangeAreRefused", weightsOutOfRangeAreRefused},
		{"NothingAndEverythingAreExact", nothingAndEverythingAreExact},
		{"DriftIsSeenAndHealed", driftIsSeenAndHealed},
		{"ForeignFieldsSurvive", foreignFieldsSurvive},
		{"ForeignDestinationsKeepTheirShare", foreignDestinationsKeepTheirShare},
		{"WhatIsReappliedIsHealed", whatIsReappliedIsHealed},
		{"AToolThatReappliesAllTheTime", aToolThatReappliesAllTheTime},
		{"TheTargetIsNotChanged", theTargetIsNotChanged},
		{"AnyWriteMayFail", anyWriteMayFail},
		{"AConflictSurfaces", aConflictSurfaces},
		{"ReleaseGivesBack", releaseGivesBack},
		{"ReleaseMayFailAnywhere", releaseMayFailAnywhere},
		{"Concurrency", concurrency},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, setup(t)) })
	}
	t.Run("MissingObjects", func(t *testing.T) {
		missing := setup(t).Missing
		if len(missing) == 0 {
			t.Error("nothing can be missing: say what")
		}
		for i, m := range missing {
			t.Run(m.Name, func(t *testing.T) { missingObjects(t, setup(t), i) })
		}
	})
}

func split(stable, canary string, weight int32) trafficrouting.Split {
	return trafficrouting.Split{Stable: stable, Canary: canary, Weight: weight}
}

func (w World) observe(t *testing.T) trafficrouting.State {
	t.Helper()
	state, err := w.Router.Observe(t.Context(), w.Target)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	if state.MinWeight < 0 || state.MinWeight > state.MaxWeight || state.MaxWeight > 100 {
		t.Fatalf("weights are not in order: %+v", state)
	}
	return state
}

func (w World) apply(t *testing.T, s trafficrouting.Split) {
	t.Helper()
	if err := w.Router.Apply(t.Context(), w.Target, s); err != nil {
		t.Fatalf("apply %s: %v", s, err)
	}
	if state := w.observe(t); !state.Is(s) {
		t.Fatalf("applied %s, observed %+v", s, state)
	}
}

func atFirst(t *testing.T, w World) {
	state := w.observe(t)
	if !state.Uniform(0) || state.Stable != "" || state.Canary != "" || state.Programmed == "" {
		t.Errorf("observed %+v", state)
	}
	if w.Writes() != 0 {
		t.Errorf("%d writes by observing", w.Writes())
	}
}

func whatWasAppliedIsObserved(t *testing.T, w World) {
	for _, s := range []trafficrouting.Split{
		split("a", "a", 0), split("a", "b", 0), split("a", "b", 1), split("a", "b", 5), split("a", "b", 25),
		split("a", "b", 50), split("a", "b", 99), split("a", "b", 100), split("b", "b", 100), split("b", "b", 0),
		split("b", "c", 0), split("b", "c", 33), split("b", "c", 0),
	} {
		w.apply(t, s)
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Reproducible on purpose.
	revisions := []string{"a", "b", "c", "5d8f9c7b4"}
	for range 20 {
		w.apply(t, split(revisions[random.IntN(4)], revisions[random.IntN(4)], random.Int32N(101)))
	}
}

func applyWritesNothingTwice(t *testing.T, w World) {
	for _, weight := range []int32{0, 1, 37, 100} {
		w.apply(t, split("a", "b", weight))
		before := w.Writes()
		w.apply(t, split("a", "b", weight))
		w.apply(t, split("", "", weight))
		if n := w.Writes() - before; n != 0 {
			t.Errorf("weight %d: %d writes to change nothing", weight, n)
		}
	}
}

func emptyRevisionsAreLeft(t *testing.T, w World) {
	w.apply(t, split("a", "b", 10))
	w.apply(t, split("", "", 20))
	if state := w.observe(t); state.Stable != "a" || state.Canary != "b" {
		t.Errorf("observed %+v", state)
	}
	w.apply(t, split("", "c", 20))
	if state := w.observe(t); state.Stable != "a" || state.Canary != "c" {
		t.Errorf("observed %+v", state)
	}
}

func weightsOutOfRangeAreRefused(t *testing.T, w World) {
	for _, weight := range []int32{-1, 101} {
		if err := w.Router.Apply(t.Context(), w.Target, split("a", "b", weight)); err == nil {
			t.Errorf("weight %d was applied", weight)
		}
	}
	if w.Writes() != 0 {
		t.Errorf("%d writes", w.Writes())
	}
}

func nothingAndEverythingAreExact(t *testing.T, w World) {
	for weight := int32(0); weight <= 100; weight += 4 {
		w.apply(t, split("a", "b", weight))
		state := w.observe(t)
		if (state.MaxWeight == 0) != (weight == 0) || (state.MinWeight == 100) != (weight == 100) {
			t.Errorf("weight %d: observed %+v", weight, state)
		}
	}
}

func driftIsSeenAndHealed(t *testing.T, w World) {
	want := split("a", "b", 20)
	w.apply(t, want)
	w.SetWeight(70)
	if state := w.observe(t); state.Is(want) || state.MaxWeight < 70 {
		t.Errorf("somebody set 70, observed %+v", state)
	}
	w.apply(t, want)
	w.SetRevisions("b", "x")
	if state := w.observe(t); state.Is(want) || state.Stable != "b" || state.Canary != "x" {
		t.Errorf("somebody bound b and x, observed %+v", state)
	}
	w.apply(t, want)
}

func foreignFieldsSurvive(t *testing.T, w World) {
	before := w.Foreign()
	check := func(when string) {
		if diff := cmp.Diff(before, w.Foreign()); diff != "" {
			t.Fatalf("after %s (-before +after):\n%s", when, diff)
		}
	}
	for _, s := range []trafficrouting.Split{split("a", "b", 0), split("a", "b", 30), split("b", "b", 100), split("b", "b", 0)} {
		w.apply(t, s)
		check(s.String())
	}
	if err := w.Router.Release(t.Context(), w.Target); err != nil {
		t.Fatal(err)
	}
	check("release")
}

func foreignDestinationsKeepTheirShare(t *testing.T, w World) {
	if w.ForeignShares == nil {
		t.Log("there is none")
		return
	}
	before := w.ForeignShares()
	if len(before) == 0 {
		t.Fatal("there is none")
	}
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before, w.ForeignShares()); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", when, diff)
		}
	}
	for _, weight := range []int32{0, 1, 7, 50, 99, 100, 30} {
		w.apply(t, split("a", "b", weight))
		check(split("a", "b", weight).String())
	}
	w.released(t)
	check("release")
}

// whatIsReappliedIsHealed lets a tool undo what was applied, again and again.
func whatIsReappliedIsHealed(t *testing.T, w World) {
	want, foreign := split("a", "b", 30), w.Foreign()
	for range 3 {
		w.apply(t, want)
		w.Reapply()
		// What no document of the tool's says, it leaves.
		if state := w.observe(t); state.Is(want) || !state.Uniform(0) || state.Stable != "" {
			t.Errorf("everything is as at first, observed %+v", state)
		}
	}
	w.apply(t, want)
	if diff := cmp.Diff(foreign, w.Foreign()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// aToolThatReappliesAllTheTime has a tool write between each read and write, while
// others of its writes fall where they may. What meets it fails and is tried again.
func aToolThatReappliesAllTheTime(t *testing.T, w World) {
	want, foreign := split("a", "b", 30), w.Foreign()
	w.BeforeWrite(func(n int) error {
		if n%2 == 1 {
			w.Reapply()
		}
		return nil
	})
	for range 10 {
		err := w.Router.Apply(t.Context(), w.Target, want)
		if trafficrouting.AsProblem(err) != nil {
			t.Fatalf("apply: %v", err)
		}
		w.observe(t)
	}
	w.BeforeWrite(nil)

	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			w.Reapply()
		}
	}()
	for range 20 {
		if err := w.Router.Apply(t.Context(), w.Target, want); trafficrouting.AsProblem(err) != nil {
			t.Errorf("apply: %v", err)
		}
	}
	<-done
	w.apply(t, want)
	if diff := cmp.Diff(foreign, w.Foreign()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	w.released(t)
}

func theTargetIsNotChanged(t *testing.T, w World) {
	before := w.Target.Traffic.DeepCopy()
	w.apply(t, split("a", "b", 30))
	if err := w.Router.Release(t.Context(), w.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*before, w.Target.Traffic); diff != "" {
		t.Error(diff)
	}
}

// anyWriteMayFail lets each write of an Apply fail in turn. Whatever was left is
// safe, and the next Apply completes it.
func anyWriteMayFail(t *testing.T, w World) {
	for _, c := range []struct{ from, to trafficrouting.Split }{
		{split("a", "b", 10), split("a", "c", 60)},
		{split("a", "b", 60), split("a", "b", 0)},
		{split("a", "b", 100), split("c", "b", 20)},
		{split("a", "b", 50), split("c", "d", 70)},
	} {
		apply := func(ctx context.Context) error { return w.Router.Apply(ctx, w.Target, c.to) }
		for n := 1; ; n++ {
			w.apply(t, c.from)
			before := w.observe(t)
			if !w.failing(t, n, apply) {
				break
			}
			after := w.observe(t)
			if after.Canary != c.to.Canary && after.MaxWeight > before.MaxWeight {
				t.Errorf("write %d of %s to %s failed: canary got more and is not bound: %+v", n, c.from, c.to, after)
			}
			if after.Stable != c.to.Stable && after.MinWeight < before.MinWeight {
				t.Errorf("write %d of %s to %s failed: stable got more and is not bound: %+v", n, c.from, c.to, after)
			}
			w.apply(t, c.to)
		}
	}
}

// failing makes the call while the nth write fails. It is false when there are
// fewer writes.
func (w World) failing(t *testing.T, n int, call func(ctx context.Context) error) bool {
	t.Helper()
	failed := false
	w.BeforeWrite(func(i int) error {
		if i != n {
			return nil
		}
		failed = true
		return fmt.Errorf("write %d fails", n)
	})
	err := call(t.Context())
	w.BeforeWrite(nil)
	if failed != (err != nil) {
		t.Fatalf("write %d failed: %t; error: %v", n, failed, err)
	}
	return failed
}

func aConflictSurfaces(t *testing.T, w World) {
	w.apply(t, split("a", "b", 10))
	before := w.Foreign()
	w.BeforeWrite(func(n int) error {
		if n == 1 {
			w.SetWeight(42)
		}
		return nil
	})
	err := w.Router.Apply(t.Context(), w.Target, split("a", "b", 20))
	w.BeforeWrite(nil)
	if err == nil || trafficrouting.AsProblem(err) != nil {
		t.Errorf("somebody wrote between read and write, error: %v", err)
	}
	if state := w.observe(t); state.MaxWeight < 42 {
		t.Errorf("what somebody wrote is lost: %+v", state)
	}
	if diff := cmp.Diff(before, w.Foreign()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	w.apply(t, split("a", "b", 20))
}

// missingObjects holds that what is missing is a problem that says what to write,
// that requests can still be taken from the canary wherever there is a route left,
// and that it keeps no Rollout from letting go.
func missingObjects(t *testing.T, w World, index int) {
	m := w.Missing[index]
	w.apply(t, split("a", "b", 10))
	m.Remove()
	check := func(what string, err error) {
		t.Helper()
		p := trafficrouting.AsProblem(err)
		if p == nil {
			t.Errorf("%s: %v is no problem", what, err)
			return
		}
		if p.Reason != m.Reason || !strings.Contains(p.Message, m.Says) || m.Says == "" {
			t.Errorf("%s: problem is %v, want %s with %q", what, p, m.Reason, m.Says)
		}
	}
	before, err := w.Router.Observe(t.Context(), w.Target)
	check("observe", err)
	check("apply", w.Router.Apply(t.Context(), w.Target, split("a", "b", 20)))
	check("apply", w.Router.Apply(t.Context(), w.Target, split("a", "b", 0)))
	after, err := w.Router.Observe(t.Context(), w.Target)
	check("observe", err)
	if after.MaxWeight > max(before.MaxWeight, 20) {
		t.Errorf("the canary has more than it was to have: %+v, %+v", before, after)
	}
	for range 2 {
		if err := w.Router.Release(t.Context(), w.Target); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	writes := w.Writes()
	if err := w.Router.Release(t.Context(), w.Target); err != nil || w.Writes() != writes {
		t.Errorf("release: %v, %d writes to release once more", err, w.Writes()-writes)
	}
}

func (w World) released(t *testing.T) {
	t.Helper()
	if err := w.Router.Release(t.Context(), w.Target); err != nil {
		t.Fatalf("release: %v", err)
	}
	if state := w.observe(t); !state.Uniform(0) || state.Stable != "" || state.Canary != "" {
		t.Errorf("released, observed %+v", state)
	}
}

func releaseGivesBack(t *testing.T, w World) {
	w.released(t)
	if w.Writes() != 0 {
		t.Errorf("%d writes to release what was never applied", w.Writes())
	}
	w.apply(t, split("a", "b", 60))
	w.released(t)
	before := w.Writes()
	w.released(t)
	if n := w.Writes() - before; n != 0 {
		t.Errorf("%d writes to release twice", n)
	}
}

// releaseMayFailAnywhere lets each write of a Release fail in turn.
func releaseMayFailAnywhere(t *testing.T, w World) {
	release := func(ctx context.Context) error { return w.Router.Release(ctx, w.Target) }
	for n := 1; ; n++ {
		w.apply(t, split("a", "b", 60))
		if !w.failing(t, n, release) {
			break
		}
		if state := w.observe(t); state.MaxWeight > 0 && (state.Stable != "a" || state.Canary != "b") {
			t.Errorf("write %d failed: unbound while the canary has weight: %+v", n, state)
		}
		w.released(t)
	}
	w.released(t)
}

// concurrency uses the Router from several goroutines; run it with -race.
func concurrency(t *testing.T, w World) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 5 {
				if _, err := w.Router.Observe(t.Context(), w.Target); err != nil {
					t.Errorf("observe: %v", err)
				}
				err := w.Router.Apply(t.Context(), w.Target, split("a", "b", int32(i%2)*50))
				if trafficrouting.AsProblem(err) != nil {
					t.Errorf("apply: %v", err)
				}
			}
		})
	}
	wait.Wait()
	w.apply(t, split("a", "b", 20))
}

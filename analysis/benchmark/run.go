package main

import (
	"fmt"
	"slices"
	"sync"
)

// tally is how one judge did in one cell.
type tally struct {
	detected int
	minutes  []float64 // from the onset to the roll back, sorted
	harmed   float64   // per release, on average
	squares  float64   // the same of squares
}

func (t *tally) add(c *cell, tr *trace, rolledBack int) {
	last := scrapes - 1
	if rolledBack != never {
		last = rolledBack
		t.detected++
		t.minutes = append(t.minutes, max(0, minuteOf(rolledBack+1)-c.onset()))
	}
	harmed := 0.0
	for i := range last + 1 {
		harmed += float64(tr.scrapes[i].harmed)
	}
	t.harmed += harmed
	t.squares += harmed * harmed
}

func (t *tally) merge(o *tally) {
	t.detected += o.detected
	t.minutes = append(t.minutes, o.minutes...)
	t.harmed += o.harmed
	t.squares += o.squares
}

// finish turns sums into averages.
func (t *tally) finish(repetitions int) {
	slices.Sort(t.minutes)
	t.harmed /= float64(repetitions)
	t.squares /= float64(repetitions)
}

// variance is that of the harm of one release.
func (t *tally) variance() float64 { return max(0, t.squares-t.harmed*t.harmed) }

func (t *tally) median() float64 {
	if len(t.minutes) == 0 {
		return 0
	}
	return t.minutes[len(t.minutes)/2]
}

// result is a cell with all of its repetitions.
type result struct {
	cell
	repetitions int
	engine      tally
	rivals      []tally
	passed      int // releases that passed at some time
}

// share is a part of the repetitions, in percent.
func (r *result) share(n int) float64 { return 100 * float64(n) / float64(r.repetitions) }

// runCell repeats a release.
func runCell(c cell, repetitions, workers int) (result, error) {
	return repeat(c, repetitions, workers, (*result).release)
}

// repeat does something again and again, on as many workers as are given. Each
// repetition has random numbers of its own and sums are of whole numbers, so the
// number of workers changes nothing.
func repeat(c cell, repetitions, workers int, do func(r *result, i int) error) (result, error) {
	parts := make([]result, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			parts[w] = result{cell: c, rivals: make([]tally, len(rivals))}
			for i := w; i < repetitions && errs[w] == nil; i += workers {
				errs[w] = do(&parts[w], i)
			}
		})
	}
	wg.Wait()
	r := result{cell: c, repetitions: repetitions, rivals: make([]tally, len(rivals))}
	for w := range parts {
		if errs[w] != nil {
			return r, fmt.Errorf("%s: %w", &c, errs[w])
		}
		r.merge(&parts[w])
	}
	r.finish()
	return r, nil
}

// release lets everybody judge one release.
func (r *result) release(i int) error {
	c := &r.cell
	var t trace
	t.simulate(c, newRandom(c.String(), i))
	for j := range rivals {
		r.rivals[j].add(c, &t, rivals[j].judge(&t))
	}
	e, err := newEngine()
	if err != nil {
		return err
	}
	if err := e.prepare(&t, c); err != nil {
		return err
	}
	o, err := e.judge(&t)
	if err != nil {
		return err
	}
	r.engine.add(c, &t, o.rolledBack)
	if o.passed != never {
		r.passed++
	}
	return nil
}

func (r *result) merge(o *result) {
	r.engine.merge(&o.engine)
	for i := range o.rivals {
		r.rivals[i].merge(&o.rivals[i])
	}
	r.passed += o.passed
}

func (r *result) finish() {
	for _, t := range append([]*tally{&r.engine}, pointers(r.rivals)...) {
		t.finish(r.repetitions)
	}
}

func pointers(tallies []tally) []*tally {
	var p []*tally
	for i := range tallies {
		p = append(p, &tallies[i])
	}
	return p
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// metrics of the family, all of them of a canary that is well.
const familySize = 10

// runFamily judges ten metrics at once.
func (b *bench) runFamily() error {
	c := cell{scenario: scenarios[0], rps: 100, base: 0.001}
	c.name = "ten metrics A/A"
	r, err := repeat(c, b.repetitions, b.workers, (*result).family)
	if err != nil {
		return err
	}
	share := r.share(r.engine.detected)
	b.checks = append(b.checks, gate{
		name:     "ten metrics of a canary that is well: family rate <= 1%",
		measured: fmt.Sprintf("%.3g%%", share), ran: true, met: share <= 1,
	})
	return nil
}

func (r *result) family(i int) error {
	var traces [familySize]trace
	var engines [familySize]*engine
	for m := range engines {
		var err error
		if engines[m], err = newEngine(); err != nil {
			return err
		}
		traces[m].simulate(&r.cell, newRandom(fmt.Sprintf("%s %d", r.String(), m), i))
		if err := engines[m].prepare(&traces[m], &r.cell); err != nil {
			return err
		}
	}
	f := sequential.NewFamily()
	rolledBack := never
	for tick := 0; tick < scrapes && rolledBack == never; tick++ {
		var terms []sequential.Term
		for m, e := range engines {
			if err := e.step(&traces[m], tick); err != nil {
				return err
			}
			terms = append(terms, sequential.Term{Metric: fmt.Sprint(m), Weight: sequential.EqualWeight(familySize), LogE: e.comparison.LogE()})
		}
		if err := f.Observe(terms); err != nil {
			return err
		}
		if f.RollBack(alpha) {
			rolledBack = tick
		}
	}
	r.engine.add(&r.cell, &traces[0], rolledBack)
	return nil
}

// blindness is a way to see nothing from some scrape on.
type blindness struct {
	name string
	from int
	see  func(s *scrape)
}

var blindnesses = []blindness{
	{"no data", 0, func(s *scrape) { *s = scrape{missing: true} }},
	{"no requests", 0, func(s *scrape) { *s = scrape{} }},
	{"no requests to the canary", 0, func(s *scrape) { s.Canary = sequential.Counts{} }},
	{"no requests to stable", 0, func(s *scrape) { s.Stable, s.halves = sequential.Counts{}, [2]sequential.Counts{} }},
	{"impossible counts", 0, func(s *scrape) { s.Canary = sequential.Counts{Total: math.MinInt64, Bad: 1} }},
	{"server down from minute 3", 3 * perMinute, func(s *scrape) { *s = scrape{missing: true} }},
}

// runBlind checks that what is not seen neither condemns nor passes, although the
// canary that is not seen fails half of its requests.
func (b *bench) runBlind() error {
	const repetitions = 200
	var failed []string
	for _, blind := range blindnesses {
		c := cell{scenario: scenario{name: blind.name}, rps: 100, base: 0.001}
		for i := range repetitions {
			var t trace
			t.simulate(&c, newRandom(c.String(), i))
			for j := blind.from; j < scrapes; j++ {
				blind.see(&t.scrapes[j])
			}
			o, err := judgeBlind(&t, &c)
			if err != nil {
				return err
			}
			if o.rolledBack != never || o.passed != never {
				failed = append(failed, fmt.Sprintf("%s (%d)", blind.name, i))
			}
		}
	}
	b.checks = append(b.checks, gate{
		name: "what is not seen neither condemns nor passes", ran: true, met: len(failed) == 0,
		measured: fmt.Sprintf("%d of %d releases decided %v", len(failed), repetitions*len(blindnesses), failed),
	})
	return nil
}

// judgeBlind leaves out counts that are refused, as the operator does.
func judgeBlind(t *trace, c *cell) (opinion, error) {
	e, err := newEngine()
	if err != nil {
		return opinion{}, err
	}
	if err := e.prepare(t, c); err != nil {
		return opinion{}, err
	}
	for i := range t.scrapes {
		if s := &t.scrapes[i]; s.Canary.Total < 0 {
			if err := e.comparison.Observe(s.Window, 1); !errors.Is(err, sequential.ErrCounts) {
				return opinion{}, fmt.Errorf("impossible counts were taken: %w", err)
			}
			s.missing = true
		}
	}
	return e.judge(t)
}

// runRestart checks that an engine whose state is written and read at every tick says
// the same as one that was never stopped, to the last bit.
func (b *bench) runRestart() error {
	ticks, different := 0, 0
	for _, c := range cells() {
		if c.rps != 100 {
			continue
		}
		for i := range 3 {
			n, d, err := compareRestarted(&c, i)
			if err != nil {
				return fmt.Errorf("%s: %w", &c, err)
			}
			ticks, different = ticks+n, different+d
		}
	}
	b.checks = append(b.checks, gate{
		name: "a restart at every tick gives identical evidence", ran: true, met: different == 0,
		measured: fmt.Sprintf("%d of %d ticks differ", different, ticks),
	})
	return nil
}

func compareRestarted(c *cell, i int) (ticks, different int, err error) {
	var t trace
	t.simulate(c, newRandom(c.String(), i))
	kept, err := newEngine()
	if err != nil {
		return 0, 0, err
	}
	if err := kept.prepare(&t, c); err != nil {
		return 0, 0, err
	}
	stopped := &engine{}
	if err := stopped.restore(kept); err != nil {
		return 0, 0, err
	}
	for tick := range t.scrapes {
		if err := errors.Join(kept.step(&t, tick), stopped.step(&t, tick)); err != nil {
			return 0, 0, err
		}
		next := &engine{}
		if err := next.restore(stopped); err != nil {
			return 0, 0, err
		}
		stopped = next
		ticks++
		if kept.comparison.LogE() != stopped.comparison.LogE() || kept.comparison.MaxLogE != stopped.comparison.MaxLogE ||
			kept.comparison.LogPass() != stopped.comparison.LogPass() || kept.dispersion.Bound() != stopped.dispersion.Bound() {
			different++
		}
	}
	return ticks, different, nil
}

// restore makes an engine of what another one would have written.
func (e *engine) restore(from *engine) error {
	for _, pair := range []struct{ to, from any }{{&e.comparison, &from.comparison}, {&e.dispersion, &from.dispersion}} {
		text, err := json.Marshal(pair.from)
		if err != nil {
			return fmt.Errorf("writing state: %w", err)
		}
		if err := json.Unmarshal(text, pair.to); err != nil {
			return fmt.Errorf("reading state: %w", err)
		}
	}
	return errors.Join(e.comparison.Check(), e.dispersion.Check())
}

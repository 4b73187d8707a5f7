package main

import (
	"math"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// What a user who sets nothing gets.
const (
	alpha = 0.01
	beta  = 0.05
)

// opinion is what the engine made of a trace.
type opinion struct {
	rolledBack int // the scrape, or never
	passed     int // the first scrape after which the canary passed, or never
	logE       float64
}

// engine is what the operator runs, on numbers.
type engine struct {
	comparison sequential.Comparison
	dispersion sequential.Dispersion
}

func newEngine() (*engine, error) {
	c, err := sequential.NewComparison(sequential.DefaultTolerances(), len(weights))
	return &engine{comparison: c, dispersion: sequential.NewDispersion()}, err
}

// prepare learns from the day before.
func (e *engine) prepare(t *trace, c *cell) error {
	var err error
	t.history(c, func(one, other sequential.Counts) {
		if err == nil {
			err = e.dispersion.Observe(one, other)
		}
	})
	return err
}

// step takes one scrape.
func (e *engine) step(t *trace, i int) error {
	s := &t.scrapes[i]
	if i%perStep == 0 && i > 0 {
		e.comparison.Restart()
	}
	if s.missing {
		return nil
	}
	if i%perStep >= settleScrapes {
		if err := e.comparison.Observe(s.Window, e.dispersion.Bound()); err != nil {
			return err
		}
	}
	return e.dispersion.Observe(s.halves[0], s.halves[1])
}

// judge goes through a trace until it rolls back.
func (e *engine) judge(t *trace) (opinion, error) {
	o := opinion{rolledBack: never, passed: never}
	for i := range t.scrapes {
		if err := e.step(t, i); err != nil {
			return o, err
		}
		if o.passed == never && e.comparison.Passes(beta) {
			o.passed = i
		}
		if e.comparison.MaxLogE >= -math.Log(alpha) {
			o.rolledBack = i
			break
		}
	}
	o.logE = e.comparison.LogE()
	return o, nil
}

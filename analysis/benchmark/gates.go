package main

import (
	"fmt"
	"math"
	"strings"
)

// gate is something that must hold.
type gate struct {
	name     string
	measured string
	ran      bool
	met      bool
}

func (g gate) verdict() string {
	switch {
	case !g.ran:
		return "not run"
	case g.met:
		return "met"
	default:
		return "**missed**"
	}
}

// gates judges the grid.
func (b *bench) gates() []gate {
	gates := []gate{
		b.atMost("false rollbacks <= 1% in every null cell", null, 1, func(r *result) float64 { return r.share(r.engine.detected) }),
		b.atMost("false rollbacks <= 2% in every bursty cell", bursty, 2, func(r *result) float64 { return r.share(r.engine.detected) }),
		b.atMost("false passes <= 5% at twice the odds", regression, 5, func(r *result) float64 {
			if r.name != "x2" {
				return math.NaN()
			}
			return r.share(r.passed)
		}),
		b.rivalsGate("no rival does better that has one setting for every service, and a worst null <= 5%", false),
		b.rivalsGate("no rival does better that is tuned for the service, and has a worst null <= 5% there", true),
	}
	for _, t := range targets {
		gates = append(gates, b.targetGate(t))
	}
	return append(gates, b.latencyGates()...)
}

// atMost finds the worst cell of a kind. NaN leaves a cell out.
func (b *bench) atMost(name string, k kind, limit float64, of func(*result) float64) gate {
	g := gate{name: name}
	worst, where := math.Inf(-1), ""
	for i := range b.grid {
		r := &b.grid[i]
		if v := of(r); r.kind == k && v > worst {
			worst, where = v, r.String()
		}
	}
	if where == "" {
		return g
	}
	g.ran, g.met = true, worst <= limit
	g.measured = fmt.Sprintf("at most %.3g%% (%s)", worst, where)
	return g
}

// target is how soon a fault has to be found, always, and at what price.
type target struct {
	scenario        string
	rps             float64
	minutes, harmed float64
}

// targets are for services with 0.1% of errors.
var targets = []target{
	{"x20", 100, 4, 5},
	{"x5", 100, 16, 11},
	{"x2", 1000, 20, 40},
	{"late x10", 100, 3, 16},
}

func (b *bench) targetGate(t target) gate {
	g := gate{name: fmt.Sprintf("%s at %v rps: 100%%, <= %v min, <= %v harmed", t.scenario, t.rps, t.minutes, t.harmed)}
	for i := range b.grid {
		r := &b.grid[i]
		if r.name != t.scenario || r.rps != t.rps || r.base != 0.001 {
			continue
		}
		e := &r.engine
		g.ran, g.measured = true, e.text(r)
		g.met = e.detected == r.repetitions && e.median() <= t.minutes && e.harmed <= t.harmed
	}
	return g
}

// rivalsGate looks for rivals that may be trusted and do better somewhere.
func (b *bench) rivalsGate(name string, perService bool) gate {
	g := gate{name: name}
	trusted, better := 0, []string{}
	for j := range rivals {
		worst := b.worstNulls(j, perService)
		if len(worst) == 0 {
			continue
		}
		for i := range b.grid {
			r := &b.grid[i]
			if r.kind != regression {
				continue
			}
			g.ran = true
			if w, ok := worst[r.key(perService)]; !ok || w > 5 {
				continue
			}
			trusted++
			if doesBetter(&r.rivals[j], &r.engine, r.repetitions) {
				better = append(better, fmt.Sprintf("%s (%s)", r.String(), rivals[j].name))
			}
		}
	}
	g.met = len(better) == 0
	g.measured = fmt.Sprintf("%d of %d comparisons", len(better), trusted)
	if trusted == 0 {
		g.measured = "no rival's worst null is that good"
	}
	if len(better) > 0 {
		g.measured += ": " + strings.Join(better, "; ")
	}
	return g
}

// key is the group of cells that a rival has one setting for.
func (c *cell) key(perService bool) string {
	if perService {
		return c.service()
	}
	return ""
}

// worstNulls is the largest share of false rollbacks of a rival.
func (b *bench) worstNulls(rival int, perService bool) map[string]float64 {
	worst := map[string]float64{}
	for i := range b.grid {
		if r := &b.grid[i]; r.kind != regression {
			k := r.key(perService)
			worst[k] = max(worst[k], r.share(r.rivals[rival].detected))
		}
	}
	return worst
}

// doesBetter tells whether a rival detects more, or harms less, by more than two
// standard errors of what chance does to as many releases. Both saw the same ones.
func doesBetter(rival, engine *tally, repetitions int) bool {
	n := float64(repetitions)
	p, q := float64(rival.detected)/n, float64(engine.detected)/n
	if p-q > 2*math.Sqrt((p*(1-p)+q*(1-q))/n)+1e-12 {
		return true
	}
	return rival.harmed < engine.harmed-2*math.Sqrt((rival.variance()+engine.variance())/n)
}

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// Latencies are distributed log-normally, around 40 ms.
const (
	medianLatency = 40
	latencySigma  = 0.6
	twoAndAThird  = 2.3263 // the 99th percentile of the normal distribution
	burstMean     = 3
)

// istioBuckets are the upper bounds that Istio's proxies have, in milliseconds.
var istioBuckets = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000}

// slower is the part of requests that takes longer than a bound.
func slower(bound, median, sigma float64) float64 {
	return 0.5 * math.Erfc(math.Log(bound/median)/sigma/math.Sqrt2)
}

// latencyScenario says how much is slower, for the canary and for both.
type latencyScenario struct {
	name   string
	kind   kind
	canary func(bound float64) float64
	shared func(minute float64) float64 // times the median of both
	// anonymous says that stable's pods are not told apart, and that no day is known: all
	// that is learned of bursts is from windows that follow each other.
	anonymous bool
	// bursts is of how many slow requests, a part of all of either, that come burstMean
	// at a time.
	bursts float64
}

func lognormal(median, sigma float64) func(float64) float64 {
	return func(bound float64) float64 { return slower(bound, median, sigma) }
}

var latencyScenarios = []latencyScenario{
	{name: "latency A/A", kind: null},
	{name: "latency, both 3 times slower for 5 minutes", kind: null, shared: between(12, 17, 3)},
	{name: "p99 x1.5", kind: regression, canary: wider},
	{name: "2% take 400 ms", kind: regression, canary: bimodal},
	{name: "latency A/A, pods unknown", kind: null, anonymous: true},
	{name: "latency, both 3 times slower for 5 minutes, pods unknown", kind: null, shared: between(12, 17, 3), anonymous: true},
	{name: "latency, slow ones in bursts, pods unknown", kind: null, anonymous: true, bursts: 0.01},
	{name: "p99 x1.5, pods unknown", kind: regression, canary: wider, anonymous: true},
	{name: "2% take 400 ms, pods unknown", kind: regression, canary: bimodal, anonymous: true},
	{name: "2% take 400 ms, both slower before, pods unknown", kind: regression, canary: bimodal, shared: between(2, 7, 3), anonymous: true},
}

// wider has the same median, and a 99th percentile that is half as much again.
func wider(bound float64) float64 {
	return slower(bound, medianLatency, latencySigma+math.Log(1.5)/twoAndAThird)
}

// bimodal has some requests that take much longer.
func bimodal(bound float64) float64 {
	return 0.98*slower(bound, medianLatency, latencySigma) + 0.02*slower(bound, 400, 0.1)
}

// latencyBounds are chosen as the engine does: from what stable did before.
func latencyBounds() []float64 {
	const requests = 10_000_000
	le, below := slices.Concat(istioBuckets, []float64{math.Inf(1)}), []int64{}
	for _, bound := range istioBuckets {
		below = append(below, int64(requests*(1-slower(bound, medianLatency, latencySigma))))
	}
	h, err := sequential.NewHistogram(le, append(below, requests))
	if err != nil {
		return nil
	}
	bounds, err := sequential.ChooseBounds(h, []float64{0.5, 0.9, 0.99}, nil)
	if err != nil {
		return nil
	}
	return bounds
}

// latencyResult is a latency scenario at a rate of requests.
type latencyResult struct{ result }

func (r *latencyResult) String() string { return fmt.Sprintf("%s, %v rps", r.name, r.rps) }

func (b *bench) runLatency() error {
	for _, rps := range []float64{10, 100, 1000} {
		for _, s := range latencyScenarios {
			if !strings.Contains(fmt.Sprintf("%s, %v rps", s.name, rps), b.cells) {
				continue
			}
			r, err := b.runLatencyCell(s, rps)
			if err != nil {
				return err
			}
			b.latency = append(b.latency, r)
			fmt.Fprintf(b.log, "%-50s %s\n", r.String(), r.engine.detectedText(&r.result))
		}
	}
	return nil
}

func (b *bench) runLatencyCell(s latencyScenario, rps float64) (latencyResult, error) {
	c := cell{scenario: scenario{name: s.name, kind: s.kind}, rps: rps, seed: b.seed}
	r, err := repeat(c, b.repetitions, b.workers, func(r *result, i int) error {
		l := latencyRun{scenario: s, rps: rps, bounds: latencyBounds(), trace: trace{random: r.random(i, "")}}
		rolledBack, passed, err := l.release()
		r.engine.add(&r.cell, &l.trace, rolledBack)
		if passed {
			r.passed++
		}
		return err
	})
	return latencyResult{r}, err
}

// latencyRun is one release.
type latencyRun struct {
	trace
	scenario latencyScenario
	rps      float64
	bounds   []float64
	last     *sequential.Histogram
}

// histogram draws what some requests were slower than.
func (l *latencyRun) histogram(requests float64, slow func(float64) float64) sequential.Histogram {
	h := sequential.Histogram{Bounds: l.bounds, Total: poisson(l.random, requests)}
	left, before := h.Total, 1.0
	for _, bound := range l.bounds {
		p := slow(bound)
		left = binomial(l.random, left, min(1, p/before))
		before = p
		h.Below = append(h.Below, h.Total-left)
	}
	for range poisson(l.random, requests*l.scenario.bursts/burstMean) {
		h.Total += geometric(l.random, burstMean) // All of them are above every bound.
	}
	return h
}

func (l *latencyRun) release() (rolledBack int, passed bool, err error) {
	judge, err := sequential.NewLatency(l.bounds, sequential.DefaultTolerances(), len(weights))
	if err != nil {
		return never, false, err
	}
	usual := lognormal(medianLatency, latencySigma)
	half := l.rps * scrapeSeconds / 2
	if l.scenario.anonymous {
		judge.DispersionLimit = sequential.UnknownDispersion()
	}
	for range historyWindows {
		if l.scenario.anonymous {
			break
		}
		if err := judge.ObserveHalves(l.histogram(half, usual), l.histogram(half, usual)); err != nil {
			return never, false, err
		}
	}
	for i := range scrapes {
		weight, factor := weights[i/perStep], at(l.scenario.shared, minuteOf(i))
		both := lognormal(factor*medianLatency, latencySigma)
		ours := both
		if l.scenario.canary != nil {
			ours = func(bound float64) float64 { return l.scenario.canary(bound / factor) }
		}
		canary := l.histogram(2*half*weight, ours)
		one, other := l.histogram(half*(1-weight), both), l.histogram(half*(1-weight), both)
		if i%perStep == 0 {
			judge.Restart()
		}
		if i%perStep >= settleScrapes {
			if err := judge.Observe(canary, sum(one, other)); err != nil {
				return never, false, err
			}
		}
		if err := l.learn(&judge, one, other); err != nil {
			return never, false, err
		}
		passed = passed || judge.Passes(beta)
		if judge.Worse(alpha) {
			return i, passed, nil
		}
	}
	return never, passed, nil
}

// learn takes a window of stable, as halves of its pods or, where these are not known,
// beside the one before.
func (l *latencyRun) learn(judge *sequential.Latency, one, other sequential.Histogram) error {
	if !l.scenario.anonymous {
		return judge.ObserveHalves(one, other)
	}
	window := sum(one, other)
	if l.last == nil {
		l.last = &window
		return nil
	}
	last := *l.last
	l.last = nil
	return judge.ObserveHalves(last, window)
}

func sum(a, b sequential.Histogram) sequential.Histogram {
	s := sequential.Histogram{Bounds: a.Bounds, Total: a.Total + b.Total}
	for i := range a.Below {
		s.Below = append(s.Below, a.Below[i]+b.Below[i])
	}
	return s
}

// latencyGates are the same for latency.
func (b *bench) latencyGates() []gate {
	g := gate{name: "false rollbacks <= 1% in every null cell of latency"}
	worst := 0.0
	for i := range b.latency {
		if r := &b.latency[i]; r.kind == null {
			g.ran = true
			worst = max(worst, r.share(r.engine.detected))
		}
	}
	if g.ran {
		g.met, g.measured = worst <= 1, fmt.Sprintf("at most %.3g%%", worst)
	}
	return []gate{g}
}

package main

import (
	"math"
	"math/rand/v2"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// scrape is what both arms counted since the one before.
type scrape struct {
	sequential.Window
	halves  [2]sequential.Counts // of stable's pods, at random
	harmed  int64                // requests that would not have been bad with stable
	missing bool                 // nothing was scraped; the next one has it all
}

// trace is one release as it would have gone without anybody stopping it.
type trace struct {
	scrapes [scrapes]scrape
	random  *rand.Rand
	rates   [pods]float64
	left    float64                // how much the error rate of one half is off
	ahead   [arms][maxSpread]int64 // bad requests of bursts that go on in windows to come
}

// The canary, and two halves of stable.
const (
	armCanary = iota
	armOne
	armOther
	arms
)

// maxSpread bounds over how many windows a burst lasts.
const maxSpread = 16

// window is how an arm is in a stretch of time: how many requests to expect, what
// their error rate is, what it would be without a fault, and over how many windows
// bursts are spread.
type window struct {
	requests, rate, base float64
	spread               int
	steady               bool // exactly so many requests
}

// simulate fills the trace for a cell.
func (t *trace) simulate(c *cell, random *rand.Rand) {
	*t = trace{random: random}
	t.drawPods(c)
	for i := range t.scrapes {
		t.scrapes[i] = t.scrape(c, i)
	}
	for _, i := range c.lost {
		t.scrapes[i].Canary = sequential.Counts{}
	}
	if c.gaps > 0 {
		t.loseScrapes(c)
	}
}

// drawPods draws how much the error rate of each of stable's pods is off, 1 on average.
func (t *trace) drawPods(c *cell) {
	sum := 0.0
	for i := range t.rates {
		t.rates[i] = math.Exp(c.uneven * t.random.NormFloat64())
		sum += t.rates[i]
	}
	for i := range t.rates {
		t.rates[i] *= pods / sum
	}
}

func (t *trace) scrape(c *cell, i int) scrape {
	minute := minuteOf(i)
	weight := weights[i/perStep]
	requests := c.rps * scrapeSeconds * at(c.traffic, minute)
	base := min(1, c.base*at(c.shared, minute))
	bad := min(1, base*at(c.canary, minute))
	if c.rate > 0 {
		bad = c.rate
	}
	t.split(c, i)
	var s scrape
	s.Canary, s.harmed = t.arm(c, armCanary, window{requests: requests * weight, rate: bad, base: base, spread: c.spread})
	s.halves = t.stable(c, window{requests: requests * (1 - weight), rate: base, base: base, spread: c.spread})
	s.Stable = s.halves[0].Plus(s.halves[1])
	return s
}

// roundLength is for how many windows pods are split in the same way.
const roundLength = 12

// split draws, now and then, half of the pods, for how much its error rate is off.
func (t *trace) split(c *cell, i int) {
	switch {
	case c.uneven == 0:
		t.left = 1
	case i%roundLength == 0:
		sum := 0.0
		for _, i := range t.random.Perm(pods)[:pods/2] {
			sum += t.rates[i]
		}
		t.left = sum / (pods / 2)
	}
}

// stable draws the counts of both halves.
func (t *trace) stable(c *cell, w window) (halves [2]sequential.Counts) {
	for i, off := range [...]float64{t.left, 2 - t.left} {
		half := w
		half.requests, half.rate, half.base = w.requests/2, w.rate*off, w.base*off
		halves[i], _ = t.arm(c, armOne+i, half)
	}
	return halves
}

// arm draws the counts of some pods, and how many of the bad requests are bad only
// because the rate is not base.
func (t *trace) arm(c *cell, arm int, w window) (sequential.Counts, int64) {
	n := int64(math.Round(w.requests))
	if !w.steady {
		n = poisson(t.random, w.requests)
	}
	if c.burst == 0 {
		x := binomial(t.random, n, w.base)
		harmed := int64(0)
		if w.rate > w.base {
			harmed = binomial(t.random, n-x, (w.rate-w.base)/(1-w.base))
		}
		return sequential.Counts{Total: n, Bad: x + harmed}, harmed
	}
	x := t.burstsOf(c, arm, w)
	harmed := int64(0)
	if w.rate > w.base {
		harmed = binomial(t.random, x, 1-w.base/w.rate)
	}
	// A burst brings its requests along.
	return sequential.Counts{Total: max(n, x), Bad: x}, harmed
}

// burstsOf draws the bursts that begin in a window, and returns the bad requests that
// fall into it, of older ones too.
func (t *trace) burstsOf(c *cell, arm int, w window) int64 {
	ahead := &t.ahead[arm]
	for range poisson(t.random, w.requests*w.rate/c.burst) {
		size := geometric(t.random, c.burst)
		if w.spread <= 1 {
			ahead[0] += size
			continue
		}
		for range size {
			ahead[t.random.IntN(w.spread)]++
		}
	}
	x := ahead[0]
	copy(ahead[:], ahead[1:])
	ahead[maxSpread-1] = 0
	return x
}

// loseScrapes drops some and adds their counts to the next.
func (t *trace) loseScrapes(c *cell) {
	for i := range t.scrapes {
		// The last one of a step is there, so that weights do not mix.
		if i%perStep == perStep-1 || t.random.Float64() >= c.gaps {
			continue
		}
		s, next := &t.scrapes[i], &t.scrapes[i+1]
		next.Canary, next.Stable = next.Canary.Plus(s.Canary), next.Stable.Plus(s.Stable)
		for h := range s.halves {
			next.halves[h] = next.halves[h].Plus(s.halves[h])
		}
		next.harmed += s.harmed
		*s = scrape{missing: true}
	}
}

// history is what stable's halves counted in the day before.
func (t *trace) history(c *cell, observe func(one, other sequential.Counts)) {
	t.ahead = [arms][maxSpread]int64{}
	w := window{requests: c.rps * scrapeSeconds, rate: c.base, base: c.base, spread: c.spread, steady: true}
	if c.uneven == 0 && c.burst == 0 {
		half := newTable(int64(math.Round(w.requests/2)), c.base)
		for range historyWindows {
			observe(sequential.Counts{Total: half.n, Bad: half.draw(t.random)}, sequential.Counts{Total: half.n, Bad: half.draw(t.random)})
		}
		return
	}
	for i := range historyWindows {
		t.split(c, i)
		halves := t.stable(c, w)
		observe(halves[0], halves[1])
	}
	t.ahead = [arms][maxSpread]int64{}
}

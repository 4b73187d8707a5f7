package main

import (
	"fmt"
	"math"
)

// The release that every cell simulates.
var weights = [...]float64{0.01, 0.05, 0.10, 0.25, 0.50}

const (
	minutesPerStep = 10
	scrapeSeconds  = 15
	perMinute      = 60 / scrapeSeconds
	perStep        = minutesPerStep * perMinute
	scrapes        = len(weights) * perStep
	settleScrapes  = 2 // 30 s after each change of weight are left out
	pods           = 10
	// What the engine asks about the time before the canary: halves of stable, for a day.
	historyWindows = 24 * 60 * perMinute
)

// kind says what is to be hoped for.
type kind int

const (
	null       kind = iota // the canary is well: nobody may roll it back
	bursty                 // the same, with errors that come in bursts
	regression             // the canary is bad: the sooner the better
)

// scenario is something that happens to a release. Functions take minutes.
type scenario struct {
	name    string
	kind    kind
	about   string
	canary  func(minute float64) float64 // times the error rate, for the canary alone
	shared  func(minute float64) float64 // times the error rate, for both
	traffic func(minute float64) float64 // times the requests
	rate    float64                      // the canary's error rate, instead of all of the above
	burst   float64                      // mean size of bursts; 0 for none
	spread  int                          // scrapes that a burst is spread over; 0 for one
	uneven  float64                      // standard deviation of the logarithm of stable pods' error rates
	gaps    float64                      // probability that a scrape is missing, and the next has it all
	lost    []int                        // scrapes of the canary that are lost with a restarted pod
}

func times(f float64) func(float64) float64 { return func(float64) float64 { return f } }

func between(from, to, f float64) func(float64) float64 {
	return func(m float64) float64 {
		if m >= from && m < to {
			return f
		}
		return 1
	}
}

var scenarios = []scenario{
	{name: "A/A", kind: null, about: "the same revision twice"},
	{name: "outage x20", kind: null, about: "both have 20 times the errors, minutes 12 to 17", shared: between(12, 17, 20)},
	{name: "+10%", kind: null, about: "worse, within the tolerance", canary: times(1.1)},
	{name: "diurnal", kind: null, about: "traffic between half and 1.5 times, errors with it",
		traffic: func(m float64) float64 { return 1 + 0.5*math.Sin(m/25*math.Pi) },
		shared:  func(m float64) float64 { return 1 + 0.5*math.Sin(m/25*math.Pi) }},
	{name: "uneven pods", kind: null, about: "error rates of stable pods differ by 50%", uneven: 0.5},
	{name: "cold start", kind: null, about: "5 times the errors after each change of weight, halved every 7 s",
		canary: func(m float64) float64 { return 1 + 4*math.Exp(-math.Mod(m, minutesPerStep)*60/10) }},
	{name: "pod restart", kind: null, about: "the canary loses the counts of some scrapes", lost: []int{20, 61, 90, 91, 150}},
	{name: "scrape gaps", kind: null, about: "a fifth of the scrapes are missing", gaps: 0.2},
	{name: "bursts", kind: bursty, about: "errors come in bursts, 3 on average", burst: 3},
	{name: "long bursts", kind: bursty, about: "the same, each spread over 2 minutes", burst: 3, spread: 8},
	{name: "x2", kind: regression, canary: times(2)},
	{name: "x5", kind: regression, canary: times(5)},
	{name: "x20", kind: regression, canary: times(20)},
	{name: "half fail", kind: regression, about: "50% errors", rate: 0.5},
	{name: "late x10", kind: regression, about: "from minute 25 on", canary: between(25, math.Inf(1), 10)},
	{name: "bursts x20", kind: regression, about: "bursty, and 20 times worse", canary: times(20), burst: 3},
}

// cell is a scenario at a rate of requests and of errors.
type cell struct {
	scenario
	rps  float64
	base float64
}

func (c *cell) String() string {
	return fmt.Sprintf("%s, %v rps, %v%%", c.name, c.rps, c.base*100)
}

func cells() []cell {
	var all []cell
	for _, base := range []float64{0.001, 0.01} {
		for _, rps := range []float64{1, 10, 100, 1000} {
			for _, s := range scenarios {
				all = append(all, cell{scenario: s, rps: rps, base: base})
			}
		}
	}
	return all
}

func at(f func(float64) float64, minute float64) float64 {
	if f == nil {
		return 1
	}
	return f(minute)
}

// onset is when a regression begins, in minutes.
func (c *cell) onset() float64 {
	for i := range scrapes {
		if m := minuteOf(i); c.rate > 0 || at(c.canary, m) >= 1.5 {
			return m
		}
	}
	return 0
}

func minuteOf(scrape int) float64 { return float64(scrape) * scrapeSeconds / 60 }

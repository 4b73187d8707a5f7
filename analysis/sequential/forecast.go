package sequential

import (
	"math"
	"time"
)

// Traffic is how many requests each arm gets now.
type Traffic struct {
	CanaryPerSecond float64
	StablePerSecond float64
}

// Forecast is how much more it takes until there is a verdict, if things go on as
// they are. It is what to expect, not a promise: half of the time it takes longer.
type Forecast struct {
	// Known is false when no end is in sight: without traffic, or because what was seen
	// leads to no verdict of this kind.
	Known bool
	// Requests is how many more the canary needs, 0 when the verdict is there.
	Requests float64
	// After is how long that takes, at most maxForecast.
	After time.Duration
}

// maxForecast is as far as anybody looks ahead.
const maxForecast = 10 * 365 * 24 * time.Hour

// ForecastRollBack is for the verdict that the canary is worse, given its share of
// alpha, if the odds ratio and stable's ratio stay what they were on average.
func (c *Comparison) ForecastRollBack(alpha, dispersion float64, t Traffic) Forecast {
	odds, ok := c.Odds()
	if !ok && c.Canary.Bad > 0 {
		// Stable had none at all; the canary's may be anything worse.
		odds, ok = alternatives[len(alternatives)-1], true
	}
	if c.Worse(alpha) {
		return Forecast{Known: true}
	}
	if !ok || odds <= c.Tolerances.Tolerated {
		return Forecast{}
	}
	block, size, ok := c.block(odds, t)
	if !ok {
		return Forecast{}
	}
	var against [len(alternatives)]float64
	var pass [len(passAlternatives)]float64
	increments(block, c.Tolerances, boundDispersion(dispersion), &against, &pass)
	blocks := math.Inf(1)
	for j, row := range c.Restarts {
		for g, gain := range against {
			need := -math.Log(alpha) - math.Log(stepWeight(j, c.Steps)) - logAlternativeWeights[g] - row[g]
			blocks = min(blocks, blocksFor(need, gain))
		}
	}
	return forecast(blocks*size, t)
}

// ForecastPass is for the verdict that the canary is better than unacceptable, if it
// is as it was on average; if it has shown nothing yet, as good as stable.
func (c *Comparison) ForecastPass(beta, dispersion float64, t Traffic) Forecast {
	odds, ok := c.Odds()
	if !ok || odds == 0 {
		odds = 1
	}
	if c.Passes(beta) {
		return Forecast{Known: true}
	}
	block, size, ok := c.block(odds, t)
	if !ok {
		return Forecast{}
	}
	var against [len(alternatives)]float64
	var pass [len(passAlternatives)]float64
	increments(block, c.Tolerances, boundDispersion(dispersion), &against, &pass)
	blocks := math.Inf(1)
	for g, gain := range pass {
		need := -math.Log(beta) + math.Log(float64(len(passAlternatives))) - c.Passing[g]
		blocks = min(blocks, blocksFor(need, gain))
	}
	return forecast(blocks*size, t)
}

// forecastRollBack is for the bound that condemns the canary first, if it does so by
// itself: the evidence is a mean, of which it has a part.
func (l *Latency) forecastRollBack(alpha float64, t Traffic) Forecast {
	first := Forecast{}
	for i := range l.Comparisons {
		f := l.Comparisons[i].ForecastRollBack(alpha/float64(len(l.Comparisons)), l.Dispersion(i), t)
		if f.Known && (!first.Known || f.Requests < first.Requests) {
			first = f
		}
	}
	return first
}

// forecastPass is for the bound that the canary passes last: it must pass all.
func (l *Latency) forecastPass(beta float64, t Traffic) Forecast {
	last := Forecast{Known: true}
	for i := range l.Comparisons {
		f := l.Comparisons[i].ForecastPass(beta, l.Dispersion(i), t)
		if !f.Known {
			return Forecast{}
		}
		if f.Requests > last.Requests {
			last = f
		}
	}
	return last
}

// blocksFor is how many blocks give what is needed, for one alternative of a mixture.
func blocksFor(need, gain float64) float64 {
	switch {
	case gain <= 0:
		return math.Inf(1)
	case need <= 0:
		return 0
	}
	return need / gain
}

// block is traffic of many requests with the average of what it would bring, and how
// many of them are the canary's. Evidence is proportional to it, as long as it is
// large, so one block tells about any number.
func (c *Comparison) block(odds float64, t Traffic) (w Window, size float64, ok bool) {
	share := t.StablePerSecond / t.CanaryPerSecond
	if !(t.CanaryPerSecond > 0 && t.StablePerSecond > 0) || math.IsInf(share, 0) || share == 0 {
		return Window{}, 0, false
	}
	seen := c.Stable
	if seen.Total == 0 {
		seen = c.Canary
	}
	if seen.Total == 0 {
		return Window{}, 0, false
	}
	// Half a bad request more than there were: none is not never.
	stable := (float64(seen.Bad) + 0.5) / (float64(seen.Total) + 1)
	canary := odds * stable / (1 - stable + odds*stable)
	const badInBlock, largest = 20_000, maxCount / 100
	size = badInBlock / min(canary, share*stable)
	size = max(1, min(size, largest, largest/share))
	w.Canary = Counts{Total: int64(math.Round(size)), Bad: int64(math.Round(size * canary))}
	w.Stable = Counts{Total: int64(math.Round(size * share)), Bad: int64(math.Round(size * share * stable))}
	return w, size, w.check() == nil && w.Stable.Total > 0
}

func forecast(requests float64, t Traffic) Forecast {
	if math.IsInf(requests, 0) || math.IsNaN(requests) {
		return Forecast{}
	}
	seconds := requests / t.CanaryPerSecond
	if seconds > maxForecast.Seconds() {
		return Forecast{}
	}
	return Forecast{Known: true, Requests: requests, After: time.Duration(seconds * float64(time.Second))}
}

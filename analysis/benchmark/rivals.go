package main

import (
	"math"
	"slices"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// verdict is what a judge made of a trace: the scrape after which it rolled back, or
// never.
const never = -1

// rival is another way of judging, as its users would have set it up.
type rival struct {
	name  string
	about string
	judge func(*trace) int
}

var rivals = []rival{
	{"Argo .95/5m", "success rate of the canary over 5m at least 0.95, each minute, failureLimit 3", argo(0.95, 5)},
	{"Argo .99/1m", "success rate of the canary over 1m at least 0.99, each minute, failureLimit 3", argo(0.99, 1)},
	{"Flagger", "request-success-rate at least 99 over 1m, each minute, threshold 10", flagger(0.99, 10)},
	{"Kayenta 5m", "Mann-Whitney at 98% each 5 minutes, on rates of scrapes, baseline as large as the canary", kayenta(5)},
	{"Kayenta 10m", "the same each 10 minutes", kayenta(10)},
	{"Kayenta 50m", "the same once, over everything", kayenta(50)},
	{"naive z", "z-test of all counts so far, one-sided 5%, at each scrape", naiveZ(1.6449)},
}

// over sums the canary's counts of the last minutes before the end of a scrape.
func over(t *trace, end, minutes int) sequential.Counts {
	var sum sequential.Counts
	for i := max(0, end+1-minutes*perMinute); i <= end; i++ {
		sum = sum.Plus(t.scrapes[i].Canary)
	}
	return sum
}

// argo is a background AnalysisRun with one Prometheus metric. A window without
// requests counts as a success, which is what its users have to write for it.
func argo(least float64, minutes int) func(*trace) int {
	return thresholds(least, minutes, 4, 0)
}

// flagger counts misses, and looks at its counter at the next tick.
func flagger(least float64, threshold int) func(*trace) int {
	return thresholds(least, 1, threshold, perMinute)
}

func thresholds(least float64, minutes, limit, delay int) func(*trace) int {
	return func(t *trace) int {
		failures := 0
		for end := perMinute - 1; end < scrapes; end += perMinute {
			c := over(t, end, minutes)
			if c.Total == 0 || 1-c.Ratio() >= least {
				continue
			}
			if failures++; failures >= limit {
				return min(end+delay, scrapes-1)
			}
		}
		return never
	}
}

// kayenta compares the error rates of scrapes with those of a baseline that has as
// many requests as the canary.
func kayenta(minutes int) func(*trace) int {
	return func(t *trace) int {
		var canary, baseline []float64
		for i := range t.scrapes {
			s := &t.scrapes[i]
			if s.Canary.Total > 0 && s.Stable.Total > 0 {
				share := min(1, float64(s.Canary.Total)/float64(s.Stable.Total))
				thinned := sequential.Counts{Total: s.Canary.Total, Bad: binomial(t.random, s.Stable.Bad, share)}
				canary = append(canary, s.Canary.Ratio())
				baseline = append(baseline, thinned.Ratio())
			}
			if (i+1)%(minutes*perMinute) == 0 {
				if mannWhitneyZ(canary, baseline) > 2.3263 {
					return i
				}
				canary, baseline = canary[:0], baseline[:0]
			}
		}
		return never
	}
}

// mannWhitneyZ is the normal approximation with its corrections for ties and for
// continuity; above 0 when a is larger.
func mannWhitneyZ(a, b []float64) float64 {
	n1, n2 := float64(len(a)), float64(len(b))
	if n1 == 0 || n2 == 0 {
		return 0
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	rankOf := map[float64]float64{}
	ties := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		n := float64(j - i)
		rankOf[all[i]] = float64(i+j+1) / 2
		ties += n * (n*n - 1)
		i = j
	}
	ranks := 0.0
	for _, v := range a {
		ranks += rankOf[v]
	}
	n := n1 + n2
	variance := n1 * n2 / 12 * (n + 1 - ties/(n*(n-1)))
	u := ranks - n1*(n1+1)/2 - n1*n2/2
	if variance <= 0 || u <= 0.5 {
		return 0
	}
	return (u - 0.5) / math.Sqrt(variance)
}

// naiveZ pools everything so far, and looks again and again.
func naiveZ(limit float64) func(*trace) int {
	return func(t *trace) int {
		var canary, stable sequential.Counts
		for i := range t.scrapes {
			s := &t.scrapes[i]
			canary, stable = canary.Plus(s.Canary), stable.Plus(s.Stable)
			nc, ns := float64(canary.Total), float64(stable.Total)
			if nc == 0 || ns == 0 {
				continue
			}
			p := float64(canary.Bad+stable.Bad) / (nc + ns)
			if se := math.Sqrt(p * (1 - p) * (1/nc + 1/ns)); se > 0 && (canary.Ratio()-stable.Ratio())/se > limit {
				return i
			}
		}
		return never
	}
}

package sequential

import (
	"math"
	"slices"
)

// GaugeTest is how gauges of pods are compared, once for each step.
type GaugeTest struct {
	// Alpha is what a step's test of one metric may spend: alpha divided by the number
	// of metrics and of steps.
	Alpha float64
	// Shift is how much more the canary's pods may have, in the metric's unit.
	Shift float64
	// Effect is the least of Cliff's delta that counts, usually DefaultEffect.
	Effect float64
}

// DefaultEffect is what is called a medium effect (J. Romano et al., Appropriate
// Statistics for Ordinal Level Data, 2006).
const DefaultEffect = 0.33

// GaugeResult is what a comparison of gauges came to.
type GaugeResult struct {
	// P is the probability of ranks like these, or worse, if pods of both revisions
	// were alike.
	P float64
	// LeastP is the smallest P that so many pods can give. When it is above alpha there
	// are too few pods for any verdict: one canary against nine can do no better than
	// a tenth. That is why gauges only warn by default.
	LeastP float64
	// Shift is Hodges and Lehmann's estimate of how much more the canary's pods have.
	Shift float64
	// Delta is Cliff's: how much more often a pod of the canary has more than one of
	// stable than less, from -1 to 1.
	Delta float64
	// Worse tells that all three say so.
	Worse bool
}

// maxGaugePods bounds how many pods of a revision are looked at. Of more, evenly
// spread ones are taken, by rank.
const maxGaugePods = 512

// CompareGauges tells whether the canary's pods have more than stable's: Mann and
// Whitney's test of one value for each pod, usually the median of its samples, since
// samples of one pod follow each other and are no independent witnesses. Of a gauge of
// which less is worse, pass negative values. Values that are not finite are left out.
//
// Sources: H. Mann, D. Whitney, On a Test of Whether One of Two Random Variables is
// Stochastically Larger than the Other (1947); J. Hodges, E. Lehmann, Estimates of
// Location Based on Rank Tests (1963); N. Cliff, Dominance Statistics (1993).
func CompareGauges(canary, stable []float64, t GaugeTest) GaugeResult {
	canary, stable = finiteSorted(canary), finiteSorted(stable)
	r := GaugeResult{P: 1, LeastP: 1}
	if len(canary) == 0 || len(stable) == 0 {
		return r
	}
	ranks := doubledRanks(canary, stable)
	if len(canary)+len(stable) <= maxExact {
		r.P, r.LeastP = exactRankSum(ranks, len(canary))
	} else {
		r.P, r.LeastP = normalRankSum(ranks, len(canary))
	}
	r.Shift = hodgesLehmann(canary, stable)
	r.Delta = cliff(canary, stable)
	r.Worse = r.P <= t.Alpha && r.Shift > 0 && r.Shift >= t.Shift && r.Delta >= t.Effect
	return r
}

// Median is the median of a pod's samples, without those that are not finite; false
// when none are left.
func Median(samples []float64) (float64, bool) {
	s := finiteSorted(samples)
	n := len(s)
	if n == 0 {
		return 0, false
	}
	return midpoint(s[(n-1)/2], s[n/2]), true
}

// midpoint does not overflow.
func midpoint(a, b float64) float64 { return a/2 + b/2 }

func finiteSorted(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	if n := len(out); n > maxGaugePods {
		for i := range maxGaugePods {
			out[i] = out[i*(n-1)/(maxGaugePods-1)]
		}
		out = out[:maxGaugePods]
	}
	return out
}

// doubledRanks are twice the ranks of all values, whole numbers also where values are
// tied: the first ones are a's.
func doubledRanks(a, b []float64) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	ranks := make([]int, 0, len(all))
	for _, v := range slices.Concat(a, b) {
		low, _ := slices.BinarySearch(all, v)
		high := low
		for high < len(all) && all[high] == v {
			high++
		}
		ranks = append(ranks, low+high+1)
	}
	return ranks
}

// maxExact is up to how many pods all ways to choose the canary's ranks are counted.
const maxExact = 40

// exactRankSum is the part of all ways to choose m of the ranks that sum to as much as
// the first m do, and the part of those that sum to the most.
func exactRankSum(ranks []int, m int) (p, least float64) {
	total := 0
	for _, r := range ranks {
		total += r
	}
	observed := 0
	for _, r := range ranks[:m] {
		observed += r
	}
	ways := make([][]float64, m+1)
	for i := range ways {
		ways[i] = make([]float64, total+1)
	}
	ways[0][0] = 1
	for n, r := range ranks {
		for i := min(n+1, m); i >= 1; i-- {
			for s := total; s >= r; s-- {
				ways[i][s] += ways[i-1][s-r]
			}
		}
	}
	all, as, most := 0.0, 0.0, 0.0
	for s, w := range ways[m] {
		all += w
		if s >= observed {
			as += w
		}
		if w > 0 {
			most = w
		}
	}
	return as / all, most / all
}

// normalRankSum is the same by the normal approximation, with corrections for ties and
// for continuity.
func normalRankSum(ranks []int, m int) (p, least float64) {
	n1, n2 := float64(m), float64(len(ranks)-m)
	n := n1 + n2
	observed, squares := 0.0, 0.0
	counts := map[int]float64{}
	for i, r := range ranks {
		if i < m {
			observed += float64(r) / 2
		}
		counts[r]++
	}
	for _, c := range counts {
		squares += c * (c*c - 1)
	}
	variance := n1 * n2 / 12 * (n + 1 - squares/(n*(n-1)))
	if variance <= 0 {
		return 1, 1
	}
	tail := func(u float64) float64 { return 0.5 * math.Erfc((u-n1*n2/2-0.5)/math.Sqrt(2*variance)) }
	return min(1, tail(observed-n1*(n1+1)/2)), min(1, tail(n1*n2))
}

// hodgesLehmann is the median of all differences.
func hodgesLehmann(a, b []float64) float64 {
	differences := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			differences = append(differences, max(-math.MaxFloat64, min(math.MaxFloat64, x-y)))
		}
	}
	slices.Sort(differences)
	n := len(differences)
	return midpoint(differences[(n-1)/2], differences[n/2])
}

// cliff counts, for sorted values.
func cliff(a, b []float64) float64 {
	more, less := 0, 0
	for _, x := range a {
		low, _ := slices.BinarySearch(b, x)
		high := low
		for high < len(b) && b[high] == x {
			high++
		}
		more += low
		less += len(b) - high
	}
	return float64(more-less) / float64(len(a)*len(b))
}

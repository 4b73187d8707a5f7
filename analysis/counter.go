package analysis

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// rawLookback is how much further back than a window its counters are read, to find
// where they stood when it began. A scrape that comes later than this after the one
// before it is taken for the first of its series.
const rawLookback = 150 * time.Second

// maxCounter is more than any counter of requests; whole numbers are exact below it.
const maxCounter = 1 << 50

// counter is one series of one revision.
type counter struct {
	// target is what was scraped; empty when that cannot be told.
	target string
	// pod that the series speaks of; empty when that cannot be told.
	pod string
	// canary tells the revision: the canary's or stable's.
	canary bool
	// bad and total tell which of the two it counts.
	bad, total bool
	points     []Point
	// le is the bound of a bucket, and group what all buckets of its histogram have in
	// common.
	le    float64
	group string
}

// Tally is what both revisions did in one window.
type Tally struct {
	sequential.Window
	// Pods are stable's counts for each of its pods; nil when the series do not tell
	// pods apart.
	Pods map[string]sequential.Counts
	// Histograms are what a histogram had in it; the window then has no bad requests.
	Histograms *Histograms
}

// tally counts what both revisions did in the windows between bounds, which are in
// milliseconds and ascend: each window begins after its first bound and ends with
// its second. What a counter grew by between two scrapes belongs to the window of
// the later one, so that windows may be cut anywhere and still sum to the same.
func tally(counters []counter, bounds []int64) ([]Tally, error) {
	scrapes, err := scrapesOf(counters)
	if err != nil {
		return nil, err
	}
	tallies := make([]Tally, len(bounds)-1)
	byPod := podsKnown(counters)
	for i := range tallies {
		if byPod {
			tallies[i].Pods = map[string]sequential.Counts{}
		}
	}
	for i := range counters {
		c := &counters[i]
		for at, grown := range growth(c.points, scrapes[c.target], bounds[0]) {
			if w, found := slices.BinarySearch(bounds, at); found || w < len(bounds) {
				tallies[w-1].add(c, grown)
			}
		}
	}
	return tallies, nil
}

// podsKnown tells whether stable's series say of which of its pods they are.
func podsKnown(counters []counter) bool {
	known := false
	for i := range counters {
		if !counters[i].canary {
			if counters[i].pod == "" {
				return false
			}
			known = true
		}
	}
	return known
}

func (t *Tally) add(c *counter, grown int64) {
	var n sequential.Counts
	if c.total {
		n.Total = grown
	}
	if c.bad {
		n.Bad = grown
	}
	if c.canary {
		t.Canary = t.Canary.Plus(n)
		return
	}
	t.Stable = t.Stable.Plus(n)
	if t.Pods != nil {
		t.Pods[c.pod] = t.Pods[c.pod].Plus(n)
	}
}

// growth is by how much a counter grew at each scrape after a moment.
//
// A counter that is less than before was reset, and counts from zero. So does one
// that is new while its target was being scraped: proxies export a series with its
// first request, and the first requests of a canary, or its first failures, are
// always such a series. One that is new together with its whole target may have
// stood anywhere: from there on it is known.
func growth(points []Point, scrapes []int64, after int64) map[int64]int64 {
	grown := map[int64]int64{}
	for i, p := range points {
		if p.At <= after {
			continue
		}
		value, before := whole(p.Value), int64(0)
		switch {
		case i > 0 && within(points[i-1].At, p.At):
			if before = whole(points[i-1].Value); value < before {
				before = 0
			}
		case !scrapedBefore(scrapes, p.At):
			continue
		}
		if value > before {
			grown[p.At] = value - before
		}
	}
	return grown
}

// whole takes the part of a counter that counts requests.
func whole(v float64) int64 { return int64(math.Floor(v)) }

func within(before, at int64) bool { return at-before <= rawLookback.Milliseconds() }

// scrapedBefore tells whether a target was scraped a short while before a time.
func scrapedBefore(scrapes []int64, at int64) bool {
	i, _ := slices.BinarySearch(scrapes, at)
	return i > 0 && within(scrapes[i-1], at)
}

// scrapesOf lists when each target was scraped, and refuses what is no counter.
func scrapesOf(counters []counter) (map[string][]int64, error) {
	scrapes := map[string][]int64{}
	for i := range counters {
		c := &counters[i]
		last := int64(math.MinInt64)
		for _, p := range c.points {
			switch {
			case math.IsNaN(p.Value) || math.IsInf(p.Value, 0):
				return nil, &Error{Reason: ReasonNonFinite}
			case p.Value < 0 || p.Value > maxCounter || p.At <= last:
				return nil, &Error{Reason: ReasonMalformed}
			}
			last = p.At
			if c.target != "" {
				scrapes[c.target] = append(scrapes[c.target], p.At)
			}
		}
	}
	for target, all := range scrapes {
		slices.Sort(all)
		scrapes[target] = slices.Compact(all)
	}
	return scrapes, nil
}

// targetLabels tell apart what was scraped, and by which Prometheus.
var targetLabels = []string{
	"instance", "job", "pod", "namespace", "cluster", "prometheus", "prometheus_replica", "replica",
}

// targetOf names the target of a series; nothing without a label that every target
// has of its own.
func targetOf(labels map[string]string) string {
	if labels["instance"] == "" && labels["pod"] == "" {
		return ""
	}
	var b strings.Builder
	for _, name := range targetLabels {
		b.WriteString(labels[name])
		b.WriteByte(0)
	}
	return b.String()
}

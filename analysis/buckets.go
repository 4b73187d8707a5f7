package analysis

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/sequential"
)

// Histograms are what both revisions had in one window.
type Histograms struct {
	Canary, Stable sequential.Histogram
	// Pods are stable's for each of its pods; nil when the series do not tell pods
	// apart.
	Pods map[string]sequential.Histogram
}

// labelBucket is the label with the upper bound of a bucket.
const labelBucket = "le"

// withBuckets narrows a selector to the buckets with some bounds, and the one without a
// bound: there may be many more, which nobody compares.
func withBuckets(selector string, bounds []float64) string {
	var texts []string
	for _, b := range append(slices.Clone(bounds), math.Inf(1)) {
		for _, text := range bucketTexts(b) {
			texts = append(texts, escape(regexp.QuoteMeta(text)))
		}
	}
	matcher := labelBucket + `=~"` + strings.Join(texts, "|") + `"`
	before, after, found := strings.Cut(selector, "{")
	if !found {
		return strings.TrimSpace(selector) + "{" + matcher + "}"
	}
	return before + "{" + matcher + "," + after
}

// bucketTexts are the ways in which exporters and servers write a bound.
func bucketTexts(bound float64) []string {
	if math.IsInf(bound, 1) {
		return []string{"+Inf"}
	}
	texts := []string{bucketText(bound)}
	plain := strconv.FormatFloat(bound, 'f', -1, 64)
	if plain != texts[0] {
		texts = append(texts, plain)
	}
	if !strings.Contains(plain, ".") {
		texts = append(texts, plain+".0")
	}
	return texts
}

// historySelection reads what stable had in each bucket before, to choose bounds from.
// It is a range of a single point, and so raw samples like any other to a provider.
// That increase() is not exact is no matter here: no verdict rests on it.
func (s *Selection) historySelection(now time.Time) error {
	s.To = now.Truncate(time.Second)
	s.history = true
	v := s.variables
	v.Revision, v.Canary = v.Stable, v.Stable
	selectors, err := selectorsOf(s.metric, v)
	if err != nil {
		return err
	}
	s.Queries = []Query{{
		Expr: fmt.Sprintf("sum by (%s) (increase(%s[%ds]))[1s:1s]", labelBucket, selectors[0], historyLength/time.Second),
		At:   s.To,
	}}
	return nil
}

// tallyHistory reads the answer to that.
func (s *Selection) tallyHistory(answer Matrix) (*Reading, error) {
	r := &Reading{From: s.From, To: s.To, Before: &sequential.Histogram{}}
	if len(answer.Series) == 0 {
		return r, nil
	}
	buckets := map[float64]float64{}
	for _, series := range answer.Series {
		le, err := strconv.ParseFloat(series.Labels[labelBucket], 64)
		if err != nil || len(series.Points) == 0 {
			return nil, &Error{Reason: ReasonNotHistogram}
		}
		n := series.Points[len(series.Points)-1].Value
		switch {
		case math.IsNaN(n) || math.IsInf(n, 0):
			return nil, &Error{Reason: ReasonNonFinite}
		case n < 0 || n > maxCounter:
			return nil, &Error{Reason: ReasonMalformed}
		}
		buckets[le] += n // Exporters, and versions of Prometheus, write the same bound in several ways.
	}
	les, below, last := slices.Sorted(maps.Keys(buckets)), []int64{}, int64(0)
	for _, le := range les {
		// Each was extrapolated by itself: one may be a little less than the one below.
		last = max(last, int64(math.Round(buckets[le])))
		below = append(below, last)
	}
	h, err := sequential.NewHistogram(les, below)
	if err != nil {
		return nil, &Error{Reason: ReasonNotHistogram}
	}
	r.Before = &h
	return r, nil
}

// groupOf names what all buckets of a histogram have in common: all labels but the
// bound, and the revision.
func groupOf(labels map[string]string, canary bool) string {
	var b strings.Builder
	b.WriteString(strconv.FormatBool(canary))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != labelBucket {
			b.WriteString("\x00" + name + "\x00" + labels[name])
		}
	}
	return b.String()
}

// histogram is all buckets that are compared, of one target and one combination of
// labels, which were scraped together.
type histogram struct {
	counter // of the bucket without a bound, which counts everything
	// buckets are the points of each bound's.
	buckets [][]Point
}

// histogramsOf puts counters of buckets together. Each histogram must have all bounds.
func histogramsOf(counters []counter, bounds []float64) ([]histogram, error) {
	byGroup := map[string][]counter{}
	for i := range counters {
		byGroup[counters[i].group] = append(byGroup[counters[i].group], counters[i])
	}
	all := make([]histogram, 0, len(byGroup))
	for _, group := range byGroup {
		h := histogram{buckets: make([][]Point, len(bounds))}
		found := 0
		for i := range group {
			c := &group[i]
			at, isBound := slices.BinarySearch(bounds, c.le)
			switch {
			case math.IsInf(c.le, 1) && h.points == nil:
				h.counter = *c
				found++
			case isBound && h.buckets[at] == nil:
				h.buckets[at] = c.points
				found++
			case isBound || math.IsInf(c.le, 1):
				return nil, &Error{Reason: ReasonMalformed} // Twice the same.
			}
		}
		if found != len(bounds)+1 {
			return nil, &Error{Reason: ReasonBucketBounds}
		}
		if !h.complete() {
			return nil, &Error{Reason: ReasonMalformed}
		}
		all = append(all, h)
	}
	return all, nil
}

// complete tells whether all buckets were scraped at the same times.
func (h *histogram) complete() bool {
	same := func(a, b Point) bool { return a.At == b.At }
	for _, points := range h.buckets {
		if !slices.EqualFunc(points, h.points, same) {
			return false
		}
	}
	return true
}

// at is what all buckets stood at: those with a bound, ascending, and everything.
func (h *histogram) at(i int) []int64 {
	values := make([]int64, 0, len(h.buckets)+1)
	for _, points := range h.buckets {
		values = append(values, whole(points[i].Value))
	}
	return append(values, whole(h.points[i].Value))
}

// growth is by how much each bucket grew at each scrape after a moment, as of a
// counter. The buckets were reset together: one that is less than before says so for
// all, also for those that have grown beyond where they were since.
func (h *histogram) growth(scrapes []int64, after int64) map[int64][]int64 {
	grown := map[int64][]int64{}
	for i, p := range h.points {
		if p.At <= after {
			continue
		}
		values := h.at(i)
		switch {
		case i > 0 && within(h.points[i-1].At, p.At):
			before := h.at(i - 1)
			reset := false
			for b := range values {
				reset = reset || values[b] < before[b]
			}
			for b := range values {
				if !reset {
					values[b] -= before[b]
				}
			}
		case !scrapedBefore(scrapes, p.At):
			continue
		}
		grown[p.At] = values
	}
	return grown
}

// tallyBuckets counts what both revisions had in each bucket, in windows as those of
// tally.
func tallyBuckets(counters []counter, limits []int64, bounds []float64) ([]Tally, error) {
	scrapes, err := scrapesOf(counters)
	if err != nil {
		return nil, err
	}
	all, err := histogramsOf(counters, bounds)
	if err != nil {
		return nil, err
	}
	byPod := podsKnown(counters)
	tallies := make([]Tally, len(limits)-1)
	for i := range tallies {
		empty := sequential.Histogram{Bounds: bounds, Below: make([]int64, len(bounds))}
		tallies[i].Histograms = &Histograms{Canary: empty, Stable: empty}
		if byPod {
			tallies[i].Histograms.Pods = map[string]sequential.Histogram{}
		}
	}
	var errs []error
	for i := range all {
		h := &all[i]
		for at, grown := range h.growth(scrapes[h.target], limits[0]) {
			if w, found := slices.BinarySearch(limits, at); found || w < len(limits) {
				errs = append(errs, tallies[w-1].addBuckets(&h.counter, bounds, grown))
			}
		}
	}
	if errors.Join(errs...) != nil {
		return nil, &Error{Reason: ReasonImpossibleCounts}
	}
	return tallies, nil
}

// addBuckets adds what a histogram grew by.
func (t *Tally) addBuckets(c *counter, bounds []float64, grown []int64) error {
	h, err := sequential.NewHistogram(append(slices.Clone(bounds), math.Inf(1)), grown)
	if err != nil {
		return err
	}
	into, total := &t.Histograms.Stable, &t.Stable.Total
	if c.canary {
		into, total = &t.Histograms.Canary, &t.Canary.Total
	}
	*total += h.Total
	if *into, err = into.Plus(h); err != nil || c.canary || t.Histograms.Pods == nil {
		return err
	}
	pod, known := t.Histograms.Pods[c.pod]
	if known {
		h, err = pod.Plus(h)
	}
	t.Histograms.Pods[c.pod] = h
	return err
}

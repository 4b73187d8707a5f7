package analysis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// buckets makes the counters of one histogram, scraped every fifteen seconds from 0,
// of which each scrape has what is at most each bound.
func buckets(target string, canary bool, le []float64, scrapes ...[]float64) []counter {
	var all []counter
	for b, bound := range le {
		c := counter{target: target, canary: canary, total: true, le: bound, group: target + strconv.FormatBool(canary)}
		for i, below := range scrapes {
			c.points = append(c.points, Point{At: int64(15_000 * i), Value: below[b]})
		}
		all = append(all, c)
	}
	return all
}

var slowLe = []float64{100, 250, math.Inf(1)}

func TestTallyBuckets(t *testing.T) {
	bounds := slowLe[:2]
	stable := buckets("s", false, slowLe, []float64{0, 0, 0}, []float64{8, 9, 10}, []float64{16, 18, 20})
	for name, tc := range map[string]struct {
		canary []counter
		want   string // below 100, below 250, all
		reason Reason
	}{
		"plain":                   {buckets("c", true, slowLe, []float64{1, 1, 1}, []float64{3, 4, 5}, []float64{4, 6, 9}), "[3 5] 8", ""},
		"a reset of all":          {buckets("c", true, slowLe, []float64{7, 8, 9}, []float64{1, 2, 3}, []float64{1, 2, 3}), "[1 2] 3", ""},
		"a reset seen in one":     {buckets("c", true, slowLe, []float64{2, 50, 100}, []float64{3, 4, 5}, []float64{3, 4, 5}), "[3 4] 5", ""},
		"new with its target":     {buckets("c", true, slowLe, []float64{7, 8, 9}), "[0 0] 0", ""},
		"no buckets of a bound":   {buckets("c", true, []float64{100, math.Inf(1)}, []float64{1, 2}, []float64{1, 2}, []float64{1, 2}), "", ReasonBucketBounds},
		"no bucket without bound": {buckets("c", true, bounds, []float64{1, 2}, []float64{1, 2}, []float64{1, 2}), "", ReasonBucketBounds},
		"another bound too":       {buckets("c", true, []float64{100, 200, 250, math.Inf(1)}, []float64{0, 0, 0, 0}, []float64{1, 2, 3, 4}), "[1 3] 4", ""},
		"the same bound twice":    {buckets("c", true, []float64{100, 250, 250, math.Inf(1)}, []float64{0, 0, 0, 0}), "", ReasonMalformed},
		"NaN":                     {buckets("c", true, slowLe, []float64{0, 0, math.NaN()}), "", ReasonNonFinite},
		"more slow than all":      {buckets("c", true, slowLe, []float64{0, 0, 0}, []float64{5, 4, 3}), "", ReasonImpossibleCounts},
		"nothing of the canary":   {nil, "[0 0] 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tallies, err := tallyBuckets(append(tc.canary, stable...), []int64{0, 40_000}, bounds)
			if tc.reason != "" || err != nil {
				if ReasonOf(err) != tc.reason || err == nil {
					t.Fatalf("got %v, %v, want %s", tallies, err, tc.reason)
				}
				return
			}
			h := tallies[0].Histograms
			if got := fmt.Sprint(h.Canary.Below, h.Canary.Total); got != tc.want || tallies[0].Canary.Total != h.Canary.Total {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := fmt.Sprint(h.Stable.Below, h.Stable.Total); got != "[16 18] 20" {
				t.Errorf("stable %s", got)
			}
		})
	}
}

func TestBucketsThatWereNotScrapedTogether(t *testing.T) {
	c := buckets("c", true, slowLe, []float64{0, 0, 0}, []float64{1, 2, 3})
	c[0].points = c[0].points[:1]
	if _, err := tallyBuckets(c, []int64{0, 40_000}, slowLe[:2]); ReasonOf(err) != ReasonMalformed {
		t.Error(err)
	}
}

// TestHistogramsCountAsTheirBuckets holds that without resets a histogram counts what
// its buckets count as single counters, however windows are cut.
func TestHistogramsCountAsTheirBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var scrapes [][]float64
		sum := []float64{0, 0, 0}
		for range rapid.IntRange(1, 30).Draw(t, "scrapes") {
			grown := 0.0
			next := make([]float64, 3)
			for b := range next {
				grown += float64(rapid.IntRange(0, 9).Draw(t, "grown"))
				next[b] = sum[b] + grown
			}
			sum = next
			scrapes = append(scrapes, next)
		}
		counters := buckets("c", true, slowLe, scrapes...)
		limits := []int64{0, rapid.Int64Range(1, 299_999).Draw(t, "cut"), 300_000, 450_000}
		got, err := tallyBuckets(counters, limits, slowLe[:2])
		if err != nil {
			t.Fatal(err)
		}
		for w := range got {
			for b, bound := range slowLe {
				single, err := tally(counters[b:b+1], limits)
				if err != nil {
					t.Fatal(err)
				}
				want, h := single[w].Canary.Total, got[w].Histograms.Canary
				if has := append(h.Below, h.Total)[b]; has != want {
					t.Fatalf("window %d has %d at most %v, want %d", w, has, bound, want)
				}
			}
		}
	})
}

func latencyMetric(edit func(*v1alpha1.BucketBounds)) *v1alpha1.Metric {
	m := &v1alpha1.Metric{Name: "latency", Builtin: &v1alpha1.BuiltinMetric{Kind: v1alpha1.BuiltinLatencyDistribution}}
	if edit != nil {
		edit(&m.Builtin.BucketBounds)
	}
	return m
}

func TestSelectionOfBuckets(t *testing.T) {
	policy := &v1alpha1.ComparisonPolicy{}
	own := &v1alpha1.Metric{Name: "own", Histogram: &v1alpha1.HistogramMetric{Buckets: `took_bucket{r="{{revision}}"}`}}
	ownAt := own.DeepCopy()
	ownAt.Histogram.Le = []v1alpha1.BucketBound{"0.25", "1"}
	le := func(b *v1alpha1.BucketBounds) { b.Le = []v1alpha1.BucketBound{"250"} }
	const istio = `istio_request_duration_milliseconds_bucket{`
	const labels = `reporter="source",destination_workload_namespace="shop",destination_workload="checkout",destination_canonical_revision=~`
	for name, tc := range map[string]struct {
		metric *v1alpha1.Metric
		want   []string
	}{
		"history of the mesh's": {latencyMetric(nil), []string{`sum by (le) (increase(` + istio + labels + `"6d4f|6d4f"}[3600s]))[1s:1s]`}},
		"history of one's own":  {own, []string{`sum by (le) (increase(took_bucket{r="6d4f"}[3600s]))[1s:1s]`}},
		"the mesh's":            {latencyMetric(le), []string{istio + `le=~"250|250.0|\\+Inf",` + labels + `"6d4f|7c9b"}[180000ms]`}},
		"one's own": {ownAt, []string{
			`took_bucket{le=~"0\\.25|1|1\\.0|\\+Inf",r="7c9b"}[180000ms]`, `took_bucket{le=~"0\\.25|1|1\\.0|\\+Inf",r="6d4f"}[180000ms]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			v := Variables{Namespace: "shop", Rollout: "checkout", Stable: "6d4f", Canary: "7c9b"}
			s, err := BuildSelection(tc.metric, policy, v, comparedFrom, comparedFrom.Add(55*time.Second))
			if err != nil || len(s.Queries) != len(tc.want) {
				t.Fatalf("%+v, %v", s, err)
			}
			for i, q := range s.Queries {
				if want := strings.ReplaceAll(tc.want[i], `250.0`, `250\\.0`); q.Expr != want {
					t.Errorf("got  %s\nwant %s", q.Expr, want)
				}
			}
		})
	}
}

func TestTallyHistory(t *testing.T) {
	bucket := func(le string, values ...float64) RawSeries {
		s := RawSeries{Labels: map[string]string{"le": le}}
		for i, v := range values {
			s.Points = append(s.Points, Point{At: int64(i), Value: v})
		}
		return s
	}
	for name, tc := range map[string]struct {
		series []RawSeries
		want   sequential.Histogram
		reason Reason
	}{
		"nothing":                  {nil, sequential.Histogram{}, ""},
		"the latest of two points": {[]RawSeries{bucket("+Inf", 1, 9.6), bucket("50.0", 1, 4.4)}, sequential.Histogram{Bounds: []float64{50}, Below: []int64{4}, Total: 10}, ""},
		"extrapolated a bit less":  {[]RawSeries{bucket("+Inf", 9), bucket("50", 4.6), bucket("100", 4.4)}, sequential.Histogram{Bounds: []float64{50, 100}, Below: []int64{5, 5}, Total: 9}, ""},
		"written in two ways":      {[]RawSeries{bucket("+Inf", 9), bucket("50.0", 3), bucket("50", 5)}, sequential.Histogram{Bounds: []float64{50}, Below: []int64{8}, Total: 9}, ""},
		"no label":                 {[]RawSeries{bucket("", 1)}, sequential.Histogram{}, ReasonNotHistogram},
		"no bucket without bound":  {[]RawSeries{bucket("5", 1)}, sequential.Histogram{}, ReasonNotHistogram},
		"NaN":                      {[]RawSeries{bucket("+Inf", math.NaN())}, sequential.Histogram{}, ReasonNonFinite},
		"negative":                 {[]RawSeries{bucket("+Inf", -1)}, sequential.Histogram{}, ReasonMalformed},
		"no points":                {[]RawSeries{bucket("+Inf")}, sequential.Histogram{}, ReasonNotHistogram},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := BuildSelection(latencyMetric(nil), &v1alpha1.ComparisonPolicy{}, Variables{}, comparedFrom, comparedFrom)
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Tally([]Matrix{{Series: tc.series}})
			if tc.reason != "" {
				var e *Error
				if !errors.As(err, &e) || e.Reason != tc.reason {
					t.Errorf("got %v, want %s", err, tc.reason)
				}
				return
			}
			if err != nil || fmt.Sprint(*r.Before) != fmt.Sprint(tc.want) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func FuzzTallyBuckets(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, 4.0)
	f.Add(math.NaN(), -1.0, math.Inf(1), 1e300)
	f.Fuzz(func(t *testing.T, a, b, c, d float64) {
		tallies, err := tallyBuckets(buckets("c", true, []float64{100, math.Inf(1)}, []float64{a, b}, []float64{c, d}), []int64{0, 20_000}, []float64{100})
		if err != nil {
			return
		}
		if h := tallies[0].Histograms.Canary; h.Below[0] < 0 || h.Below[0] > h.Total || h.Total > maxCounter {
			t.Errorf("counted %+v", h)
		}
	})
}

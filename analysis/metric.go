package analysis

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis/sequential"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// What a field means when the API server's defaults were not applied to it.
const (
	defaultWindow                = 5 * time.Minute
	defaultInterval              = 30 * time.Second
	defaultCount                 = 1
	defaultConsecutiveErrorLimit = 4
	leastInterval                = time.Second
	defaultSettle                = 30 * time.Second
	defaultLag                   = 20 * time.Second
	defaultMaxDuration           = 15 * time.Minute
	defaultMinRequests           = 50
	defaultAlpha                 = 0.01
	defaultBeta                  = 0.05
	leastProbability             = 1e-6
)

// IsComparison tells whether a metric compares the canary with stable.
func IsComparison(m *v1alpha1.Metric) bool {
	return m.Builtin != nil || m.Ratio != nil || m.Histogram != nil
}

func settleOf(p *v1alpha1.ComparisonPolicy) time.Duration { return orDefault(p.Settle, defaultSettle) }

func lagOf(p *v1alpha1.ComparisonPolicy) time.Duration { return orDefault(p.Lag, defaultLag) }

func maxDurationOf(p *v1alpha1.ComparisonPolicy) time.Duration {
	return orDefault(p.MaxDuration, defaultMaxDuration)
}

func alphaOf(p *v1alpha1.ComparisonPolicy) float64 { return probabilityOf(p.Alpha, defaultAlpha) }

func betaOf(p *v1alpha1.ComparisonPolicy) float64 { return probabilityOf(p.Beta, defaultBeta) }

// probabilityOf reads a decimal. One that the API server would have refused is the
// default.
func probabilityOf(text string, def float64) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= leastProbability && v <= 0.5) {
		return def
	}
	return v
}

func minRequestsOf(m *v1alpha1.Metric) int64 {
	if m.Compare == nil {
		return defaultMinRequests
	}
	return int64(max(m.Compare.MinRequests, 1))
}

// tolerancesOf reads what is worse.
func tolerancesOf(m *v1alpha1.Metric) (sequential.Tolerances, error) {
	t := sequential.DefaultTolerances()
	if m.Compare == nil {
		return t, nil
	}
	for _, f := range []struct {
		text string
		into *float64
	}{{m.Compare.Tolerance, &t.Tolerated}, {m.Compare.Unacceptable, &t.Unacceptable}} {
		if f.text == "" {
			continue
		}
		v, err := strconv.ParseFloat(f.text, 64)
		if err != nil {
			return t, fmt.Errorf("compare: %q is not a number", shorten(f.text, 40))
		}
		*f.into = v
	}
	if !(t.Tolerated >= 1 && t.Unacceptable >= t.Tolerated) {
		return t, errors.New("compare: tolerance must be at least 1, and unacceptable not less than it")
	}
	return t, nil
}

func windowOf(m *v1alpha1.Metric) time.Duration {
	return max(orDefault(m.Window, defaultWindow).Truncate(time.Second), time.Second)
}

func intervalOf(m *v1alpha1.Metric) time.Duration {
	return max(orDefault(m.Interval, defaultInterval), leastInterval)
}

// gridOf is of which a comparison's windows end at whole multiples.
func gridOf(m *v1alpha1.Metric) time.Duration { return intervalOf(m).Truncate(time.Millisecond) }

func initialDelayOf(m *v1alpha1.Metric) time.Duration { return orDefault(m.InitialDelay, 0) }

func countOf(m *v1alpha1.Metric) int32 { return max(m.Count, defaultCount) }

func errorLimitOf(m *v1alpha1.Metric) int32 {
	if m.ConsecutiveErrorLimit == nil {
		return defaultConsecutiveErrorLimit
	}
	return *m.ConsecutiveErrorLimit
}

// noDataPolicyOf returns what no data counts as at a given age of the step.
func noDataPolicyOf(m *v1alpha1.Metric, age time.Duration) v1alpha1.NoDataPolicy {
	if m.NoData == nil || m.NoData.Policy == "" || age < orDefault(m.NoData.After, 0) {
		return v1alpha1.NoDataHold
	}
	return m.NoData.Policy
}

func orDefault(d *metav1.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.Duration
}

// shorten cuts a text to at most n characters, the last of which then says so.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

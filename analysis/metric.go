package analysis

import (
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// What a field means when the API server's defaults were not applied to it.
const (
	defaultWindow                = 5 * time.Minute
	defaultInterval              = 30 * time.Second
	defaultCount                 = 1
	defaultConsecutiveErrorLimit = 4
	leastInterval                = time.Second
)

func windowOf(m *v1alpha1.Metric) time.Duration {
	return max(orDefault(m.Window, defaultWindow).Truncate(time.Second), time.Second)
}

func intervalOf(m *v1alpha1.Metric) time.Duration {
	return max(orDefault(m.Interval, defaultInterval), leastInterval)
}

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

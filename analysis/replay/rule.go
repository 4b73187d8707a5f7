package replay

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// What a rule is where nothing else is said.
const (
	DefaultThreshold = 0.01
	DefaultWindow    = 5 * time.Minute
)

// Rule is the rule that people write without a judge: abort when more than so large a
// share of the canary's requests failed in the latest minutes. It knows no stable and
// no number of requests.
type Rule struct {
	// Threshold is the share, over 0 and below 1. Default DefaultThreshold.
	Threshold float64
	// Window is how far back it looks, no further than the step. Default
	// DefaultWindow.
	Window time.Duration
}

func (r Rule) withDefaults() Rule {
	if r.Threshold == 0 {
		r.Threshold = DefaultThreshold
	}
	if r.Window == 0 {
		r.Window = DefaultWindow
	}
	return r
}

func (r Rule) check() error {
	r = r.withDefaults()
	if !(r.Threshold > 0 && r.Threshold < 1) {
		return fmt.Errorf("the threshold is %v, and must be above 0 and below 1", r.Threshold)
	}
	if r.Window < time.Second {
		return fmt.Errorf("the window of the threshold is %s, and must be at least 1s", r.Window)
	}
	return nil
}

// String says the rule.
func (r Rule) String() string {
	return fmt.Sprintf("over %s of the canary's requests failed in %s", percent(r.Threshold), short(r.Window))
}

// percent writes a share, with three digits.
func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 3, 64) + "%" }

// ruler applies the rule to one metric.
type ruler struct {
	Rule
	metric string
	// windows that were counted in this stay, the oldest first.
	windows []analysis.Reading
	// fired is when the rule was broken first, and by how much.
	fired *Firing
}

// Firing is when a rule was broken.
type Firing struct {
	At     time.Time              `json:"at"`
	Share  string                 `json:"share"`
	Canary v1alpha1.RequestCounts `json:"canary"`
}

// rulersOf are the rules for all metrics that count failed requests.
func rulersOf(in *Input) []*ruler {
	var all []*ruler
	for i := range in.Spec.Metrics {
		if m := &in.Spec.Metrics[i]; countsFailures(m) {
			all = append(all, &ruler{Rule: in.Rule.withDefaults(), metric: m.Name})
		}
	}
	return all
}

// countsFailures tells whether bad requests of a comparison are failed ones.
func countsFailures(m *v1alpha1.Metric) bool {
	return m.Ratio != nil || m.Builtin != nil && m.Builtin.Kind == v1alpha1.BuiltinErrorRatio
}

// enter forgets what was counted: the rule does not look back over a step's beginning.
func (r *ruler) enter() { r.windows = nil }

// observe takes what a measurement counted, at a time.
func (r *ruler) observe(result *analysis.Result, now time.Time) {
	reading := result.Reading
	if r.fired != nil || reading == nil || result.Err != nil {
		return
	}
	r.windows = append(r.windows, *reading)
	for earliest := reading.To.Add(-r.Window); len(r.windows) > 1 && !r.windows[0].To.After(earliest); {
		r.windows = r.windows[1:]
	}
	var sum v1alpha1.RequestCounts
	for i := range r.windows {
		for _, t := range r.windows[i].Tallies {
			sum.Requests += t.Canary.Total
			sum.Bad += t.Canary.Bad
		}
	}
	if sum.Requests <= 0 {
		return
	}
	if share := float64(sum.Bad) / float64(sum.Requests); share > r.Threshold {
		r.fired = &Firing{At: now, Share: percent(share), Canary: sum}
	}
}

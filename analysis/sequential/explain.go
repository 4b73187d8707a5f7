package sequential

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Seen says in one sentence what was seen: how much worse, how sure, from how much.
// What is compared is named by its odds, such as "error". The interval may be nil.
func (c *Comparison) Seen(what string, alpha float64, interval *OddsInterval) string {
	return c.seen(words{odds: what + " odds", bad: "bad", none: "bad requests"}, interval, comparePs(c.P(), alpha))
}

// words are what a sentence calls the odds that are compared, and what is bad.
type words struct{ odds, bad, none string }

func (c *Comparison) seen(w words, interval *OddsInterval, sure string) string {
	var b strings.Builder
	odds, ok := c.Odds()
	switch {
	case c.Canary.Total == 0:
		return "canary had no requests yet"
	case c.Stable.Total == 0:
		return fmt.Sprintf("stable had no requests to compare with, canary %s %s", ofTotal(c.Canary), w.bad)
	case c.Canary.Bad+c.Stable.Bad == 0:
		return fmt.Sprintf("no %s, canary %s, stable %s", w.none, ofTotal(c.Canary), ofTotal(c.Stable))
	case !ok:
		fmt.Fprintf(&b, "canary %s %s, stable %s", ofTotal(c.Canary), w.bad, ofTotal(c.Stable))
	default:
		fmt.Fprintf(&b, "canary %sx stable's %s", short(odds), w.odds)
		if interval != nil {
			fmt.Fprintf(&b, ", 95%% CI %s", intervalText(interval.Interval(0.05)))
		}
		fmt.Fprintf(&b, ", %s against %s", ofTotal(c.Canary), ofTotal(c.Stable))
	}
	b.WriteString("; " + sure)
	return b.String()
}

// Seen says in one sentence what was seen.
func (l *Level) Seen(what string, alpha float64) string {
	if l.Total.Total == 0 {
		return "no requests yet"
	}
	return fmt.Sprintf("%s ratio %s%%, limit %s%%, %s; %s", what, short(100*l.Total.Ratio()), short(100*l.Limit),
		ofTotal(l.Total), comparePs(l.P(), alpha))
}

// Seen says in one sentence what was seen, at the bound with the most evidence. What
// the histogram is of is named in the singular, such as "request"; the intervals are
// those of the bounds, or nil.
func (l *Latency) Seen(what, unit string, alpha float64, intervals []OddsInterval) string {
	i := l.Leading()
	bound := boundText(l.Bounds[i]) + unit
	var interval *OddsInterval
	if i < len(intervals) {
		interval = &intervals[i]
	}
	return l.Comparisons[i].seen(words{
		odds: "odds of a " + what + " over " + bound,
		bad:  "over " + bound,
		none: what + "s over " + bound,
	}, interval, comparePs(l.P(), alpha))
}

// boundText is a bound as it is written in labels: all its digits count.
func boundText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Missing says in one sentence what it takes until there is a verdict.
func (c *Comparison) Missing(alpha, beta, dispersion float64, t Traffic) string {
	if c.Worse(alpha) {
		return missingNothingWorse
	}
	return missing(c.Passes(beta), t, c.ForecastRollBack(alpha, dispersion, t), c.ForecastPass(beta, dispersion, t))
}

// Missing says in one sentence what it takes until there is a verdict: one bound that
// condemns the canary for all, or all of them for it to pass.
func (l *Latency) Missing(alpha, beta float64, t Traffic) string {
	if l.Worse(alpha) {
		return missingNothingWorse
	}
	return missing(l.Passes(beta), t, l.forecastRollBack(alpha, t), l.forecastPass(beta, t))
}

const missingNothingWorse = "nothing: the canary is worse"

// missing puts forecasts of both verdicts in words.
func missing(passes bool, t Traffic, back, pass Forecast) string {
	switch {
	case passes:
		return "nothing: the canary passes"
	case !(t.CanaryPerSecond > 0):
		return "needs traffic to the canary"
	case !(t.StablePerSecond > 0):
		return "needs traffic to stable"
	}
	next, verdict := pass, "pass"
	if back.Known && (!next.Known || back.Requests < next.Requests) {
		next, verdict = back, "roll back"
	}
	if !next.Known {
		return "no verdict is in sight at this weight"
	}
	return fmt.Sprintf("needs about %s more canary requests at this weight to %s: %s", rounded(next.Requests), verdict, about(next.After))
}

func comparePs(p, alpha float64) string {
	relation := "<"
	if p > alpha {
		relation = ">"
	}
	return fmt.Sprintf("p = %s %s %s", probability(p), relation, probability(alpha))
}

// probability has two digits, and no more zeros than can be read.
func probability(p float64) string {
	if p < 1e-4 {
		return strconv.FormatFloat(p, 'e', 0, 64)
	}
	return strconv.FormatFloat(twoDigits(p), 'f', -1, 64)
}

func intervalText(low, high float64) string {
	if math.IsInf(high, 1) {
		return "above " + short(low)
	}
	return short(low) + "-" + short(high)
}

// short has two digits, or all of the whole ones.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return grouped(int64(math.Round(v)))
	}
	v = twoDigits(v)
	digits := -1
	if v != 0 && math.Abs(v) >= 1 && math.Abs(v) < 10 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// twoDigits rounds to two digits that count.
func twoDigits(v float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 1, 64), 64)
	if err != nil {
		return v
	}
	return out
}

func ofTotal(c Counts) string { return grouped(c.Bad) + "/" + grouped(c.Total) }

// grouped writes 10312 as 10,312.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rounded writes 29731 as 30k.
func rounded(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size {
			return strconv.FormatFloat(twoDigits(v/unit.size), 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(math.Ceil(twoDigits(v)), 'f', -1, 64)
}

// about is a duration as one says it.
func about(d time.Duration) string {
	for _, unit := range []struct {
		from, size time.Duration
		name       string
	}{{72 * time.Hour, 24 * time.Hour, "days"}, {3 * time.Hour, time.Hour, "h"}, {2 * time.Minute, time.Minute, "min"}} {
		if d >= unit.from {
			return fmt.Sprintf("%.0f %s", float64(d)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
}

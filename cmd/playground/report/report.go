// Package report says what came of the demo's releases, for programs (build/demo.json)
// and for people, and whether it is what should have come of them. It is pure.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Outcomes of a release.
const (
	Promoted = "Promoted"
	Aborted  = "Aborted"
	// RolledBack is one that was promoted and then taken back.
	RolledBack = "RolledBack"
)

// Demo is what build/demo.json holds.
type Demo struct {
	Good Release `json:"good"`
	Bad  Release `json:"bad"`
	Late Release `json:"late"`
}

// Release is what came of one release.
type Release struct {
	// Outcome is Promoted, Aborted or RolledBack; empty when it came to none of them.
	Outcome string `json:"outcome"`
	// Reason and Message say why, as the Rollout's history has it.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Revision is the released one, Stable the one it was to replace.
	Revision string `json:"revision"`
	Stable   string `json:"stable"`
	// Seconds from the push of the new image until the release was promoted, or
	// until all traffic was back on stable.
	Seconds float64 `json:"seconds"`
	// Weights that the routing gave the released revision, in order, as observed in
	// the VirtualService: an entry a change.
	Weights []int32 `json:"weights"`
	// Requests and Failed count by revision, from the push until the pods of the
	// losing revision were gone.
	Requests map[string]int64 `json:"requests"`
	Failed   map[string]int64 `json:"failed"`
	// Lost counts the failures that no version was told to produce.
	Lost int64 `json:"lost"`
	// Versions are the image tags of the revisions.
	Versions map[string]string `json:"versions"`
	// SecondsPromoted from its promotion until it was taken back.
	SecondsPromoted *float64 `json:"secondsPromoted,omitempty"`
	// SecondsToRollback from the first bad sample that Prometheus served, or from when
	// the alert began to fire, to weight 0 in the VirtualService; only for a release
	// that was aborted or rolled back.
	SecondsToRollback *float64 `json:"secondsToRollback,omitempty"`
}

// Encode returns the report as indented JSON, with times to the millisecond.
func (d Demo) Encode() ([]byte, error) {
	for _, r := range []*Release{&d.Good, &d.Bad, &d.Late} {
		r.Seconds = milliseconds(r.Seconds)
		for _, s := range []**float64{&r.SecondsToRollback, &r.SecondsPromoted} {
			if *s != nil {
				rounded := milliseconds(**s)
				*s = &rounded
			}
		}
		if r.Weights == nil {
			r.Weights = []int32{}
		}
	}
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // conditions such as "value <= 0.05" stay readable
	if err := encoder.Encode(d); err != nil {
		return nil, fmt.Errorf("encoding the report: %w", err)
	}
	return content.Bytes(), nil
}

func milliseconds(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// GoodProblems says what is wrong with a release that was to be promoted over the
// given weights; nothing when all is as it should be.
func (r Release) GoodProblems(weights []int32) []string {
	var problems []string
	if r.Outcome != Promoted {
		problems = append(problems, fmt.Sprintf("the good version was not promoted but %s", r.ended()))
	}
	if !slices.Equal(r.Weights, weights) {
		problems = append(problems, fmt.Sprintf("the good version got the weights %v, not %v", r.Weights, weights))
	}
	for _, revision := range slices.Sorted(maps.Keys(r.Failed)) {
		if r.Failed[revision] > 0 {
			problems = append(problems, fmt.Sprintf("%d requests of revision %s failed during the good release",
				r.Failed[revision], r.name(revision)))
		}
	}
	if r.Requests[r.Revision] == 0 {
		problems = append(problems, "the good version got no request")
	}
	return problems
}

// BadProblems says what is wrong with a release that was to be aborted by its
// analysis; nothing when all is as it should be.
func (r Release) BadProblems(analysisFailed string) []string {
	var problems []string
	if r.Outcome != Aborted || r.Reason != analysisFailed {
		problems = append(problems, fmt.Sprintf("the bad version was not aborted by its analysis but %s", r.ended()))
	}
	if len(r.Weights) == 0 || r.Weights[len(r.Weights)-1] != 0 {
		problems = append(problems, fmt.Sprintf("the bad version got the weights %v, which do not end with 0", r.Weights))
	}
	if r.SecondsToRollback == nil {
		problems = append(problems, "Prometheus served no bad sample before the rollback")
	}
	return append(problems, r.failures()...)
}

// LateProblems says what is wrong with a release that was to be promoted over the given
// weights and then taken back by an alert; nothing when all is as it should be.
func (r Release) LateProblems(weights []int32, alertFiring string) []string {
	var problems []string
	if r.Outcome != RolledBack || r.Reason != alertFiring {
		problems = append(problems, fmt.Sprintf("the version that turned bad was not rolled back by an alert but %s", r.ended()))
	}
	if !slices.Equal(r.Weights, append(slices.Clone(weights), 0)) {
		problems = append(problems, fmt.Sprintf("the version that turned bad got the weights %v, not %v and then 0", r.Weights, weights))
	}
	if r.SecondsToRollback == nil {
		problems = append(problems, "no alert was seen before the rollback")
	}
	return append(problems, r.failures()...)
}

// failures says which requests of a bad release failed that should not have, or that
// none did.
func (r Release) failures() []string {
	var problems []string
	if r.Lost > 0 {
		problems = append(problems, fmt.Sprintf("%d requests were lost on the way during the bad release", r.Lost))
	}
	for _, revision := range slices.Sorted(maps.Keys(r.Failed)) {
		if revision != r.Revision && r.Failed[revision] > 0 {
			problems = append(problems, fmt.Sprintf("%d requests of revision %s failed, which was not the bad one",
				r.Failed[revision], r.name(revision)))
		}
	}
	if r.Failed[r.Revision] == 0 {
		problems = append(problems, "no request of the bad version failed: nothing was shown")
	}
	return problems
}

func (r Release) ended() string {
	if r.Outcome == "" {
		return "came to no end"
	}
	return fmt.Sprintf("%s (%s: %s)", r.outcome(), r.Reason, r.Message)
}

// outcome is for people.
func (r Release) outcome() string {
	if r.Outcome == RolledBack {
		return "rolled back"
	}
	return strings.ToLower(r.Outcome)
}

func (r Release) name(revision string) string {
	if v := r.Versions[revision]; v != "" {
		return v + " (" + revision + ")"
	}
	return revision
}

// Summary tells what came of the releases in a few lines.
func (d Demo) Summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "good  %-14s %s in %.1f s over %s: %d requests, %d lost\n",
		d.Good.version(), d.Good.outcome(), d.Good.Seconds, percentages(d.Good.Weights),
		sum(d.Good.Requests), d.Good.Lost)
	fmt.Fprintf(&b, "bad   %-14s %s in %.1f s over %s: %d requests, %d failed, all of them its own; %d lost\n",
		d.Bad.version(), d.Bad.outcome(), d.Bad.Seconds, percentages(d.Bad.Weights),
		sum(d.Bad.Requests), sum(d.Bad.Failed), d.Bad.Lost)
	if s := d.Bad.SecondsToRollback; s != nil {
		fmt.Fprintf(&b, "      %.2f s from the first bad sample in Prometheus to weight 0\n", *s)
	}
	fmt.Fprintf(&b, "late  %-14s %s in %.1f s over %s: %d requests, %d failed, all of them its own; %d lost\n",
		d.Late.version(), d.Late.outcome(), d.Late.Seconds, percentages(d.Late.Weights),
		sum(d.Late.Requests), sum(d.Late.Failed), d.Late.Lost)
	if promoted, reaction := d.Late.SecondsPromoted, d.Late.SecondsToRollback; promoted != nil && reaction != nil {
		fmt.Fprintf(&b, "      %.1f s after its promotion; %.2f s from the alert to weight 0\n", *promoted, *reaction)
	}
	return b.String()
}

func (r Release) version() string {
	if v := r.Versions[r.Revision]; v != "" {
		return v
	}
	return r.Revision
}

func percentages(weights []int32) string {
	parts := make([]string, len(weights))
	for i, w := range weights {
		parts[i] = fmt.Sprintf("%d%%", w)
	}
	return strings.Join(parts, " → ")
}

func sum(counts map[string]int64) int64 {
	var total int64
	for _, n := range counts {
		total += n
	}
	return total
}

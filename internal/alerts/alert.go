package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Alert is one alert of one source.
type Alert struct {
	Labels map[string]string
	// Fingerprint tells the alert apart from others by its labels.
	Fingerprint string
	// StartsAt is when it began to fire, and Firing whether it still does.
	StartsAt time.Time
	Firing   bool
	// Lingering is true of one that is missing from the latest answer, and not for long
	// enough to be over: Alertmanager forgets alerts when it starts, and Prometheus tells
	// it of them again in its own time.
	Lingering bool
}

// maxDescription is how much of an alert is shown.
const maxDescription = 320

// describe names an alert by its labels, for people.
func (a *Alert) describe() string {
	labels := make([]string, 0, len(a.Labels))
	for name, value := range a.Labels {
		if name != model.AlertNameLabel {
			labels = append(labels, fmt.Sprintf("%s=%q", name, value))
		}
	}
	slices.Sort(labels)
	text := fmt.Sprintf("alert %s{%s}", a.Labels[model.AlertNameLabel], strings.Join(labels, ", "))
	return shorten(text, maxDescription)
}

// fingerprint is what Alertmanager calls an alert with these labels.
func fingerprint(labels map[string]string) string {
	set := make(model.LabelSet, len(labels))
	for name, value := range labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set.Fingerprint().String()
}

// shorten cuts a text to at most so many bytes.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-3], "") + "..."
}

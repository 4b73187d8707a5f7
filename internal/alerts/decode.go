package alerts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

const (
	// maxAlerts is how many alerts one message may have, and maxLabels how many labels
	// one alert.
	maxAlerts = 5000
	maxLabels = 128
	// maxLabelBytes is how many bytes names and values of one alert's labels may have.
	maxLabelBytes = 16 << 10
	// earliest is before any alert that is not a mistake.
	earliest = 2020
)

var fingerprintForm = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)

// message is what is read of Alertmanager's webhook, version 4. Fields that are not
// known are ignored: later versions add some.
type message struct {
	Version         string   `json:"version"`
	TruncatedAlerts int      `json:"truncatedAlerts"`
	Alerts          elements `json:"alerts"`
}

// errTooMany says that a list is longer than is looked at.
var errTooMany = errors.New("more alerts than are looked at")

// elements are those of a list, each to be read by itself: one that makes no sense
// keeps none of the others from being taken.
type elements []json.RawMessage

// UnmarshalJSON implements json.Unmarshaler. It stops at what is too much, so that a
// long list of next to nothing takes no memory.
func (e *elements) UnmarshalJSON(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	start, err := decoder.Token()
	if err != nil || start == nil {
		return err
	}
	if start != json.Delim('[') {
		return errors.New("alerts are no list")
	}
	for decoder.More() {
		if len(*e) == maxAlerts {
			return errTooMany
		}
		var one json.RawMessage
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		*e = append(*e, one)
	}
	return nil
}

type messageAlert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// notification is one message of Alertmanager.
type notification struct {
	alerts []Alert
	// dropped were not readable; truncated were left out by Alertmanager.
	dropped, truncated int
}

// decodeMessage reads a webhook's body. Each alert's own status counts: a group's
// says that any of them fires. An alert that makes no sense is dropped, and keeps
// none of the others from being taken.
func decodeMessage(body []byte, now time.Time) (notification, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return notification{}, errUnreadable
	}
	if m.Version != "4" {
		return notification{}, errors.New("the message is not one of version 4")
	}
	n := notification{truncated: max(0, m.TruncatedAlerts)}
	for _, raw := range m.Alerts {
		var a messageAlert
		if json.Unmarshal(raw, &a) != nil || a.Status != "firing" && a.Status != "resolved" {
			n.dropped++
			continue
		}
		firing := a.Status == "firing" && (a.EndsAt.Year() < earliest || a.EndsAt.After(now))
		alert, ok := newAlert(a.Labels, a.Fingerprint, a.StartsAt, firing)
		if !ok {
			n.dropped++
			continue
		}
		n.alerts = append(n.alerts, alert)
	}
	return n, nil
}

// errUnreadable says nothing of what was sent: it gets into logs and conditions.
var errUnreadable = errors.New("the answer is not one of Alertmanager's")

// listedAlert is what is read of one of GET /api/v2/alerts.
type listedAlert struct {
	Labels      map[string]string `json:"labels"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
	Status      struct {
		State       string   `json:"state"`
		SilencedBy  []string `json:"silencedBy"`
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
}

// decodeList reads Alertmanager's list of alerts. Those that are silenced or
// inhibited are left out, should a server not have done so.
func decodeList(body []byte, now time.Time) ([]Alert, error) {
	var list elements
	if err := json.Unmarshal(body, &list); err != nil {
		if errors.Is(err, errTooMany) {
			return nil, fmt.Errorf("Alertmanager has more than %d alerts", maxAlerts)
		}
		return nil, errUnreadable
	}
	var alerts []Alert
	for _, raw := range list {
		var a listedAlert
		if json.Unmarshal(raw, &a) != nil {
			received.WithLabelValues("dropped").Inc()
			continue
		}
		suppressed := a.Status.State != "active" || len(a.Status.SilencedBy)+len(a.Status.InhibitedBy) > 0
		if suppressed || a.EndsAt.Year() >= earliest && !a.EndsAt.After(now) {
			continue
		}
		if alert, ok := newAlert(a.Labels, a.Fingerprint, a.StartsAt, true); ok {
			alerts = append(alerts, alert)
		}
	}
	return alerts, nil
}

func newAlert(labels map[string]string, id string, starts time.Time, firing bool) (Alert, bool) {
	size := 0
	for name, value := range labels {
		size += len(name) + len(value)
	}
	if len(labels) == 0 || len(labels) > maxLabels || size > maxLabelBytes || starts.Year() < earliest || starts.Year() > 9999 {
		return Alert{}, false
	}
	if !fingerprintForm.MatchString(id) {
		id = fingerprint(labels)
	}
	return Alert{Labels: labels, Fingerprint: id, StartsAt: starts.UTC().Truncate(time.Microsecond), Firing: firing}, true
}

package notify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Reason is a fixed word for what became of a notification, or keeps a Notifier from
// being used. It labels metrics; reasons are never renamed.
type Reason string

// Reasons for which a Notifier cannot be used; they are reasons of its condition
// Ready, too.
const (
	ReasonSelectorInvalid  Reason = v1alpha1.ReasonSelectorInvalid
	ReasonTemplateInvalid  Reason = v1alpha1.ReasonTemplateInvalid
	ReasonAddressInvalid   Reason = v1alpha1.ReasonAddressInvalid
	ReasonAuthorityInvalid Reason = v1alpha1.ReasonAuthorityInvalid
	ReasonSecretMissing    Reason = v1alpha1.ReasonNotifierSecretMissing
	ReasonSecretForbidden  Reason = v1alpha1.ReasonNotifierSecretForbidden
	ReasonSecretUnreadable Reason = v1alpha1.ReasonNotifierSecretUnreadable
)

// What else becomes of a notification.
const (
	// ReasonSent: the server took it.
	ReasonSent Reason = "Sent"
	// ReasonDropped: it was the oldest in a full queue.
	ReasonDropped Reason = "Dropped"
	// ReasonLost: this process stopped to be the leader before it was sent.
	ReasonLost Reason = "Lost"
	// ReasonNotifierMissing: the Notifier went away, or Notifiers could not be read.
	ReasonNotifierMissing Reason = "NotifierMissing"
	// ReasonTimeout: no answer in time.
	ReasonTimeout Reason = "Timeout"
	// ReasonRefused: the server refused it (4xx).
	ReasonRefused Reason = "Refused"
	// ReasonUnauthorized: the server refused the credentials (401 and 403).
	ReasonUnauthorized Reason = "Unauthorized"
	// ReasonRateLimited: the server wants fewer (429).
	ReasonRateLimited Reason = "RateLimited"
	// ReasonRedirected: the server pointed elsewhere (3xx); redirects are not
	// followed.
	ReasonRedirected Reason = "Redirected"
	// ReasonUnavailable: the server could not be reached or failed (5xx).
	ReasonUnavailable Reason = "Unavailable"
	// ReasonAddressRefused: the address resolves to one that must not be asked.
	ReasonAddressRefused Reason = "AddressRefused"
	// ReasonFailed: sending it failed in a way that should not be possible.
	ReasonFailed Reason = "Failed"
)

// sentences say in words what is wrong.
var sentences = map[Reason]string{
	ReasonSelectorInvalid:  "the selector is not valid",
	ReasonTemplateInvalid:  "a template cannot be used",
	ReasonAddressInvalid:   "the address is not an http or https URL",
	ReasonAuthorityInvalid: "the bundle of authorities has no certificate",
	ReasonSecretMissing:    "a Secret that the notifier names, or its key, does not exist",
	ReasonSecretForbidden:  "the operator may not read a Secret that the notifier names",
	ReasonSecretUnreadable: "a Secret that the notifier names could not be read just now",
	ReasonNotifierMissing:  "the notifier does not exist",
	ReasonTimeout:          "the server did not answer in time",
	ReasonRefused:          "the server refused the notification",
	ReasonUnauthorized:     "the server refused the credentials",
	ReasonRateLimited:      "the server wants fewer notifications",
	ReasonRedirected:       "the server answered with a redirect, which is not followed",
	ReasonUnavailable:      "the server could not be reached or failed",
	ReasonAddressRefused:   "the address is one that must not be asked",
}

// passing are reasons that may be gone a moment later.
var passing = []Reason{
	ReasonSecretMissing, ReasonSecretForbidden, ReasonSecretUnreadable,
	ReasonTimeout, ReasonRateLimited, ReasonUnavailable,
}

// Error tells why a notification was not sent. It has no room for anything that a
// server sent, nor for an address.
type Error struct {
	// Reason is one of the constants.
	Reason Reason
	// Status is the HTTP status, or 0.
	Status int
	// Detail says more about a spec, in words; nothing that is in a Secret gets into it.
	Detail string
	// RetryAfter is how long the server wants to be left alone, or 0.
	RetryAfter time.Duration
}

// Error says it in words.
func (e *Error) Error() string {
	text, ok := sentences[e.Reason]
	switch {
	case e.Detail != "":
		return e.Detail
	case !ok:
		text = "sending failed"
	}
	if e.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	return text
}

// ReasonOf returns the reason of the *Error in an error's chain.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ReasonFailed
}

// IsPassing tells whether another attempt may do better.
func IsPassing(err error) bool { return slices.Contains(passing, ReasonOf(err)) }

func retryAfterOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

package notify

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/internal/egress"
)

const (
	// postTimeout is how long a server may take for one attempt.
	postTimeout = 10 * time.Second
	// maxRetryAfter is how long a server may ask to be left alone.
	maxRetryAfter = 2 * time.Minute
)

// Target is where to send, and how to sign in there.
type Target struct {
	// Address is an http or https URL.
	Address analysis.Secret
	// Bearer is a bearer token; nothing when it is empty.
	Bearer analysis.Secret
	// CA is a bundle of PEM certificates to trust instead of the system's.
	CA []byte
}

// Check tells whether something can be sent to the target, without connecting. The
// error is an *Error.
func (t Target) Check() error {
	u, err := url.Parse(t.Address.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return &Error{Reason: ReasonAddressInvalid}
	}
	if _, err := egress.NewTransport(t.CA, egress.Options{}); err != nil {
		return &Error{Reason: ReasonAuthorityInvalid}
	}
	return nil
}

// HTTP posts messages. It is safe for concurrent use.
type HTTP struct {
	// Egress says where connections may go.
	Egress egress.Options
	// Timeout of one attempt. Default 10s.
	Timeout time.Duration
}

// Post makes one attempt. The error is an *Error, or ctx's where ctx was cancelled.
func (h HTTP) Post(ctx context.Context, to Target, m Message) error {
	if err := to.Check(); err != nil {
		return err
	}
	transport, err := egress.NewTransport(to.CA, h.Egress)
	if err != nil {
		return &Error{Reason: ReasonAuthorityInvalid}
	}
	// Messages are rare: no connection waits for the next one.
	transport.DisableKeepAlives = true
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = postTimeout
	}
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodPost, to.Address.Reveal(), bytes.NewReader(m.Body))
	if err != nil {
		return &Error{Reason: ReasonAddressInvalid}
	}
	req.Header.Set("Content-Type", m.ContentType)
	req.Header.Set("User-Agent", "sluice")
	if to.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+to.Bearer.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		return classify(ctx, err)
	}
	_ = resp.Body.Close() // Nothing of it is read, however much it is.
	return judge(resp, time.Now())
}

// classify turns whatever went wrong into a fixed reason. Nothing of the original
// error is kept: it has the address.
func classify(ctx context.Context, err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, egress.ErrAddressRefused):
		return &Error{Reason: ReasonAddressRefused}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Reason: ReasonTimeout}
	default:
		return &Error{Reason: ReasonUnavailable}
	}
}

// judge says what a status means.
func judge(resp *http.Response, now time.Time) error {
	e := &Error{Status: resp.StatusCode}
	switch status := resp.StatusCode; {
	case status/100 == 2:
		return nil
	case status == http.StatusTooManyRequests:
		e.Reason, e.RetryAfter = ReasonRateLimited, retryAfter(resp.Header, now)
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		e.Reason = ReasonTimeout
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e.Reason = ReasonUnauthorized
	case status/100 == 3:
		e.Reason = ReasonRedirected
	case status/100 == 4:
		e.Reason = ReasonRefused
	default:
		e.Reason, e.RetryAfter = ReasonUnavailable, retryAfter(resp.Header, now)
	}
	return e
}

// retryAfter reads seconds or a moment, within bounds.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	var d time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

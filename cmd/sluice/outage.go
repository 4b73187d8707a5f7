package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// outageTime is for how long the API server must have been out of reach for others to
// have lost it too: shorter breaks are a connection that is opened anew.
const outageTime = 5 * time.Second

// contact notes how the API server is reached, over all requests of this process. The
// lease is asked for all the time, so that it knows within a second or two.
//
// Whoever programs proxies takes their own time to find back to an API server that
// was away: a minute or two, by the backoff of their watches. Until recovery has
// passed since its return, proxies may be behind whatever the routing objects say.
type contact struct {
	clock    clock.PassiveClock
	recovery time.Duration

	mu sync.Mutex
	// failing is since when no request was answered; zero while they are.
	failing time.Time
	// back is when an outage ended last.
	back time.Time
}

// wrap makes a transport tell of its requests.
func (c *contact) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		c.note(err)
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// note takes in what became of a request. One that was given up says nothing.
func (c *contact) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	switch {
	case err != nil && c.failing.IsZero():
		c.failing = now
	case err == nil && !c.failing.IsZero():
		if now.Sub(c.failing) >= outageTime {
			c.back = now
		}
		c.failing = time.Time{}
	}
}

// unsettledUntil is until when proxies may be behind, or zero.
func (c *contact) unsettledUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back.IsZero() {
		return time.Time{}
	}
	return c.back.Add(c.recovery)
}

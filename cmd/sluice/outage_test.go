package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestContact(t *testing.T) {
	refused := errors.New("connection refused")
	start := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	type request struct {
		after time.Duration
		err   error
	}
	for name, tc := range map[string]struct {
		requests []request
		want     time.Duration // after start; 0 for never
	}{
		"nothing happens":        {},
		"all is well":            {requests: []request{{time.Second, nil}, {time.Second, nil}}},
		"a break":                {requests: []request{{time.Second, refused}, {4 * time.Second, nil}}},
		"an outage":              {requests: []request{{time.Second, refused}, {time.Second, refused}, {time.Minute, nil}}, want: 62*time.Second + 2*time.Minute},
		"an outage that goes on": {requests: []request{{time.Second, refused}, {time.Minute, refused}}},
		"a timeout": {
			requests: []request{{time.Second, context.DeadlineExceeded}, {10 * time.Second, nil}},
			want:     11*time.Second + 2*time.Minute,
		},
		"requests that were given up": {requests: []request{{time.Second, context.Canceled}, {10 * time.Second, nil}}},
		"two outages": {
			requests: []request{{0, refused}, {time.Minute, nil}, {time.Hour, refused}, {time.Minute, nil}},
			want:     time.Hour + 2*time.Minute + 2*time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(start)
			c := &contact{clock: clock, recovery: 2 * time.Minute}
			var answer error
			transport := c.wrap(roundTripper(func(*http.Request) (*http.Response, error) { return nil, answer }))
			for _, r := range tc.requests {
				clock.SetTime(clock.Now().Add(r.after))
				answer = r.err
				if _, err := transport.RoundTrip(nil); !errors.Is(err, r.err) {
					t.Fatalf("RoundTrip = %v", err)
				}
			}
			want := time.Time{}
			if tc.want > 0 {
				want = start.Add(tc.want)
			}
			if got := c.unsettledUntil(); !got.Equal(want) {
				t.Errorf("unsettled until %s, want %s", got, want)
			}
		})
	}
}

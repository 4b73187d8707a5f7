package localcluster

import (
	"context"
	"sync"
	"time"
)

// maxLag is how far behind its schedule a pacer may fall before it gives up
// on catching up: a burst after a stall would be no steady rate.
const maxLag = 100 * time.Millisecond

// pacer hands out permits at a steady rate, to whichever worker is free.
type pacer struct {
	permits chan struct{}

	mu      sync.Mutex
	rate    float64
	changed chan struct{} // closed and replaced at every change of rate
}

func newPacer(rate float64) *pacer {
	return &pacer{permits: make(chan struct{}), rate: rate, changed: make(chan struct{})}
}

// set changes the rate, in permits per second; none at 0 and below.
func (p *pacer) set(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pacer) current() (rate float64, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate, p.changed
}

// run hands out permits until ctx is done.
func (p *pacer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		rate, changed := p.current()
		var due <-chan time.Time // never, while the rate is 0
		if rate > 0 {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			next = time.Now()
			continue
		case <-due:
		}
		select {
		case <-ctx.Done():
			return
		case p.permits <- struct{}{}:
		}
		next = next.Add(time.Duration(float64(time.Second) / rate))
		if now := time.Now(); next.Before(now.Add(-maxLag)) {
			next = now
		}
	}
}

// wait returns true with a permit and false when ctx is done.
func (p *pacer) wait(ctx context.Context) bool {
	select {
	case <-p.permits:
		return true
	case <-ctx.Done():
		return false
	}
}

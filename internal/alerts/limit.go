package alerts

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// perSecond and burst are how many requests one address may send.
	perSecond = 50
	burst     = 200
	// maxSources is how many addresses are told apart.
	maxSources = 1024
	// maxInFlight is how many requests are worked on at a time.
	maxInFlight = 8
)

// limiter keeps one sender from taking all there is, before anybody is asked who it
// is.
type limiter struct {
	clock    clock.PassiveClock
	inFlight chan struct{}

	mu      sync.Mutex
	sources map[string]*source
}

type source struct {
	bucket *rate.Limiter
	used   time.Time
}

func newLimiter(c clock.PassiveClock) *limiter {
	return &limiter{clock: c, inFlight: make(chan struct{}, maxInFlight), sources: map[string]*source{}}
}

// enter reports whether a request may be worked on; leave must follow if so.
func (l *limiter) enter(r *http.Request) bool {
	if !l.bucket(addressOf(r)).AllowN(l.clock.Now(), 1) {
		return false
	}
	select {
	case l.inFlight <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *limiter) leave() { <-l.inFlight }

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (l *limiter) bucket(address string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sources[address]
	if s == nil {
		if len(l.sources) >= maxSources {
			l.evict()
		}
		s = &source{bucket: rate.NewLimiter(perSecond, burst)}
		l.sources[address] = s
	}
	s.used = l.clock.Now()
	return s.bucket
}

// evict drops the address that was silent for longest.
func (l *limiter) evict() {
	oldest := ""
	for address, s := range l.sources {
		if oldest == "" || s.used.Before(l.sources[oldest].used) {
			oldest = address
		}
	}
	delete(l.sources, oldest)
}

package localcluster

import (
	"math/rand/v2"
	"sync"
	"time"
)

// slowdown is by how much a part of all answers is later.
type slowdown struct {
	by    time.Duration
	share float64
}

// slowdowns are those of each namespace.
type slowdowns struct {
	mu sync.RWMutex
	in map[string]slowdown
}

func (s *slowdowns) set(namespace string, d slowdown) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in == nil {
		s.in = map[string]slowdown{}
	}
	s.in[namespace] = d
}

// draw is by how much the next answer is later.
func (s *slowdowns) draw(namespace string) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d := s.in[namespace]; d.by > 0 && rand.Float64() < d.share {
		return d.by
	}
	return 0
}

// SlowDown has a share of the answers, 0..1, of all pods of a namespace come so much
// later from now on, whatever their version: as when a database is slow that all of
// them use. Zero ends it.
func (c *Cluster) SlowDown(namespace string, by time.Duration, share float64) {
	c.pods.slow.set(namespace, slowdown{by, share})
}

package localcluster

import (
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// UnknownRevision stands for requests that never reached a pod.
const UnknownRevision = "unknown"

// maxLosses bounds how many lost requests are kept with their details.
const maxLosses = 100

// RevisionStats counts one revision's requests.
type RevisionStats struct {
	Version  string // image tag of the pod that answered last
	Requests int64
	Injected int64 // failures that the version was told to produce
	Lost     int64 // any other failure
	// Latency is the sum over all requests; Buckets counts them by
	// LatencyBounds, not cumulated, the last one without a bound.
	Latency time.Duration
	Buckets []int64
}

// Failed counts all failures.
func (s RevisionStats) Failed() int64 { return s.Injected + s.Lost }

// Mean returns the mean latency, 0 without requests.
func (s RevisionStats) Mean() time.Duration {
	if s.Requests == 0 {
		return 0
	}
	return s.Latency / time.Duration(s.Requests)
}

// LatencyBounds returns the upper bounds of RevisionStats.Buckets.
func LatencyBounds() []time.Duration {
	var bounds []time.Duration
	for _, ms := range latencyBuckets() {
		bounds = append(bounds, time.Duration(ms*float64(time.Millisecond)))
	}
	return bounds
}

// TrafficSnapshot is what a client has seen since it started.
type TrafficSnapshot struct {
	At        time.Time
	Revisions map[string]RevisionStats // by the pods' pod-template-hash
}

// Total sums over all revisions; Version and Buckets stay empty.
func (s TrafficSnapshot) Total() RevisionStats {
	var total RevisionStats
	for _, r := range s.Revisions {
		total.Requests += r.Requests
		total.Injected += r.Injected
		total.Lost += r.Lost
		total.Latency += r.Latency
	}
	return total
}

// Lost counts all requests that failed without the app being told to.
func (s TrafficSnapshot) Lost() int64 { return s.Total().Lost }

// ByVersion sums over the revisions whose image tag is version.
func (s TrafficSnapshot) ByVersion(version string) RevisionStats {
	sum := RevisionStats{Version: version}
	for _, r := range s.Revisions {
		if r.Version == version {
			sum.Requests += r.Requests
			sum.Injected += r.Injected
			sum.Lost += r.Lost
			sum.Latency += r.Latency
		}
	}
	return sum
}

// Window counts the requests that ended in a span of time.
type Window struct {
	From, To  time.Time
	Requests  int64
	Failed    int64
	Revisions map[string]int64 // requests by revision
	// Truncated says that the span began before what is remembered.
	Truncated bool
}

// Share returns the share of the window's requests that one revision got,
// 0..1; 0 for an empty window.
func (w Window) Share(revision string) float64 {
	if w.Requests == 0 {
		return 0
	}
	return float64(w.Revisions[revision]) / float64(w.Requests)
}

// Loss is one request that failed without the app being told to.
type Loss struct {
	At       time.Time
	Took     time.Duration
	Revision string // UnknownRevision when it reached no pod
	Pod      string
	Code     codes.Code
	Message  string
}

// outcome is how one call went.
type outcome struct {
	at       time.Time // when it ended
	took     time.Duration
	code     codes.Code
	message  string
	reached  bool // a pod answered
	injected bool
	http     bool // called by HTTP, and not by gRPC
	status   int  // of the answer by HTTP, 0 without one

	revision, pod, version, workload, namespace string
	canonicalService, canonicalRevision         string
}

// lost tells failures of the way from failures of the app.
func (o outcome) lost() bool { return o.code != codes.OK && !o.injected }

// identify fills in who answered, from the trailers or headers of the answer.
func (o *outcome) identify(answer func(key string) string) {
	get := func(key string) string {
		if v := answer(key); v != "" {
			return v
		}
		return UnknownRevision
	}
	o.reached = answer(TrailerPod) != ""
	o.injected = get(TrailerInjected) == "true"
	o.revision, o.pod, o.version = get(TrailerRevision), get(TrailerPod), get(TrailerVersion)
	o.workload, o.namespace = get(TrailerWorkload), get(TrailerNamespace)
	o.canonicalService, o.canonicalRevision = get(TrailerCanonicalService), get(TrailerCanonicalRevision)
}

// recentCall is one entry of the ring.
type recentCall struct {
	at       int64 // unix nanoseconds
	revision int32 // index into names
	failed   bool
}

// trafficStats keeps totals for ever and the last calls in a ring.
type trafficStats struct {
	mu     sync.Mutex
	stats  map[string]*RevisionStats
	names  []string
	index  map[string]int32
	ring   []recentCall // in the order in which calls ended, nearly
	next   int
	gone   int64 // latest end among the calls that the ring no longer holds
	losses []Loss
	bounds []time.Duration
}

func newTrafficStats(capacity int) *trafficStats {
	return &trafficStats{
		stats: map[string]*RevisionStats{}, index: map[string]int32{},
		ring: make([]recentCall, 0, capacity), bounds: LatencyBounds(),
	}
}

func (t *trafficStats) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.stats[o.revision]
	if !ok {
		s = &RevisionStats{Buckets: make([]int64, len(t.bounds)+1)}
		t.stats[o.revision] = s
		t.index[o.revision] = int32(len(t.names))
		t.names = append(t.names, o.revision)
	}
	s.Version = o.version
	s.Requests++
	s.Latency += o.took
	s.Buckets[sort.Search(len(t.bounds), func(i int) bool { return o.took <= t.bounds[i] })]++
	switch {
	case o.lost():
		s.Lost++
		if len(t.losses) < maxLosses {
			t.losses = append(t.losses, Loss{
				At: o.at, Took: o.took, Revision: o.revision, Pod: o.pod, Code: o.code, Message: o.message,
			})
		}
	case o.injected:
		s.Injected++
	}
	call := recentCall{at: o.at.UnixNano(), revision: t.index[o.revision], failed: o.code != codes.OK}
	if len(t.ring) < cap(t.ring) {
		t.ring = append(t.ring, call)
		return
	}
	t.gone = max(t.gone, t.ring[t.next].at)
	t.ring[t.next] = call
	t.next = (t.next + 1) % len(t.ring)
}

func (t *trafficStats) snapshot(now time.Time) TrafficSnapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := TrafficSnapshot{At: now, Revisions: make(map[string]RevisionStats, len(t.stats))}
	for name, r := range t.stats {
		stats := *r
		stats.Buckets = append([]int64(nil), r.Buckets...)
		s.Revisions[name] = stats
	}
	return s
}

func (t *trafficStats) window(from, to time.Time) Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, last := from.UnixNano(), to.UnixNano()
	w := Window{From: from, To: to, Revisions: map[string]int64{}, Truncated: t.gone > first}
	for _, call := range t.ring {
		if call.at <= first || call.at > last {
			continue
		}
		w.Requests++
		w.Revisions[t.names[call.revision]]++
		if call.failed {
			w.Failed++
		}
	}
	return w
}

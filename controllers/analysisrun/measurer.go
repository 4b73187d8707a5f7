package analysisrun

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-dev/sluice/analysis"
)

// task is one metric of one run that is to be measured at a time.
type task struct {
	analysis.Measurement
	namespace string
}

// state of an entry.
type state int

const (
	stateWaiting  state = iota // until it is due
	stateQueued                // until its provider has room
	stateRunning               // being measured
	stateAnswered              // until the answer was written
)

// entry is a task on its way.
type entry struct {
	task
	run    types.NamespacedName
	state  state
	index  int // in the heap, while waiting
	cancel context.CancelFunc
	result analysis.Result
}

// runEntries are the entries of one run, by metric.
type runEntries struct {
	uid     types.UID
	entries map[string]*entry
}

// limits of a Measurer.
type limits struct {
	// workers is how many queries run at a time.
	workers int
	// perProvider is how many of them may ask one provider.
	perProvider int
}

// Measurer measures metrics when they are due. At most so many queries run at a
// time, and at most so many of them ask one provider: one that stalls delays only
// those who ask it. While a provider times out, a single query at a time tries it.
type Measurer struct {
	clock     clock.Clock
	providers *Providers
	limits    limits
	wake      chan struct{}
	workers   sync.WaitGroup

	mu      sync.Mutex
	notify  func(types.NamespacedName)
	runs    map[types.NamespacedName]*runEntries
	waiting dueHeap
	queues  map[providerKey]*queue
	order   []providerKey
	running int
}

// queue holds the entries that wait for one provider.
type queue struct {
	entries []*entry
	running int
	limit   int
}

func newMeasurer(c clock.Clock, p *Providers, l limits) *Measurer {
	return &Measurer{
		clock: c, providers: p, limits: l,
		wake:   make(chan struct{}, 1),
		runs:   map[types.NamespacedName]*runEntries{},
		queues: map[providerKey]*queue{},
	}
}

// NeedLeaderElection is true: only the leader measures.
func (*Measurer) NeedLeaderElection() bool { return true }

// Start measures until the context ends, and returns when no query is left.
func (m *Measurer) Start(ctx context.Context) error {
	defer m.workers.Wait()
	timer := m.clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, ok := m.dispatch(ctx); ok {
			timer.Reset(next.Sub(m.clock.Now()))
			if !m.clock.Now().Before(next) {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C():
		}
	}
}

// dispatch queues what is due and returns when the next one will be.
func (m *Measurer) dispatch(ctx context.Context) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	for len(m.waiting) > 0 && !m.waiting[0].Due.After(now) {
		m.enqueue(heap.Pop(&m.waiting).(*entry))
	}
	m.startQueued(ctx)
	if len(m.waiting) == 0 {
		return time.Time{}, false
	}
	return m.waiting[0].Due, true
}

func (m *Measurer) enqueue(e *entry) {
	key := keyOf(e.namespace, e.Metric.Provider)
	q := m.queues[key]
	if q == nil {
		q = &queue{limit: m.limits.perProvider}
		m.queues[key] = q
		m.order = append(m.order, key)
	}
	e.state = stateQueued
	q.entries = append(q.entries, e)
}

// startQueued starts as many queries as the limits allow, one provider after the
// other, unless the context has ended.
func (m *Measurer) startQueued(ctx context.Context) {
	for idle := 0; ctx.Err() == nil && idle < len(m.order) && m.running < m.limits.workers; {
		key := m.order[0]
		m.order = append(m.order[1:], key)
		q := m.queues[key]
		if len(q.entries) == 0 || q.running >= q.limit {
			idle++
			continue
		}
		idle = 0
		e := q.entries[0]
		q.entries = q.entries[1:]
		q.running++
		m.running++
		e.state = stateRunning
		var query context.Context
		query, e.cancel = context.WithCancel(ctx)
		m.workers.Go(func() {
			result, err := m.measure(query, e.task)
			m.finish(ctx, e, result, err)
		})
	}
}

// finish gives room back, has the answer kept unless nobody waits for it any more,
// and starts what waited.
func (m *Measurer) finish(ctx context.Context, e *entry, result analysis.Result, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.cancel()
	m.running--
	m.release(keyOf(e.namespace, e.Metric.Provider), result)
	if m.current(e) && ctx.Err() == nil {
		m.settle(e, result, err)
	}
	m.startQueued(ctx)
}

// settle keeps the answer, or gives the entry up where nothing was measured, and
// has the run reconciled.
func (m *Measurer) settle(e *entry, result analysis.Result, err error) {
	if err != nil {
		delete(m.runs[e.run].entries, e.Metric.Name)
	} else {
		e.state, e.result = stateAnswered, result
	}
	if m.notify != nil {
		m.notify(e.run)
	}
}

// release gives a provider's room back.
func (m *Measurer) release(key providerKey, r analysis.Result) {
	q := m.queues[key]
	q.running--
	switch {
	case analysis.IsTimeout(r.Err):
		q.limit = 1
	case r.Err == nil:
		q.limit = m.limits.perProvider
	}
	m.prune(key)
}

// prune forgets a provider that nobody asks.
func (m *Measurer) prune(key providerKey) {
	if q := m.queues[key]; q.running == 0 && len(q.entries) == 0 {
		delete(m.queues, key)
		m.order = slices.DeleteFunc(m.order, func(k providerKey) bool { return k == key })
	}
}

// measure asks once. The error says that nothing was measured.
func (m *Measurer) measure(ctx context.Context, t task) (analysis.Result, error) {
	at := m.clock.Now()
	r, err := t.Measure(ctx, at, func(ctx context.Context) (analysis.Provider, time.Duration, error) {
		return m.providers.Resolve(ctx, t.namespace, t.Metric.Provider)
	})
	if err != nil || r.Err != nil && analysis.ReasonOf(r.Err) == analysis.ReasonQuery {
		return r, err // Nobody was asked.
	}
	observe(m.clock.Since(at).Seconds(), r.Err)
	if analysis.IsUnauthorized(r.Err) {
		m.providers.Distrust(t.namespace, t.Metric.Provider)
	}
	return r, nil
}

// current tells whether an entry still stands for its metric.
func (m *Measurer) current(e *entry) bool {
	r := m.runs[e.run]
	return r != nil && r.entries[e.Metric.Name] == e
}

// plan says what is to be measured for a run, instead of whatever was planned
// before. What is on its way for the same stay in the step is left alone.
func (m *Measurer) plan(run types.NamespacedName, uid types.UID, tasks []task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runs[run]
	if r != nil && r.uid != uid {
		m.drop(run)
		r = nil
	}
	if r == nil {
		if len(tasks) == 0 {
			return
		}
		r = &runEntries{uid: uid, entries: map[string]*entry{}}
		m.runs[run] = r
	}
	wanted := map[string]bool{}
	for _, t := range tasks {
		wanted[t.Metric.Name] = true
		m.planTask(r, run, t)
	}
	for name, e := range r.entries {
		if !wanted[name] {
			m.remove(e)
			delete(r.entries, name)
		}
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Measurer) planTask(r *runEntries, run types.NamespacedName, t task) {
	old := r.entries[t.Metric.Name]
	if old != nil && old.Since.Equal(t.Since) {
		if old.state == stateWaiting && !old.Due.Equal(t.Due) {
			old.Due = t.Due
			heap.Fix(&m.waiting, old.index)
		}
		return
	}
	if old != nil {
		m.remove(old)
	}
	e := &entry{task: t, run: run}
	r.entries[t.Metric.Name] = e
	heap.Push(&m.waiting, e)
}

// remove takes an entry from wherever it is on its way.
func (m *Measurer) remove(e *entry) {
	switch e.state {
	case stateWaiting:
		heap.Remove(&m.waiting, e.index)
	case stateQueued:
		key := keyOf(e.namespace, e.Metric.Provider)
		q := m.queues[key]
		q.entries = slices.DeleteFunc(q.entries, func(o *entry) bool { return o == e })
		m.prune(key)
	case stateRunning:
		e.cancel()
	case stateAnswered:
	}
}

// answers returns the answers for a run, which stay until they are acknowledged.
func (m *Measurer) answers(run types.NamespacedName, uid types.UID) []analysis.Answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runs[run]
	if r == nil || r.uid != uid {
		return nil
	}
	var all []analysis.Answer
	for name, e := range r.entries {
		if e.state == stateAnswered {
			all = append(all, analysis.Answer{Metric: name, Since: e.Since, Result: e.result})
		}
	}
	return all
}

// acknowledge drops answers that a written status holds, or that no status will.
func (m *Measurer) acknowledge(run types.NamespacedName, answers []analysis.Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runs[run]
	if r == nil {
		return
	}
	for _, a := range answers {
		if e := r.entries[a.Metric]; e != nil && e.state == stateAnswered && e.Since.Equal(a.Since) {
			delete(r.entries, a.Metric)
		}
	}
}

// forget drops everything about a run.
func (m *Measurer) forget(run types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(run)
}

func (m *Measurer) drop(run types.NamespacedName) {
	if r := m.runs[run]; r != nil {
		for _, e := range r.entries {
			m.remove(e)
		}
		delete(m.runs, run)
	}
}

// onAnswer sets what is told of a run that has an answer.
func (m *Measurer) onAnswer(notify func(types.NamespacedName)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notify = notify
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// maxNotices is how many notices wait for their Notifiers to be found.
	maxNotices = 1024
	// maxQueue is how many notifications wait for one Notifier.
	maxQueue = 64
	// maxQueues is for how many Notifiers notifications wait, or are sent, at a time, and
	// maxQueuesOfOne for how many of one namespace, so that nobody uses up all of them
	// with servers that do not answer.
	maxQueues      = 1024
	maxQueuesOfOne = 32
	// maxSeen is how many notifications are remembered, to tell none twice.
	maxSeen = 8192
	// listTimeout is how long finding the Notifiers of a notice may take.
	listTimeout = 10 * time.Second
	// drainTime is how long a process that stops goes on sending what is queued.
	drainTime = 5 * time.Second
)

// Directory knows Notifiers.
type Directory interface {
	// List returns the Notifiers of a namespace.
	List(ctx context.Context, namespace string) ([]v1alpha1.Notifier, error)
	// Get returns a Notifier as it is now, and where it sends to. The error is an
	// *Error, or ctx's.
	Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.Notifier, Target, error)
}

// Poster makes one attempt to send a message. The error is an *Error, or ctx's.
type Poster interface {
	Post(ctx context.Context, to Target, m Message) error
}

// Dispatcher takes notices and gets them to the Notifiers that want them. Each
// Notifier has a queue and a goroutine of its own while something waits for it, so
// that a server that stalls delays no other.
type Dispatcher struct {
	directory Directory
	poster    Poster
	// Failed, if not nil, is told of a notification that was given up, and must not
	// block. It is set before Start.
	Failed func(notifier types.NamespacedName, uid types.UID, n *Notice, why *Error)

	// stopping tells whether the process is to end, rather than to follow another leader.
	stopping func() bool

	mu      sync.Mutex
	stopped bool
	notices []Notice
	queues  map[types.NamespacedName]*queue
	seen    *lru.Cache
	wake    chan struct{}
	workers sync.WaitGroup
	// end ends what Start began.
	end func()
}

// queue is what waits for one Notifier, oldest first.
type queue struct{ jobs []job }

// job is a notice for one Notifier.
type job struct {
	notice Notice
	uid    types.UID
}

// NewDispatcher makes a dispatcher, whose Wait is to be called after Start. When process
// ends, what is queued is still sent for a moment; when only Start's context does,
// another process leads, and what is queued is lost.
func NewDispatcher(process context.Context, directory Directory, poster Poster) *Dispatcher {
	return &Dispatcher{
		directory: directory, poster: poster, stopping: func() bool { return process.Err() != nil },
		queues: map[types.NamespacedName]*queue{}, seen: lru.New(maxSeen), wake: make(chan struct{}, 1),
	}
}

// Tell takes what a written status has to tell, and returns at once.
func (d *Dispatcher) Tell(rollout *v1alpha1.Rollout, happened []v1alpha1.Transition) {
	all := Notices(rollout, happened)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range all {
		if d.stopped {
			count(n.Type, ReasonLost)
			continue
		}
		if len(d.notices) >= maxNotices {
			count(d.notices[0].Type, ReasonDropped)
			waiting.Dec()
			d.notices = d.notices[1:]
		}
		d.notices = append(d.notices, n)
		waiting.Inc()
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Start implements manager.Runnable: it works until ctx ends. Only a leader has
// anything to tell. What is queued then is left to Wait: nobody who is to lead next
// waits for a server of somebody's.
func (d *Dispatcher) Start(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.mu.Lock()
	d.end = func() { d.drain(work, cancel) }
	d.mu.Unlock()
	for ctx.Err() == nil {
		select {
		case <-d.wake:
			d.route(work)
		case <-ctx.Done():
		}
	}
	return nil
}

// Wait ends the work after Start, and after whoever told anything. What is queued has a
// moment left if the process stops, and none if another one leads.
func (d *Dispatcher) Wait() {
	d.mu.Lock()
	end := d.end
	d.mu.Unlock()
	if end != nil {
		end()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for i := range d.notices {
		count(d.notices[i].Type, ReasonLost)
		waiting.Dec()
	}
	d.notices = nil
}

func (d *Dispatcher) drain(work context.Context, cancel context.CancelFunc) {
	over := time.AfterFunc(drainTime, cancel)
	defer over.Stop()
	if !d.stopping() {
		cancel()
	}
	d.route(work)
	d.workers.Wait() // Who sends, or waits to try again, ends with work.
	cancel()
}

// route finds the Notifiers of every notice that waits.
func (d *Dispatcher) route(ctx context.Context) {
	for ctx.Err() == nil {
		n, ok := d.nextNotice()
		if !ok {
			return
		}
		d.routeOne(ctx, n)
		waiting.Dec()
	}
}

func (d *Dispatcher) nextNotice() (Notice, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notices) == 0 {
		return Notice{}, false
	}
	n := d.notices[0]
	d.notices = d.notices[1:]
	return n, true
}

func (d *Dispatcher) routeOne(ctx context.Context, n Notice) {
	list, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	notifiers, err := d.directory.List(list, n.Namespace)
	if err != nil {
		count(n.Type, ReasonNotifierMissing)
		log.FromContext(ctx).Error(err, "Listing Notifiers", "namespace", n.Namespace, "rollout", n.Rollout)
		return
	}
	for i := range notifiers {
		if notifier := &notifiers[i]; Trigger(&notifier.Spec, &n) != nil {
			d.enqueue(ctx, types.NamespacedName{Namespace: notifier.Namespace, Name: notifier.Name}, job{notice: n, uid: notifier.UID})
		}
	}
}

// enqueue queues a job, once, and sees to it that somebody works on it.
func (d *Dispatcher) enqueue(ctx context.Context, name types.NamespacedName, j job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := j.notice.ID() + " " + string(j.uid)
	if _, told := d.seen.Get(key); told {
		return
	}
	d.seen.Add(key, nil)
	q := d.queues[name]
	if q == nil {
		if !d.room(name.Namespace) {
			count(j.notice.Type, ReasonDropped)
			return
		}
		q = &queue{}
		d.queues[name] = q
		d.workers.Go(func() { d.work(ctx, name, q) })
	}
	if len(q.jobs) >= maxQueue {
		count(q.jobs[0].notice.Type, ReasonDropped)
		waiting.Dec()
		q.jobs = q.jobs[1:]
	}
	q.jobs = append(q.jobs, j)
	waiting.Inc()
}

// room reports whether another Notifier of a namespace can have a queue.
func (d *Dispatcher) room(namespace string) bool {
	ofOne := 0
	for name := range d.queues {
		if name.Namespace == namespace {
			ofOne++
		}
	}
	return len(d.queues) < maxQueues && ofOne < maxQueuesOfOne
}

// work sends what is queued for one Notifier, until nothing is.
func (d *Dispatcher) work(ctx context.Context, name types.NamespacedName, q *queue) {
	logger := log.FromContext(ctx).WithValues("notifier", name.String())
	for {
		j, ok := d.nextJob(name, q)
		if !ok {
			return
		}
		err := ctx.Err()
		if err == nil {
			err = d.deliver(ctx, name, &j)
		}
		waiting.Dec()
		switch {
		case err == nil:
			count(j.notice.Type, ReasonSent)
			continue
		case ctx.Err() != nil:
			count(j.notice.Type, ReasonLost)
		default:
			d.giveUp(name, &j, err)
		}
		logger.Error(err, "Could not tell", "rollout", j.notice.Namespace+"/"+j.notice.Rollout, "type", string(j.notice.Type))
	}
}

func (d *Dispatcher) giveUp(name types.NamespacedName, j *job, err error) {
	why := &Error{Reason: ReasonFailed}
	errors.As(err, &why)
	count(j.notice.Type, why.Reason)
	if d.Failed != nil && why.Reason != ReasonNotifierMissing {
		d.Failed(name, j.uid, &j.notice, why)
	}
}

func (d *Dispatcher) nextJob(name types.NamespacedName, q *queue) (job, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(q.jobs) == 0 {
		delete(d.queues, name)
		return job{}, false
	}
	j := q.jobs[0]
	q.jobs = q.jobs[1:]
	return j, true
}

// deliver sends one notification, in several attempts if need be.
func (d *Dispatcher) deliver(ctx context.Context, name types.NamespacedName, j *job) (err error) {
	// What others wrote is rendered here: it must not take the operator down.
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(&Error{Reason: ReasonFailed}, fmt.Errorf("panic of type %T", r))
		}
	}()
	backoff := attempts()
	for {
		failed := d.attempt(ctx, name, j)
		if failed == nil || ctx.Err() != nil || !IsPassing(failed) || backoff.Steps <= 1 {
			return failed
		}
		if !pause(ctx, max(backoff.Step(), retryAfterOf(failed))) {
			return failed
		}
	}
}

// attempt looks the Notifier up anew, so that a correction takes effect at once.
func (d *Dispatcher) attempt(ctx context.Context, name types.NamespacedName, j *job) error {
	notifier, target, err := d.directory.Get(ctx, name)
	if err != nil {
		return err
	}
	trigger := Trigger(&notifier.Spec, &j.notice)
	if notifier.UID != j.uid || trigger == nil {
		return &Error{Reason: ReasonNotifierMissing}
	}
	m, err := NewMessage(FormatOf(&notifier.Spec), &j.notice, trigger.Template)
	if err != nil {
		return errors.Join(&Error{Reason: ReasonFailed}, err)
	}
	return d.poster.Post(ctx, target, m)
}

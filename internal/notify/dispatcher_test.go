package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// book is a Directory and a Poster in memory.
type book struct {
	mu        sync.Mutex
	notifiers map[string]*v1alpha1.Notifier
	broken    map[string]error
	listing   error
	sent      []string // notifier, and text after "Aborted: "
	at        []time.Duration
	began     time.Time
	answer    func(ctx context.Context, notifier string, attempt int) error
	attempts  map[string]int
}

func newBook(names ...string) *book {
	b := &book{notifiers: map[string]*v1alpha1.Notifier{}, broken: map[string]error{}, began: time.Now(), attempts: map[string]int{}}
	for _, name := range names {
		b.notifiers[name] = &v1alpha1.Notifier{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)},
			Spec: v1alpha1.NotifierSpec{
				Webhook:  &v1alpha1.NotificationEndpoint{Address: "http://" + name},
				Triggers: []v1alpha1.NotificationTrigger{{Type: "Aborted", Template: "{{.Message}}"}},
			},
		}
	}
	return b
}

func (b *book) List(_ context.Context, namespace string) ([]v1alpha1.Notifier, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []v1alpha1.Notifier
	for _, n := range b.notifiers {
		if n.Namespace == namespace {
			all = append(all, *n)
		}
	}
	return all, b.listing
}

func (b *book) Get(_ context.Context, name types.NamespacedName) (*v1alpha1.Notifier, Target, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.notifiers[name.Name]
	if n == nil {
		return nil, Target{}, &Error{Reason: ReasonNotifierMissing}
	}
	return n, Target{Address: analysis.Secret(n.Spec.Webhook.Address)}, b.broken[name.Name]
}

func (b *book) Post(ctx context.Context, target Target, m Message) error {
	name := strings.TrimPrefix(target.Address.Reveal(), "http://")
	b.mu.Lock()
	b.attempts[name]++
	attempt := b.attempts[name]
	b.at = append(b.at, time.Since(b.began).Truncate(time.Second))
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, name, attempt); err != nil {
			return err
		}
	}
	_, text, _ := strings.Cut(string(m.Body), `"text":"`)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, name+" "+strings.TrimSuffix(text, `"}`))
	return nil
}

func (b *book) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

// run runs a dispatcher within a bubble of time, and gives what stops it.
func run(t *testing.T, b *book) (d *Dispatcher, stop func(process bool)) {
	t.Helper()
	process, exit := context.WithCancel(context.Background())
	lease, lose := context.WithCancel(process)
	d = NewDispatcher(process, b, b)
	done := make(chan error, 1)
	go func() { done <- d.Start(lease) }()
	stop = func(process bool) {
		t.Helper()
		if process {
			exit()
		}
		lose()
		began := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the next leader waited for %s", took)
		}
		d.Wait()
		exit()
		if n := testutil.ToFloat64(waiting); n != 0 {
			t.Errorf("%v notifications are said to wait", n)
		}
	}
	return d, stop
}

// tell tells of an abort, at a second.
func tell(d *Dispatcher, second int) {
	rollout := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout", UID: "7c9b"}}
	d.Tell(rollout, []v1alpha1.Transition{{
		Type: v1alpha1.TransitionAborted, Reason: "AnalysisFailed", Message: fmt.Sprint(second),
		At: metav1.NewMicroTime(t0.Add(time.Duration(second) * time.Second)),
	}})
}

// counted runs f and gives how often each result was counted meanwhile.
func counted(results []Reason, f func()) map[Reason]int {
	read := func(r Reason) int {
		return int(testutil.ToFloat64(notifications.WithLabelValues("Aborted", string(r))))
	}
	before := map[Reason]int{}
	for _, r := range results {
		before[r] = read(r)
	}
	f()
	got := map[Reason]int{}
	for _, r := range results {
		if n := read(r) - before[r]; n != 0 {
			got[r] = n
		}
	}
	return got
}

var results = []Reason{
	ReasonSent, ReasonDropped, ReasonLost, ReasonNotifierMissing, ReasonRefused, ReasonRateLimited, ReasonUnavailable, ReasonFailed,
	ReasonSecretMissing,
}

func TestEachNotifierIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook("a", "b", "other", "elsewhere")
		b.notifiers["other"].Spec.Triggers[0].Type = "Promoted"
		b.notifiers["elsewhere"].Namespace = "search"
		d, stop := run(t, b)
		counts := counted(results, func() {
			tell(d, 1)
			tell(d, 1)
			synctest.Wait()
			tell(d, 1)
			tell(d, 2)
			synctest.Wait()
		})
		got := b.got()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"a 1", "a 2", "b 1", "b 2"}, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[Reason]int{ReasonSent: 4}, counts); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
		stop(true)
	})
}

func TestAttempts(t *testing.T) {
	fails := func(err error) func(context.Context, string, int) error {
		return func(context.Context, string, int) error { return err }
	}
	for name, tc := range map[string]struct {
		answer func(context.Context, string, int) error
		at     []time.Duration // at most a tenth later
		want   Reason
	}{
		"down":    {fails(&Error{Reason: ReasonUnavailable}), []time.Duration{0, 1, 4, 13, 40}, ReasonUnavailable},
		"refused": {fails(&Error{Reason: ReasonRefused, Status: 404}), []time.Duration{0}, ReasonRefused},
		"unknown": {fails(errors.New(canary)), []time.Duration{0}, ReasonFailed},
		"panic":   {func(context.Context, string, int) error { panic(canary) }, []time.Duration{0}, ReasonFailed},
		"back": {func(_ context.Context, _ string, n int) error {
			if n < 3 {
				return &Error{Reason: ReasonUnavailable}
			}
			return nil
		}, []time.Duration{0, 1, 4}, ReasonSent},
		"limited": {func(_ context.Context, _ string, n int) error {
			if n == 1 {
				return &Error{Reason: ReasonRateLimited, RetryAfter: 30 * time.Second}
			}
			return nil
		}, []time.Duration{0, 30}, ReasonSent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook("a")
				b.answer = tc.answer
				d, stop := run(t, b)
				counts := counted(results, func() {
					tell(d, 1)
					time.Sleep(time.Hour) //nolint:forbidigo // The bubble's time passes at once.
				})
				if len(b.at) != len(tc.at) {
					t.Fatalf("tried at %v, want %v", b.at, tc.at)
				}
				for i, want := range tc.at {
					if want *= time.Second; b.at[i] < want || b.at[i] > want+want/10+time.Second {
						t.Errorf("tried at %v, want %v", b.at, tc.at)
					}
				}
				if counts[tc.want] != 1 || len(counts) != 1 {
					t.Errorf("counted %v, want one %s", counts, tc.want)
				}
				tell(d, 2) // the goroutine of a Notifier outlives whatever happened
				synctest.Wait()
				if n := len(b.at); n <= len(tc.at) {
					t.Error("nothing is sent after that")
				}
				stop(false)
			})
		})
	}
}

// TestStalledServerDelaysNoOther holds that telling never waits, that queues are
// bounded and drop the oldest, and that others are told at once.
func TestStalledServerDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook("stalled", "good")
		b.answer = func(ctx context.Context, name string, _ int) error {
			if name == "stalled" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		d, stop := run(t, b)
		counts := counted(results, func() {
			for i := range 200 {
				tell(d, i)
				synctest.Wait()
			}
		})
		if got := b.got(); len(got) != 200 || got[199] != "good 199" {
			t.Errorf("the good server got %d", len(got))
		}
		if diff := cmp.Diff(map[Reason]int{ReasonSent: 200, ReasonDropped: 200 - 1 - maxQueue}, counts); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
		if jobs := d.queues[types.NamespacedName{Namespace: "shop", Name: "stalled"}].jobs; len(jobs) != maxQueue || jobs[maxQueue-1].notice.Message != "199" {
			t.Errorf("%d wait", len(jobs))
		}
		counts = counted(results, func() { stop(false) })
		if diff := cmp.Diff(map[Reason]int{ReasonLost: 1 + maxQueue}, counts); diff != "" {
			t.Errorf("counted in the end (-want +got):\n%s", diff)
		}
	})
}

// TestNoticesAreBounded tells of more than fits before anybody listens.
func TestNoticesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		d := NewDispatcher(t.Context(), b, b)
		counts := counted(results, func() {
			for i := range maxNotices + 7 {
				tell(d, i)
			}
		})
		if counts[ReasonDropped] != 7 || len(d.notices) != maxNotices || d.notices[0].Message != "7" {
			t.Errorf("counted %v, %d wait", counts, len(d.notices))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		counts = counted(results, func() {
			if err := d.Start(ctx); err != nil {
				t.Error(err)
			}
			d.Wait()
			tell(d, 0)
		})
		if counts[ReasonLost] != maxNotices+1 {
			t.Errorf("counted %v", counts)
		}
	})
}

func TestStopSendsWhatIsQueued(t *testing.T) {
	slow := func(context.Context, string, int) error {
		time.Sleep(1100 * time.Millisecond) //nolint:forbidigo // The bubble's time passes at once.
		return nil
	}
	for name, tc := range map[string]struct {
		process bool
		n       int
		answer  func(context.Context, string, int) error
		want    map[Reason]int
		most    time.Duration
	}{
		"stop":           {true, 4, slow, map[Reason]int{ReasonSent: 4}, 4400 * time.Millisecond},
		"stop with much": {true, 20, slow, map[Reason]int{ReasonSent: 5, ReasonLost: 15}, 6 * time.Second},
		"lease lost":     {false, 4, slow, map[Reason]int{ReasonSent: 1, ReasonLost: 3}, 1100 * time.Millisecond},
		"server away": {true, 2, func(context.Context, string, int) error { return &Error{Reason: ReasonUnavailable} },
			map[Reason]int{ReasonLost: 2}, drainTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook("a")
				b.answer = tc.answer
				d, stop := run(t, b)
				for i := range tc.n {
					tell(d, i)
				}
				synctest.Wait()
				began := time.Now()
				counts := counted(results, func() { stop(tc.process) })
				if diff := cmp.Diff(tc.want, counts); diff != "" {
					t.Errorf("counted (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took > tc.most {
					t.Errorf("stopping took %s", took)
				}
			})
		})
	}
}

func TestNotifiersAreLookedUpAnew(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*book)
		want   Reason
		sent   []string
	}{
		"corrected": {func(b *book) { delete(b.broken, "a") }, ReasonSent, []string{"a 1"}},
		"moved": {func(b *book) {
			b.broken = nil
			b.notifiers["a"] = newBook("a").notifiers["a"]
			b.notifiers["a"].Spec.Webhook.Address = "http://b"
		}, ReasonSent, []string{"b 1"}},
		"broken":    {func(*book) {}, ReasonSecretMissing, nil},
		"gone":      {func(b *book) { delete(b.notifiers, "a") }, ReasonNotifierMissing, nil},
		"replaced":  {func(b *book) { b.broken = nil; b.notifiers["a"].UID = "other" }, ReasonNotifierMissing, nil},
		"unwilling": {func(b *book) { b.broken = nil; b.notifiers["a"].Spec.Triggers = nil }, ReasonNotifierMissing, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook("a")
				b.broken["a"] = &Error{Reason: ReasonSecretMissing}
				d, stop := run(t, b)
				counts := counted(results, func() {
					tell(d, 1)
					synctest.Wait()
					b.mu.Lock()
					tc.change(b)
					b.mu.Unlock()
					time.Sleep(time.Hour) //nolint:forbidigo // The bubble's time passes at once.
				})
				if counts[tc.want] != 1 || len(counts) != 1 || !slices.Equal(b.got(), tc.sent) {
					t.Errorf("counted %v, sent %v; want one %s", counts, b.got(), tc.want)
				}
				stop(true)
			})
		})
	}
}

func TestUnreadableNotifiersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook("a")
		b.listing = errors.New("the cache is gone")
		d, stop := run(t, b)
		counts := counted(results, func() {
			tell(d, 1)
			synctest.Wait()
		})
		if counts[ReasonNotifierMissing] != 1 || len(counts) != 1 {
			t.Errorf("counted %v", counts)
		}
		stop(true)
	})
}

// TestQueuesAreBounded has servers that do not answer, of all namespaces: one namespace
// has its share of the queues, and all of them together have an end.
func TestQueuesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const namespaces = maxQueues/maxQueuesOfOne + 1
		b := newBook()
		for ns := range namespaces {
			for i := range maxQueuesOfOne + 3 {
				name := fmt.Sprintf("n%d-%d", ns, i)
				b.notifiers[name] = newBook(name).notifiers[name]
				b.notifiers[name].Namespace = fmt.Sprint(ns)
			}
		}
		b.answer = func(ctx context.Context, _ string, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}
		d, stop := run(t, b)
		tellIn := func(namespace int) {
			d.Tell(&v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint(namespace), Name: "checkout", UID: types.UID(fmt.Sprint(namespace))}},
				[]v1alpha1.Transition{{Type: v1alpha1.TransitionAborted, At: metav1.NewMicroTime(t0)}})
			synctest.Wait()
		}
		counts := counted(results, func() { tellIn(0) })
		if counts[ReasonDropped] != 3 || len(d.queues) != maxQueuesOfOne {
			t.Errorf("of one namespace: counted %v with %d queues", counts, len(d.queues))
		}
		counts = counted(results, func() {
			for ns := range namespaces - 1 {
				tellIn(ns)
			}
		})
		if counts[ReasonDropped] != 3*(namespaces-2) || len(d.queues) != maxQueues {
			t.Errorf("of all: counted %v with %d queues", counts, len(d.queues))
		}
		counts = counted(results, func() { tellIn(namespaces - 1) })
		if counts[ReasonDropped] != maxQueuesOfOne+3 || len(d.queues) != maxQueues {
			t.Errorf("of one more: counted %v with %d queues", counts, len(d.queues))
		}
		stop(false)
		if len(d.queues) != 0 {
			t.Errorf("%d queues are left", len(d.queues))
		}
	})
}

package analysisrun

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// bench is a Measurer in a bubble of its own time.
type bench struct {
	*Measurer
	t       *testing.T
	servers map[string]*fake.Provider // by address
	stop    context.CancelFunc
	done    chan struct{}

	mu    sync.Mutex
	woken map[types.NamespacedName]time.Time
}

func newBench(t *testing.T, servers map[string]*fake.Provider, l limits) *bench {
	t.Helper()
	var objects []client.Object
	for name := range servers {
		objects = append(objects, metricProvider(name))
	}
	c := fakeclient.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).Build()
	providers, err := newProviders(c, c, Options{Open: func(e analysis.Endpoint) (analysis.Provider, error) {
		return servers[e.Address[len("http://"):]], nil
	}}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		Measurer: newMeasurer(clock.RealClock{}, providers, l), t: t, servers: servers,
		done: make(chan struct{}), woken: map[types.NamespacedName]time.Time{},
	}
	b.onAnswer(func(key types.NamespacedName) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.woken[key] = time.Now()
	})
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = func() { cancel(); <-b.done }
	go func() {
		defer close(b.done)
		if err := b.Start(ctx); err != nil {
			t.Error(err)
		}
	}()
	return b
}

func metricProvider(name string) *v1alpha1.MetricProvider {
	return &v1alpha1.MetricProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 1, UID: types.UID("uid-" + name)},
		Spec:       v1alpha1.MetricProviderSpec{Prometheus: &v1alpha1.PrometheusProvider{Address: "http://" + name}},
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// ask plans a measurement of a metric for a run.
func (b *bench) ask(name string, m v1alpha1.Metric, since, due time.Time) {
	b.plan(key(name), types.UID(name), []task{{
		namespace:   namespace,
		Measurement: analysis.Measurement{Metric: &m, Variables: analysis.Variables{Canary: canaryRev}, Since: since, Due: due},
	}})
}

func (b *bench) got(name string) []analysis.Answer { return b.answers(key(name), types.UID(name)) }

func TestMeasuresWhenDueAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]*fake.Provider{"good": fake.Always(0.25)}, limits{4, 4})
		defer b.stop()
		start := time.Now()
		m := metric(provider("good"))
		b.ask("a", m, start, start.Add(3*time.Second))
		pass(2999 * time.Millisecond)
		synctest.Wait()
		if n := len(b.servers["good"].Queries()); n != 0 {
			t.Fatalf("asked %d times before it was due", n)
		}
		pass(time.Millisecond)
		synctest.Wait()
		answers := b.got("a")
		if len(answers) != 1 || answers[0].Result.Sample.Series[0].Value != 0.25 || !answers[0].Result.Due.Equal(start.Add(3*time.Second)) {
			t.Fatalf("got %+v", answers)
		}
		q := b.servers["good"].Queries()[0]
		if q.Expr != `errors{revision="7c9b"}` || !q.At.Equal(start.Add(3*time.Second)) || q.Lookback != 3*time.Second || q.Timeout != 10*time.Second {
			t.Errorf("asked %+v", q)
		}
		if !b.woken[key("a")].Equal(start.Add(3 * time.Second)) {
			t.Errorf("the run was woken at %s", b.woken[key("a")])
		}

		b.ask("a", m, start, start.Add(4*time.Second)) // not written yet: the answer stays
		pass(time.Minute)
		synctest.Wait()
		if n := len(b.servers["good"].Queries()); n != 1 || len(b.got("a")) != 1 {
			t.Errorf("asked %d times before the answer was acknowledged", n)
		}
		b.acknowledge(key("a"), answers)
		if len(b.got("a")) != 0 {
			t.Error("the answer stays after it was acknowledged")
		}
		b.ask("a", m, start, time.Now())
		synctest.Wait()
		if n := len(b.servers["good"].Queries()); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
	})
}

func TestAStalledProviderDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		stalled := fake.New(func(ctx context.Context, _ analysis.Query) (analysis.Sample, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			now--
			mu.Unlock()
			return analysis.Sample{}, &analysis.Error{Reason: analysis.ReasonTimeout}
		})
		b := newBench(t, map[string]*fake.Provider{"stalled": stalled, "good": fake.Always(0.25)}, limits{defaultWorkers, defaultPerProvider})
		defer b.stop()
		start := time.Now()
		for i := range 100 {
			b.ask(fmt.Sprintf("stalled-%d", i), metric(provider("stalled")), start, start)
		}
		synctest.Wait()
		for i := range 50 {
			b.ask(fmt.Sprintf("good-%d", i), metric(provider("good")), start, start)
		}
		synctest.Wait()
		if d := time.Since(start); d != 0 {
			t.Fatalf("time passed: %s", d)
		}
		for i := range 50 {
			if len(b.got(fmt.Sprintf("good-%d", i))) != 1 {
				t.Fatalf("good-%d waits for the stalled provider", i)
			}
		}
		mu.Lock()
		if most != defaultPerProvider {
			t.Errorf("%d queries asked the stalled provider at a time, want %d", most, defaultPerProvider)
		}
		mu.Unlock()
		pass(time.Minute)
		synctest.Wait()
		mu.Lock()
		if now != 1 {
			t.Errorf("%d queries ask a provider that times out, want one that tries it", now)
		}
		mu.Unlock()
		stalled.Answer(analysis.Values(1), nil)
		pass(20 * time.Second)
		synctest.Wait()
		for i := range 100 {
			if len(b.got(fmt.Sprintf("stalled-%d", i))) != 1 {
				t.Fatalf("stalled-%d was not measured after the provider came back", i)
			}
		}
	})
}

func TestQueriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*fake.Provider{}
		for i := range 20 {
			servers[fmt.Sprintf("p%d", i)] = fake.Stalled()
		}
		b := newBench(t, servers, limits{workers: 32, perProvider: 8})
		defer b.stop()
		start := time.Now()
		due := start.Add(time.Second) // all at once, when all were asked for
		for i := range 400 {
			b.ask(fmt.Sprint(i), metric(provider(fmt.Sprintf("p%d", i%20))), start, due)
		}
		pass(time.Second)
		synctest.Wait()
		total := 0
		for name, s := range servers {
			n := len(s.Queries())
			total += n
			if n == 0 || n > 8 {
				t.Errorf("%s is asked %d times at once", name, n)
			}
		}
		if total != 32 {
			t.Errorf("%d queries run at once, want 32", total)
		}
	})
}

func TestAnotherStepCancelsWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fake.Stalled()
		b := newBench(t, map[string]*fake.Provider{"p": server}, limits{4, 4})
		defer b.stop()
		start := time.Now()
		m := metric(provider("p"))
		b.ask("a", m, start, start)
		synctest.Wait()
		server.Answer(analysis.Values(0.5), nil)
		pass(time.Second)
		b.ask("a", m, start.Add(time.Second), start.Add(time.Second))
		synctest.Wait()
		answers := b.got("a")
		if len(answers) != 1 || !answers[0].Since.Equal(start.Add(time.Second)) {
			t.Errorf("got %+v", answers)
		}
		if n := len(server.Queries()); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
	})
}

func TestForgetCancelsEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fake.Stalled()
		b := newBench(t, map[string]*fake.Provider{"p": server}, limits{1, 1})
		start := time.Now()
		b.ask("running", metric(provider("p")), start, start)
		synctest.Wait()
		b.ask("queued", metric(provider("p")), start, start)
		b.ask("waiting", metric(provider("p")), start, start.Add(time.Hour))
		synctest.Wait()
		for _, name := range []string{"queued", "waiting", "running", "unknown"} {
			b.forget(key(name))
		}
		synctest.Wait()
		b.mu.Lock()
		if len(b.woken) != 0 {
			t.Errorf("woken after being forgotten: %v", b.woken)
		}
		b.mu.Unlock()
		b.Measurer.mu.Lock()
		if len(b.runs)+len(b.waiting)+len(b.queues)+len(b.order)+b.running != 0 {
			t.Errorf("kept %d runs, %d waiting, %d queues, %d running", len(b.runs), len(b.waiting), len(b.queues), b.running)
		}
		b.Measurer.mu.Unlock()
		b.stop()
		if n := len(server.Queries()); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
	})
}

func TestAnotherRunWithTheSameNameStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]*fake.Provider{"p": fake.Always(1)}, limits{1, 1})
		defer b.stop()
		m := metric(provider("p"))
		b.ask("a", m, time.Now(), time.Now())
		synctest.Wait()
		if n := len(b.answers(key("a"), "other")); n != 0 {
			t.Errorf("%d answers for another run", n)
		}
		b.plan(key("a"), "other", nil)
		if n := len(b.got("a")); n != 0 {
			t.Errorf("%d answers of the run before", n)
		}
	})
}

func TestStopEndsQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]*fake.Provider{"p": fake.Stalled()}, limits{4, 4})
		start := time.Now()
		for i := range 10 {
			b.ask(fmt.Sprint(i), metric(provider("p")), start, start)
		}
		synctest.Wait()
		b.stop() // the bubble fails the test when a goroutine stays
		if time.Since(start) != 0 {
			t.Errorf("stopping took %s", time.Since(start))
		}
		for i := range 10 {
			if len(b.got(fmt.Sprint(i))) != 0 {
				t.Error("a query that was cut short has an answer")
			}
		}
	})
}

func TestWhatCannotBeAskedIsAnAnswerToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]*fake.Provider{"p": fake.Always(1)}, limits{4, 4})
		defer b.stop()
		start := time.Now()
		b.ask("query", metric(provider("p"), func(m *v1alpha1.Metric) { m.Query = "{{nope}}" }), start, start)
		b.ask("missing", metric(provider("nowhere")), start, start)
		b.ask("default", metric(), start, start)
		synctest.Wait()
		for name, want := range map[string]analysis.Reason{
			"query": analysis.ReasonQuery, "missing": analysis.ReasonProviderMissing, "default": analysis.ReasonProviderMissing,
		} {
			a := b.got(name)
			if len(a) != 1 || analysis.ReasonOf(a[0].Result.Err) != want {
				t.Errorf("%s: got %+v, want %s", name, a, want)
			}
		}
		b.ask("early", metric(provider("p"), func(m *v1alpha1.Metric) { m.Query = "rate(x[1m])" }), start, start)
		synctest.Wait()
		if len(b.got("early")) != 0 || b.woken[key("early")].IsZero() || len(b.servers["p"].Queries()) != 0 {
			t.Error("a query was asked that sees data from before the step")
		}
	})
}

// pass lets the time of a bubble pass.
func pass(d time.Duration) { <-time.After(d) }

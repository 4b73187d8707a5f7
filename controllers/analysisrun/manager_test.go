package analysisrun

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
	"github.com/sluice-dev/sluice/internal/egress"
	"github.com/sluice-dev/sluice/internal/envtest"
)

const deadline = 30 * time.Second

var apiServer = envtest.Shared{CRDs: func() ([]string, error) {
	dir, err := envtest.SluiceCRDs()
	return []string{dir}, err
}}

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// world is a namespace on a real API server, and an operator that watches it.
type world struct {
	client.WithWatch
	t         *testing.T
	namespace string
	config    *rest.Config
	logs      *lockedBuffer
	requests  *requests
}

// lockedBuffer collects logs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) add(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(&l.b, prefix, args)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// requests collects what an operator asked of the API server.
type requests struct {
	mu   sync.Mutex
	list []string
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.list = append(r.list, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		return next.RoundTrip(req)
	})
}

// about returns the requests that name an object.
func (r *requests) about(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.list), func(s string) bool { return !strings.Contains(s, name) })
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newWorld(t *testing.T) *world {
	t.Helper()
	cfg := apiServer.Config(t)
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "analysis-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return &world{WithWatch: c, t: t, namespace: ns.Name, config: cfg, logs: &lockedBuffer{}, requests: &requests{}}
}

// operate runs an operator until the returned function, or the end of the test.
func (w *world) operate(o Options) (stop func()) {
	w.t.Helper()
	cfg := rest.CopyConfig(w.config)
	cfg.WrapTransport = w.requests.wrap
	cfg.QPS = -1
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:     scheme(),
		Metrics:    server.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Logger:     funcr.New(w.logs.add, funcr.Options{Verbosity: 5}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	o.Runs, o.Rollouts = handover.New[v1alpha1.AnalysisRun](), handover.New[handover.Unwritten]()
	ctx, cancel := context.WithCancel(context.Background())
	if err := Setup(ctx, mgr, o); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// asking makes an operator whose default provider is p.
func asking(p analysis.Provider) Options {
	return Options{
		DefaultAddress: "http://default",
		Open:           func(analysis.Endpoint) (analysis.Provider, error) { return p, nil },
	}
}

// release creates a Rollout that stands in its first step, and its run.
func (w *world) release(name string, metrics ...v1alpha1.Metric) (*v1alpha1.Rollout, *v1alpha1.AnalysisRun) {
	w.t.Helper()
	ro := rollout(name, time.Now().Add(-time.Minute))
	ro.Namespace = w.namespace
	status := ro.Status
	if err := w.Create(w.t.Context(), ro); err != nil {
		w.t.Fatal(err)
	}
	w.stand(ro, status)
	r := run(name, metrics...)
	r.Namespace, r.UID, r.CreationTimestamp = w.namespace, "", metav1.Time{}
	r.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(ro, v1alpha1.GroupVersion.WithKind("Rollout"))}
	if err := w.Create(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	return ro, r
}

// stand writes the status of a Rollout.
func (w *world) stand(ro *v1alpha1.Rollout, s v1alpha1.RolloutStatus) {
	w.t.Helper()
	ro.Status = s
	if err := w.Status().Update(w.t.Context(), ro); err != nil {
		w.t.Fatal(err)
	}
}

// await follows every stored version of a run until one is as wanted, and checks
// each that nothing was counted twice.
func (w *world) await(r *v1alpha1.AnalysisRun, what string, wanted func(*v1alpha1.AnalysisRun) bool) *v1alpha1.AnalysisRun {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), deadline)
	defer cancel()
	watch, err := w.Watch(ctx, &v1alpha1.AnalysisRunList{}, client.InNamespace(w.namespace), client.MatchingFields{"metadata.name": r.Name})
	if err != nil {
		w.t.Fatal(err)
	}
	defer watch.Stop()
	var last *v1alpha1.AnalysisRun
	for e := range watch.ResultChan() {
		next, ok := e.Object.(*v1alpha1.AnalysisRun)
		if !ok {
			w.t.Fatalf("watching: %+v", e.Object)
		}
		if last != nil {
			countedOnce(w.t, last, next)
		}
		if last = next; wanted(next) {
			return next
		}
	}
	w.t.Fatalf("%s did not happen; the status is %s", what, toJSON(last))
	return nil
}

// countedOnce wants every count of one version after another to stand for one
// measurement that is later than those before.
func countedOnce(t *testing.T, before, after *v1alpha1.AnalysisRun) {
	t.Helper()
	if !analysis.SameStep(before.Status.Step, after.Status.Step) {
		return
	}
	for i, s := range after.Status.Metrics {
		if s.Comparison != nil {
			continue // It counts windows, and what it read besides.
		}
		old := before.Status.Metrics[i]
		counted := s.Successful - old.Successful + s.Failed - old.Failed + s.Errors - old.Errors + s.Inconclusive - old.Inconclusive
		measured := int32(0)
		for _, m := range s.Measurements {
			if n := len(old.Measurements); n == 0 || old.Measurements[n-1].At.Before(&m.At) {
				measured++
			}
		}
		if counted != measured {
			t.Errorf("%s counted %d, measured %d:\n%s\n%s", s.Name, counted, measured, toJSON(old), toJSON(s))
		}
	}
}

func toJSON(o any) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func everySecond(m *v1alpha1.Metric) { m.Interval = dur(time.Second) }

func reason(r *v1alpha1.AnalysisRun) string {
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionCompleted); c != nil && c.Status == metav1.ConditionTrue {
		return c.Reason
	}
	return ""
}

func isCompleted(r *v1alpha1.AnalysisRun) bool { return completed(r) }

func TestGoodReleaseOverItsSteps(t *testing.T) {
	w := newWorld(t)
	p := fake.Always(0.01)
	w.operate(asking(p))
	ro, r := w.release("checkout", metric(everySecond))
	got := w.await(r, "success in the first step", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Verdict == v1alpha1.VerdictSuccess })
	if got.Status.Step.Name != "first" || got.Status.Metrics[0].Successful < 2 || got.Status.Metrics[0].Query != `errors{revision="7c9b"}` {
		t.Errorf("got %s", toJSON(got.Status))
	}
	w.stand(ro, inStep(1, time.Now()))
	before := got.Status.Metrics[0].LastMeasuredAt
	got = w.await(r, "the second step", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Step.Name == "second" })
	if s := got.Status.Metrics[0]; int(s.Successful) >= len(s.Measurements) || !before.Before(s.LastMeasuredAt) {
		t.Errorf("entered with %s", toJSON(got.Status))
	}
	w.await(r, "success in the second step", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Verdict == v1alpha1.VerdictSuccess })
	w.stand(ro, promoted())
	got = w.await(r, "the end", isCompleted)
	if reason(got) != "Success" {
		t.Errorf("got %s", toJSON(got.Status))
	}
}

func TestBadSampleEndsTheRunAtOnce(t *testing.T) {
	w := newWorld(t)
	var answered time.Time
	var mu sync.Mutex
	n := 0
	w.operate(asking(fake.New(func(context.Context, analysis.Query) (analysis.Sample, error) {
		mu.Lock()
		defer mu.Unlock()
		answered = time.Now()
		n++
		return analysis.Values([]float64{0.01, 0.5}[min(n, 2)-1]), nil
	})))
	ro, r := w.release("checkout", metric(everySecond))
	got := w.await(r, "failure", isCompleted)
	mu.Lock()
	took := time.Since(answered)
	mu.Unlock()
	if reason(got) != "Failure" || got.Status.Verdict != v1alpha1.VerdictFailure || got.Status.Metrics[0].Failed != 1 {
		t.Errorf("got %s", toJSON(got.Status))
	}
	t.Logf("from the answer to the verdict's arrival at a watcher: %s", took)
	if took > 200*time.Millisecond {
		t.Errorf("the verdict took %s", took)
	}
	verdict, abort, why, message := analysis.Decision(got, v1alpha1.AnalysisStep{})
	if verdict != v1alpha1.VerdictFailure || !abort || why != v1alpha1.ReasonAnalysisFailed || !strings.Contains(message, "value 0.5 does not meet successWhen") {
		t.Errorf("decided %s %v %s %q", verdict, abort, why, message)
	}

	// A completed run costs nothing, whatever its Rollout does.
	before := len(w.requests.about(r.Name))
	for i := range 5 {
		w.stand(ro, inStep(1, time.Now().Add(time.Duration(i)*time.Second)))
	}
	_, other := w.release("other", metric(everySecond))
	w.await(other, "a measurement of another run", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Step != nil })
	if after := w.requests.about(r.Name); len(after) != before {
		t.Errorf("asked the API server about a completed run: %v", after[before:])
	}
}

func TestRestartLosesNothingAndCountsNothingTwice(t *testing.T) {
	w := newWorld(t)
	p := fake.Always(0.01)
	_, r := w.release("checkout", metric(everySecond, func(m *v1alpha1.Metric) { m.Count = 6 }))
	for i := range int32(3) {
		stop := w.operate(asking(p))
		w.await(r, "two more measurements", func(r *v1alpha1.AnalysisRun) bool {
			return len(r.Status.Metrics) > 0 && r.Status.Metrics[0].Successful >= 2*(i+1)
		})
		stop()
	}
	var got v1alpha1.AnalysisRun
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(r), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Status.Metrics[0]
	if got.Status.Verdict != v1alpha1.VerdictSuccess || int(s.Successful) != len(s.Measurements) || int(s.Successful) > len(p.Queries()) {
		t.Errorf("%d queries gave %s", len(p.Queries()), toJSON(got.Status))
	}
	for i := 1; i < len(s.Measurements); i++ {
		if !s.Measurements[i-1].At.Before(&s.Measurements[i].At) {
			t.Errorf("measured twice at %s", s.Measurements[i].At)
		}
	}
}

func TestAnotherWriterMakesNothingCountTwice(t *testing.T) {
	w := newWorld(t)
	_, r := w.release("checkout", metric(everySecond, func(m *v1alpha1.Metric) { m.FailureLimit = 3 }))
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{"n":"%d"}}}`, i)
			if err := w.Patch(ctx, r.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	defer writer.Wait()
	defer cancel()
	p := fake.Always(0.5)
	w.operate(asking(p))
	got := w.await(r, "failure", isCompleted)
	if s := got.Status.Metrics[0]; s.Failed != 4 || len(s.Measurements) != 4 || len(p.Queries()) < 4 {
		t.Errorf("%d queries gave %s", len(p.Queries()), toJSON(got.Status))
	}
}

func TestRunsEndWithWhatTheyJudge(t *testing.T) {
	w := newWorld(t)
	w.operate(asking(fake.Always(0.01)))
	for name, change := range map[string]func(*v1alpha1.RolloutStatus){
		"aborted": func(s *v1alpha1.RolloutStatus) {
			s.Abort = &v1alpha1.AbortStatus{Reason: "Aborted", At: micro(time.Now())}
		},
		"superseded": func(s *v1alpha1.RolloutStatus) { s.Canary.Revision = "other" },
		"retried":    func(s *v1alpha1.RolloutStatus) { s.Attempt = 2 },
	} {
		ro, r := w.release(name, metric(everySecond))
		w.await(r, "a measurement", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Step != nil })
		s := ro.Status.DeepCopy()
		change(s)
		w.stand(ro, *s)
		if got := w.await(r, name, isCompleted); reason(got) != v1alpha1.ReasonTerminated {
			t.Errorf("%s: got %s", name, toJSON(got.Status))
		}
	}
	ro, r := w.release("deleted", metric(everySecond))
	w.await(r, "a measurement", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Step != nil })
	if err := w.Delete(t.Context(), ro); err != nil {
		t.Fatal(err)
	}
	if got := w.await(r, "the end", isCompleted); reason(got) != v1alpha1.ReasonTerminated {
		t.Errorf("deleted: got %s", toJSON(got.Status))
	}
}

func TestHundredRunsWithAStalledProviderDelayNoOther(t *testing.T) {
	w := newWorld(t)
	servers := map[string]analysis.Provider{"http://stalled": fake.Stalled(), "http://good": fake.Always(0.5)}
	for _, name := range []string{"stalled", "good"} {
		mp := metricProvider(name)
		mp.Namespace, mp.UID = w.namespace, ""
		if err := w.Create(t.Context(), mp); err != nil {
			t.Fatal(err)
		}
	}
	w.operate(Options{Open: func(e analysis.Endpoint) (analysis.Provider, error) { return servers[e.Address], nil }})
	for i := range 100 {
		w.release(fmt.Sprintf("stalled-%d", i), metric(everySecond, provider("stalled")))
	}
	began := time.Now()
	_, r := w.release("good", metric(everySecond, provider("good")))
	w.await(r, "failure", isCompleted)
	t.Logf("from the run's creation to its verdict: %s", time.Since(began))
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the good provider's run took %s", d)
	}
}

func TestSecretsAndAnswersStaySecret(t *testing.T) {
	w := newWorld(t)
	answers := []string{
		`{"status":"success","warnings":["` + canary + `"],"data":{"resultType":"scalar","result":[1,"0.01"]}}`,
		`{"status":"error","errorType":"bad_data","error":"` + canary + `"}`,
		`<html>` + canary,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"x":"` + canary + `"},"value":[1,"0.01"]}]}}`,
	}
	var mu sync.Mutex
	n, signedIn := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") == "Bearer "+canary {
			signedIn++
		}
		answer := answers[min(n, len(answers)-1)]
		n++
		if n == 2 {
			rw.WriteHeader(http.StatusBadRequest)
		}
		rw.Header().Set("X-Secret", canary)
		_, _ = io.WriteString(rw, answer)
	}))
	t.Cleanup(server.Close)
	mp := withToken(metricProvider("team"))
	mp.Namespace, mp.UID, mp.Spec.Prometheus.Address = w.namespace, "", server.URL
	token := secret("token", map[string]string{"token": canary})
	token.Namespace = w.namespace
	for _, o := range []client.Object{mp, token} {
		if err := w.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	stop := w.operate(Options{Open: prometheus.Opener(prometheus.Options{Options: egress.Options{AllowLoopback: true}})})
	_, r := w.release("checkout", metric(everySecond, provider("team"), func(m *v1alpha1.Metric) {
		m.ConsecutiveErrorLimit, m.Count = ptr.To[int32](10), 1
	}))
	got := w.await(r, "success", func(r *v1alpha1.AnalysisRun) bool { return r.Status.Verdict == v1alpha1.VerdictSuccess })
	var reasons []string
	for _, m := range got.Status.Metrics[0].Measurements {
		reasons = append(reasons, m.Reason)
	}
	if want := []string{"Warnings", "Refused", "Malformed", ""}; len(reasons) < len(want) || !slices.Equal(reasons[:len(want)], want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(mp), mp); err != nil {
		t.Fatal(err)
	}
	if !meta.IsStatusConditionTrue(mp.Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("the provider is not ready: %s", toJSON(mp.Status))
	}
	stop()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if signedIn != n || n < 4 {
		t.Errorf("signed in %d times of %d", signedIn, n)
	}
	for what, text := range map[string]string{
		"run": toJSON(got), "provider": toJSON(mp), "logs": w.logs.String(), "metrics": fmt.Sprint(families),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("the %s tell a secret:\n%s", what, text)
		}
	}
	if !strings.Contains(fmt.Sprint(families), "sluice_analysis_queries_total") || !strings.Contains(w.logs.String(), "analysisrun") {
		t.Error("nothing was logged or counted: the test would see no secret")
	}
}

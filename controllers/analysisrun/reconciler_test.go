package analysisrun

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

// rig is a reconciler whose cache and clock a test holds.
type rig struct {
	*Reconciler
	t      *testing.T
	server client.Client
	clock  *clocktesting.FakeClock
	// stale is what the cache gives instead of what the server has.
	stale client.Object
	// writes counts status writes; before is called ahead of each.
	writes int
	before func()
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	r := &rig{t: t, clock: clocktesting.NewFakeClock(t0)}
	server := fakeclient.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.AnalysisRun{}, &v1alpha1.Rollout{}).Build()
	r.server = server
	cached := interceptor.NewClient(server, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			switch o := o.(type) {
			case *v1alpha1.AnalysisRun:
				if s, ok := r.stale.(*v1alpha1.AnalysisRun); ok {
					s.DeepCopyInto(o)
					return nil
				}
			case *v1alpha1.Rollout:
				if s, ok := r.stale.(*v1alpha1.Rollout); ok {
					s.DeepCopyInto(o)
					return nil
				}
			}
			return c.Get(ctx, key, o, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			r.writes++
			if r.before != nil {
				r.before()
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	p, err := newProviders(cached, server, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	r.Reconciler = &Reconciler{
		client: cached, live: server, clock: r.clock, store: newStore(cached),
		runs: handover.New[v1alpha1.AnalysisRun](), rollouts: handover.New[handover.Unwritten](),
		measurer: newMeasurer(r.clock, p, limits{1, 1}),
	}
	return r
}

func (r *rig) reconcile(o client.Object) ctrl.Result {
	r.t.Helper()
	result, err := r.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func (r *rig) get(o *v1alpha1.AnalysisRun) *v1alpha1.AnalysisRun {
	r.t.Helper()
	got := &v1alpha1.AnalysisRun{}
	if err := r.server.Get(r.t.Context(), client.ObjectKeyFromObject(o), got); err != nil {
		r.t.Fatal(err)
	}
	return got
}

// planned returns the entry of a run's only metric.
func (r *rig) planned(o client.Object) *entry {
	r.t.Helper()
	for _, e := range r.measurer.runs[client.ObjectKeyFromObject(o)].entries {
		return e
	}
	r.t.Fatal("nothing is planned")
	return nil
}

// dispatch takes what is due from the heap, and asks nobody.
func (r *rig) dispatch() {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	r.measurer.dispatch(ctx)
}

// answer has the measurement that is planned answered.
func (r *rig) answer(o client.Object, value float64) {
	r.t.Helper()
	e := r.planned(o)
	r.clock.SetTime(e.Due)
	r.dispatch()
	e.state = stateAnswered
	e.result = analysis.Result{Due: e.Due, At: e.Due, Query: "q", Sample: analysis.Values(value)}
}

// settle reconciles a run when what was put off must be written.
func (r *rig) settle(o client.Object) {
	r.t.Helper()
	r.clock.Step(successDelay)
	r.reconcile(o)
}

func TestSuccessesAreWrittenLateAndTogether(t *testing.T) {
	ar := run("checkout", metric(func(m *v1alpha1.Metric) { m.Interval, m.Count = dur(2*time.Second), 4 }))
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	for i := range int32(3) {
		r.answer(ar, 0.01)
		if again := r.reconcile(ar); again.RequeueAfter <= 0 || again.RequeueAfter > successDelay {
			t.Errorf("looks again after %s", again.RequeueAfter)
		}
		newest := r.runs.Named(client.ObjectKeyFromObject(ar))
		if r.writes != 0 || newest.Status.Metrics[0].Successful != i+1 {
			t.Fatalf("measurement %d: %d writes, newest %s", i+1, r.writes, toJSON(newest.Status))
		}
	}
	r.clock.SetTime(t0.Add(successDelay))
	r.reconcile(ar)
	if got := r.get(ar); r.writes != 1 || got.Status.Metrics[0].Successful != 3 {
		t.Errorf("%d writes of %s", r.writes, toJSON(got.Status))
	}
	r.answer(ar, 0.01)
	r.reconcile(ar)
	if r.writes != 1 {
		t.Error("the fourth was written at once")
	}
	r.store.flush(t.Context())
	if got := r.get(ar); r.writes != 2 || got.Status.Metrics[0].Successful != 4 || got.Status.Verdict != v1alpha1.VerdictSuccess {
		t.Errorf("flushed with %d writes: %s", r.writes, toJSON(got.Status))
	}
	r.store.flush(t.Context())
	r.reconcile(ar)
	if r.writes != 2 {
		t.Errorf("%d writes at rest", r.writes)
	}
}

func TestWhatSpeaksAgainstAReleaseIsWrittenAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		sample analysis.Sample
		err    error
	}{
		"failure within the limit": {sample: analysis.Values(0.5)},
		"error":                    {err: &analysis.Error{Reason: analysis.ReasonTimeout}},
		"no data":                  {},
	} {
		t.Run(name, func(t *testing.T) {
			ar := run("checkout", metric(func(m *v1alpha1.Metric) { m.FailureLimit = 3 }))
			r := newRig(t, rollout("checkout", t0), ar)
			r.reconcile(ar)
			r.answer(ar, 0.01)
			r.planned(ar).result.Sample, r.planned(ar).result.Err = tc.sample, tc.err
			r.reconcile(ar)
			if got := r.get(ar); r.writes != 1 || len(got.Status.Metrics) != 1 {
				t.Errorf("%d writes of %s", r.writes, toJSON(got.Status))
			}
		})
	}
}

func TestWhatSomebodyElseWroteIsNotOverwritten(t *testing.T) {
	ar := run("checkout", metric())
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	r.answer(ar, 0.01)
	r.reconcile(ar)
	other := r.get(ar)
	other.Status.Message = "mended by hand"
	if err := r.server.Status().Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	r.settle(ar)
	if got := r.get(ar); r.writes != 0 || got.Status.Message != "mended by hand" {
		t.Errorf("%d writes of %s", r.writes, toJSON(got.Status))
	}
}

func TestAStepIsMeasuredThatWasNotWrittenYet(t *testing.T) {
	ro, ar := rollout("checkout", t0), run("checkout", metric())
	ro.Status.Step.InForceSince = nil
	r := newRig(t, ro, ar)
	r.reconcile(ar)
	if len(r.measurer.runs) != 0 {
		t.Fatal("measured before the step was in force")
	}
	newest := inStep(0, t0)
	r.rollouts.Publish(client.ObjectKeyFromObject(ro), ro.UID, &handover.Unwritten{Written: &ro.Status, Newest: &newest})
	r.reconcile(ar)
	if e := r.planned(ar); !e.Since.Equal(t0) {
		t.Errorf("measured since %s", e.Since)
	}
	newer := ro.DeepCopy()
	if err := r.server.Get(t.Context(), client.ObjectKeyFromObject(ro), newer); err != nil {
		t.Fatal(err)
	}
	newer.Status.Abort = &v1alpha1.AbortStatus{Reason: v1alpha1.ReasonAborted, At: micro(t0)}
	if err := r.server.Status().Update(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	r.clock.Step(settling)
	r.reconcile(ar)
	if got := r.get(ar); reason(got) != v1alpha1.ReasonTerminated {
		t.Errorf("what was written later does not count: %s", toJSON(got.Status))
	}
}

func TestAStaleCacheCountsNothingTwice(t *testing.T) {
	ar := run("checkout", metric())
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	if r.writes != 0 {
		t.Error("written before anything was measured")
	}
	before := r.get(ar)
	r.answer(ar, 0.01)
	r.reconcile(ar)
	r.settle(ar)
	if got := r.get(ar); r.writes != 1 || got.Status.Metrics[0].Successful != 1 {
		t.Fatalf("%d writes of %s", r.writes, toJSON(got.Status))
	}
	r.stale = before
	r.reconcile(ar)
	if e := r.planned(ar); r.writes != 1 || !e.Due.Equal(t0.Add(10*time.Second)) {
		t.Errorf("with a stale cache: %d writes, next due %s", r.writes, e.Due)
	}
	r.answer(ar, 0.01)
	r.reconcile(ar)
	r.settle(ar)
	if e := r.planned(ar); r.writes != 2 || !e.Due.Equal(t0.Add(20*time.Second)) {
		t.Errorf("with a cache two writes behind: %d writes, next due %s", r.writes, e.Due)
	}
	r.stale = nil
	r.reconcile(ar)
	if got := r.get(ar); r.writes != 2 || got.Status.Metrics[0].Successful != 2 || got.Status.Verdict != v1alpha1.VerdictSuccess {
		t.Errorf("%d writes of %s", r.writes, toJSON(got.Status))
	}
}

func TestAConflictKeepsTheAnswer(t *testing.T) {
	ar := run("checkout", metric())
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	r.answer(ar, 0.01)
	r.clock.Step(time.Millisecond)
	r.planned(ar).result.Sample = analysis.Values()
	r.before = func() {
		r.before = nil
		other := r.get(ar)
		other.Annotations = map[string]string{"a": "b"}
		if err := r.server.Update(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	if again := r.reconcile(ar); again.RequeueAfter != afterConflict || r.get(ar).Status.Step != nil {
		t.Fatalf("after a conflict: %+v, %s", again, toJSON(r.get(ar).Status))
	}
	r.reconcile(ar)
	if got := r.get(ar); got.Status.Metrics[0].WithoutData != 1 {
		t.Errorf("the answer is lost: %s", toJSON(got.Status))
	}
}

func TestAGapIsOneMeasurement(t *testing.T) {
	ar := run("checkout", metric())
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	r.answer(ar, 0.01)
	r.reconcile(ar)
	r.settle(ar)
	restarted := newRig(t, rollout("checkout", t0), r.get(ar))
	restarted.clock.SetTime(t0.Add(time.Hour + 3*time.Second))
	restarted.reconcile(ar)
	if e := restarted.planned(ar); !e.Due.Equal(t0.Add(time.Hour)) {
		t.Errorf("due %s", e.Due)
	}
	restarted.dispatch()
	e := restarted.planned(ar)
	e.state, e.result = stateAnswered, analysis.Result{Due: e.Due, At: restarted.clock.Now(), Sample: analysis.Values(0.01)}
	restarted.reconcile(ar)
	if e := restarted.planned(ar); !e.Due.Equal(t0.Add(time.Hour + 10*time.Second)) {
		t.Errorf("next due %s", e.Due)
	}
	restarted.settle(ar)
	if got := restarted.get(ar); got.Status.Metrics[0].Successful != 2 {
		t.Errorf("got %s", toJSON(got.Status))
	}
}

func TestARunAheadOfTheCacheIsNotEnded(t *testing.T) {
	ar := run("checkout", metric())
	ro := rollout("checkout", t0)
	r := newRig(t, ro, ar)
	old := rollout("checkout", t0)
	old.Status.Canary = &v1alpha1.RevisionStatus{Revision: "the one before"}
	r.stale = old

	r.clock.SetTime(t0.Add(4 * time.Second))
	if again := r.reconcile(ar); again.RequeueAfter != settling-4*time.Second || completed(r.get(ar)) {
		t.Errorf("a young run: %+v, %s", again, toJSON(r.get(ar).Status))
	}
	r.clock.SetTime(t0.Add(settling))
	r.reconcile(ar)
	if completed(r.get(ar)) {
		t.Error("ended although the API server knows better than the cache")
	}
	gone := rollout("checkout", t0)
	gone.Status.Canary = nil
	if err := r.server.Get(t.Context(), client.ObjectKeyFromObject(ro), ro); err != nil {
		t.Fatal(err)
	}
	ro.Status = gone.Status
	if err := r.server.Status().Update(t.Context(), ro); err != nil {
		t.Fatal(err)
	}
	r.reconcile(ar)
	if got := r.get(ar); reason(got) != v1alpha1.ReasonTerminated {
		t.Errorf("not ended: %s", toJSON(got.Status))
	}
}

func TestACompletedRunIsForgotten(t *testing.T) {
	ar := run("checkout", metric())
	r := newRig(t, rollout("checkout", t0), ar)
	r.reconcile(ar)
	r.answer(ar, 0.5)
	r.reconcile(ar)
	if got := r.get(ar); reason(got) != "Failure" || len(r.measurer.runs)+len(r.store.runs) != 0 || r.runs.Named(client.ObjectKeyFromObject(ar)) != nil {
		t.Errorf("kept %d and %d of %s", len(r.measurer.runs), len(r.store.runs), toJSON(got.Status))
	}
	r.reconcile(ar)
	if err := r.server.Delete(t.Context(), r.get(ar)); err != nil {
		t.Fatal(err)
	}
	r.reconcile(ar)
	if r.writes != 1 {
		t.Errorf("%d writes", r.writes)
	}
}

func TestRolloutsWakeTheirRunsOnlyWhenTheyStandElsewhere(t *testing.T) {
	over := run("checkout", metric())
	over.Name = "over"
	over.Status = *advance(over, stepOf(rollout("checkout", t0)), []analysis.Answer{answered("errors", t0, 0, analysis.Values(0.5), nil)}, t0)
	objects := []client.Object{run("checkout", metric()), run("other", metric()), over}
	c := fakeclient.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).
		WithIndex(&v1alpha1.AnalysisRun{}, activeIndex, activeRollout).Build()
	h, ok := rolloutHandler(c).(handler.Funcs)
	if !ok {
		t.Fatal("not Funcs")
	}
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	wakes := func(edit func(*v1alpha1.Rollout)) int {
		old := rollout("checkout", t0)
		changed := old.DeepCopy()
		edit(changed)
		h.UpdateFunc(t.Context(), event.UpdateEvent{ObjectOld: old, ObjectNew: changed}, q)
		n := q.Len()
		for q.Len() > 0 {
			item, _ := q.Get()
			if item.Name != "checkout-7c9b-1" {
				t.Errorf("woke %s", item.Name)
			}
			q.Done(item)
		}
		return n
	}
	for name, edit := range map[string]func(*v1alpha1.Rollout){
		"step":     func(r *v1alpha1.Rollout) { r.Status.Step.Index++ },
		"stay":     func(r *v1alpha1.Rollout) { r.Status.Step.InForceSince.Time = t0.Add(time.Second) },
		"attempt":  func(r *v1alpha1.Rollout) { r.Status.Attempt++ },
		"abort":    func(r *v1alpha1.Rollout) { r.Status.Abort = &v1alpha1.AbortStatus{} },
		"canary":   func(r *v1alpha1.Rollout) { r.Status.Canary = nil },
		"promoted": func(r *v1alpha1.Rollout) { r.Status.Stable.Revision = canaryRev },
		"watched":  func(r *v1alpha1.Rollout) { r.Status.AfterPromotion = &v1alpha1.AfterPromotionStatus{} },
	} {
		if wakes(edit) != 1 {
			t.Errorf("%s does not wake the run", name)
		}
	}
	for name, edit := range map[string]func(*v1alpha1.Rollout){
		"nothing":   func(*v1alpha1.Rollout) {},
		"available": func(r *v1alpha1.Rollout) { r.Status.Canary.Available = 7 },
		"labels":    func(r *v1alpha1.Rollout) { r.Labels = map[string]string{"a": "b"} },
	} {
		if wakes(edit) != 0 {
			t.Errorf("%s wakes the run", name)
		}
	}
}

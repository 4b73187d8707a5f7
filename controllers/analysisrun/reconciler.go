package analysisrun

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

const (
	// settling is how long a run that was never seen in a step may be ahead of what
	// the cache knows of its Rollout.
	settling = 10 * time.Second
	// afterConflict is how soon a run is looked at again whose cached status was old.
	afterConflict = 50 * time.Millisecond
)

// Reconciler keeps the status of AnalysisRuns.
type Reconciler struct {
	client   client.Client
	live     client.Reader // not cached
	measurer *Measurer
	clock    clock.PassiveClock
	store    *store
	// runs takes the newest of every run that is in progress.
	runs *handover.Newest[v1alpha1.AnalysisRun]
	// rollouts has statuses of Rollouts that were not written yet.
	rollouts *handover.Newest[handover.Unwritten]
}

// Reconcile folds what was measured into the status of a run, hands it on, writes it
// when it must be written, and says what is to be measured next.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	run, err := r.read(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if run == nil || completed(run) || !run.DeletionTimestamp.IsZero() {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	now := r.clock.Now()
	place, wait, err := r.place(ctx, run, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	answers := r.measurer.answers(req.NamespacedName, run.UID)
	updated := run.DeepCopy()
	updated.Status = *advance(run, place, answers, now)
	// Whoever aborts on it waits for no write.
	r.runs.Publish(req.NamespacedName, run.UID, updated.DeepCopy())
	unwritten, err := r.store.put(ctx, updated, now)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: afterConflict}, nil
	case apierrors.IsNotFound(err):
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("write status: %w", err)
	}
	count(&run.Status, &updated.Status, answers)
	r.measurer.acknowledge(req.NamespacedName, answers)
	if completed(updated) {
		log.FromContext(ctx).Info("Completed analysis", "verdict", updated.Status.Verdict)
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	r.measurer.plan(req.NamespacedName, run.UID, tasksOf(updated, place, now))
	return ctrl.Result{RequeueAfter: soonest(wait, unwritten)}, nil
}

// soonest returns the shorter of two waits, of which 0 is none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// read returns a run with the newest status there is of it, or nil for a run that
// does not exist.
func (r *Reconciler) read(ctx context.Context, key types.NamespacedName) (*v1alpha1.AnalysisRun, error) {
	run := &v1alpha1.AnalysisRun{}
	if err := r.client.Get(ctx, key, run); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	return r.store.newest(run), nil
}

// place finds out where a run stands. A run that was never seen in a step may be
// newer than what the cache knows of its Rollout; before it is ended, the API
// server is asked. It also returns when to look again, or 0.
func (r *Reconciler) place(ctx context.Context, run *v1alpha1.AnalysisRun, now time.Time) (place, time.Duration, error) {
	p, err := r.placeBy(ctx, r.client, run)
	if err != nil || p.end == nil || run.Status.Step != nil {
		return p, 0, err
	}
	if age := now.Sub(run.CreationTimestamp.Time); age < settling {
		return place{}, settling - age, nil
	}
	p, err = r.placeBy(ctx, r.live, run)
	return p, 0, err
}

func (r *Reconciler) placeBy(ctx context.Context, reader client.Reader, run *v1alpha1.AnalysisRun) (place, error) {
	rollout := &v1alpha1.Rollout{}
	key := types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.Subject.Rollout}
	switch err := reader.Get(ctx, key, rollout); {
	case apierrors.IsNotFound(err):
		rollout = nil
	case err != nil:
		return place{}, fmt.Errorf("read Rollout: %w", err)
	default:
		if u := r.rollouts.Get(key, rollout.UID); u != nil && u.Over(&rollout.Status) {
			rollout.Status = *u.Newest
		}
	}
	return placeOf(run, rollout), nil
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.measurer.forget(key)
	r.store.forget(key)
	r.runs.Forget(key)
}

// tasksOf says what is to be measured next. The status may not speak of the step
// yet.
func tasksOf(run *v1alpha1.AnalysisRun, p place, now time.Time) []task {
	if p.step == nil {
		return nil
	}
	status := run.Status.DeepCopy()
	analysis.Enter(status, run.Spec.Metrics, *p.step)
	since := p.step.Since.Time
	tasks := make([]task, 0, len(run.Spec.Metrics))
	for i := range run.Spec.Metrics {
		m := &run.Spec.Metrics[i]
		if analysis.IsComparison(m) && p.step.Name == v1alpha1.AfterPromotionStep {
			continue // There is no revision beside it any more.
		}
		evidence := analysis.Evidence(status, m.Name)
		from, due := nextOf(&run.Spec, m, evidence, since, now)
		tasks = append(tasks, task{
			metric:    analysis.WithBounds(m, evidence),
			policy:    &run.Spec.ComparisonPolicy,
			from:      from,
			namespace: run.Namespace,
			variables: analysis.VariablesOf(run),
			since:     since,
			due:       due,
		})
	}
	return tasks
}

// count counts the measurements that a status has and the one before had not.
func count(before, after *v1alpha1.AnalysisRunStatus, answers []answer) {
	for _, a := range answers {
		s := analysis.Evidence(after, a.metric)
		if s == nil || s.LastMeasuredAt == nil || len(s.Measurements) == 0 {
			continue
		}
		if old := analysis.Evidence(before, a.metric); old == nil || !s.LastMeasuredAt.Equal(old.LastMeasuredAt) {
			measurementsTotal.WithLabelValues(string(s.Measurements[len(s.Measurements)-1].Verdict)).Inc()
		}
	}
}

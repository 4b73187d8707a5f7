package analysisrun

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
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

	mu      sync.Mutex
	written map[types.NamespacedName]write
}

// write is a status that was written, and the versions that it and those before it
// replaced. While the cache still gives one of these, the written one is newer.
type write struct {
	replaced []string
	run      *v1alpha1.AnalysisRun
}

// Reconcile folds what was measured into the status of a run, writes it at most
// once, and says what is to be measured next.
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
	switch err := r.write(ctx, run, updated); {
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
	return ctrl.Result{RequeueAfter: wait}, nil
}

// read reads a run from the cache, or what was written last where the cache does
// not have it yet. It returns nil for a run that does not exist.
func (r *Reconciler) read(ctx context.Context, key types.NamespacedName) (*v1alpha1.AnalysisRun, error) {
	run := &v1alpha1.AnalysisRun{}
	if err := r.client.Get(ctx, key, run); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.written[key]
	if ok && w.run.UID == run.UID && slices.Contains(w.replaced, run.ResourceVersion) {
		return w.run.DeepCopy(), nil
	}
	delete(r.written, key) // the cache has it, or something newer
	return run, nil
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
	}
	return placeOf(run, rollout), nil
}

// write writes a status that changed, unless another writer came first.
func (r *Reconciler) write(ctx context.Context, old, updated *v1alpha1.AnalysisRun) error {
	if apiequality.Semantic.DeepEqual(old.Status, updated.Status) {
		return nil
	}
	if err := r.client.Status().Update(ctx, updated); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(updated)
	r.written[key] = write{replaced: append(r.written[key].replaced, old.ResourceVersion), run: updated.DeepCopy()}
	return nil
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.measurer.forget(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, key)
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
		tasks = append(tasks, task{
			metric:    m,
			namespace: run.Namespace,
			variables: analysis.VariablesOf(run),
			since:     since,
			due:       analysis.NextDue(m, analysis.Evidence(status, m.Name), since, now),
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

package analysisrun

import (
	"context"
	"slices"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/handover"
)

// successDelay is how old a success may be before it is written. A process that ends
// in between measures again what was not written: that takes time and passes nothing.
// What speaks against a release is written at once.
const successDelay = 5 * time.Second

// store writes statuses of runs, and knows the newest of each, written or not.
type store struct {
	client client.Client

	mu   sync.Mutex
	runs map[types.NamespacedName]*stored
}

// stored is what is known of one run.
type stored struct {
	uid types.UID
	// written is the run as it was last seen or written.
	written *v1alpha1.AnalysisRun
	// replaced are the versions that our writes replaced: while the cache still gives
	// one of these, written is newer.
	replaced []string
	// unwritten is newer than written, since a time; nil if nothing is.
	unwritten *v1alpha1.AnalysisRunStatus
	since     time.Time
}

func newStore(c client.Client) *store {
	return &store{client: c, runs: map[types.NamespacedName]*stored{}}
}

// newest returns a run as it is known best: the cache may be behind what was
// written, and that behind what was not written yet. What somebody else wrote
// counts for more than the latter.
func (s *store) newest(cached *v1alpha1.AnalysisRun) *v1alpha1.AnalysisRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKeyFromObject(cached)
	k := s.runs[key]
	if k == nil || k.uid != cached.UID {
		k = &stored{uid: cached.UID, written: cached}
		s.runs[key] = k
	}
	if !slices.Contains(k.replaced, cached.ResourceVersion) {
		if !apiequality.Semantic.DeepEqual(k.written.Status, cached.Status) {
			k.unwritten = nil
		}
		k.written, k.replaced = cached, nil
	}
	run := k.written.DeepCopy()
	if k.unwritten != nil {
		run.Status = *k.unwritten.DeepCopy()
	}
	return run
}

// put takes the new status of a run that newest returned, and writes it unless that
// can wait. It returns how long it can.
func (s *store) put(ctx context.Context, run *v1alpha1.AnalysisRun, now time.Time) (time.Duration, error) {
	if wait, ok := s.putOff(run, now); ok {
		return wait, nil
	}
	return 0, s.write(ctx, run.DeepCopy())
}

// putOff keeps a status that need not be written now, and tells whether it did, and
// for how long.
func (s *store) putOff(run *v1alpha1.AnalysisRun, now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.runs[client.ObjectKeyFromObject(run)]
	if k == nil {
		return 0, false
	}
	if apiequality.Semantic.DeepEqual(k.written.Status, run.Status) {
		k.unwritten = nil
		return 0, true
	}
	if !onlySucceeded(&k.written.Status, run) {
		return 0, false
	}
	if k.unwritten == nil {
		k.since = now
	}
	wait := successDelay - now.Sub(k.since)
	if wait <= 0 {
		return 0, false
	}
	k.unwritten = run.Status.DeepCopy()
	return wait, true
}

// write writes a status, unless another writer came first.
func (s *store) write(ctx context.Context, run *v1alpha1.AnalysisRun) error {
	replaces := run.ResourceVersion
	if err := s.client.Status().Update(ctx, run); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.runs[client.ObjectKeyFromObject(run)]; k != nil && k.uid == run.UID {
		k.replaced = append(k.replaced, replaces)
		k.written, k.unwritten = run, nil
	}
	return nil
}

// flush writes what was put off, of a process that stops.
func (s *store) flush(ctx context.Context) {
	handover.EachAtStop(s.putOffRuns(), func(run *v1alpha1.AnalysisRun) {
		if err := s.write(ctx, run); err != nil {
			log.FromContext(ctx).Info("Evidence was not written before stopping, and is measured again",
				"analysisRun", client.ObjectKeyFromObject(run), "cause", err.Error())
		}
	})
}

func (s *store) putOffRuns() []*v1alpha1.AnalysisRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	var runs []*v1alpha1.AnalysisRun
	for _, k := range s.runs {
		if k.unwritten != nil {
			run := k.written.DeepCopy()
			run.Status = *k.unwritten.DeepCopy()
			runs = append(runs, run)
		}
	}
	return runs
}

func (s *store) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, key)
}

// onlySucceeded tells whether a run says nothing more than its status did but that
// more measurements succeeded, be it in another step.
func onlySucceeded(old *v1alpha1.AnalysisRunStatus, run *v1alpha1.AnalysisRun) bool {
	updated := &run.Status
	if completed(run) || updated.Verdict != v1alpha1.VerdictSuccess && updated.Verdict != v1alpha1.VerdictPending {
		return false
	}
	for i := range updated.Metrics {
		is, was := &updated.Metrics[i], v1alpha1.MetricStatus{}
		if e := analysis.Evidence(old, is.Name); e != nil {
			was = *e
		}
		if !analysis.SameStep(old.Step, updated.Step) {
			was.Inconclusive, was.WithoutData = 0, 0 // These are of the step.
		}
		if is.Failed > was.Failed || is.Errors > was.Errors || is.Inconclusive > was.Inconclusive || is.WithoutData > was.WithoutData {
			return false
		}
	}
	return true
}

package main

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/report"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// release is the books of one release, from the push of a new image on.
type release struct {
	began   time.Time
	version string
	base    localcluster.TrafficSnapshot
	after   int32 // the attempt before this one

	// Known once the operator has started it.
	stable, revision string
	attempt          int32

	weights []int32
	weight  int32
	told    int32     // the weight that traffic was last said to follow
	zeroAt  time.Time // when the weight went to 0 last
	ended   *v1alpha1.Transition
	endedAt time.Time
	// back is how it was taken back after its promotion, and alerted when the alert that
	// did so began to fire.
	back    *v1alpha1.Transition
	backAt  time.Time
	alerted time.Time
}

// name says which revisions it is about.
func (r *release) name(stable, revision string, attempt int32) {
	r.stable, r.revision, r.attempt = stable, revision, attempt
}

// seeSplit notes the weight of the released revision, an entry a change.
func (r *release) seeSplit(at time.Time, split timeline.Split) {
	if r.revision == "" {
		return
	}
	weight := split.Share(r.revision)
	if weight == r.weight {
		return
	}
	r.weight = weight
	r.weights = append(r.weights, weight)
	if weight == 0 {
		r.zeroAt = at
	}
}

// seeStatus notes how it ended.
func (r *release) seeStatus(at time.Time, rollout *v1alpha1.Rollout) {
	t := rollout.Status.LastTransition
	if r.attempt == 0 || rollout.Status.Attempt != r.attempt || t == nil {
		return
	}
	switch t.Type {
	case v1alpha1.TransitionPromoted, v1alpha1.TransitionAborted:
		if r.ended == nil && t.Revision == r.revision {
			r.ended, r.endedAt = t.DeepCopy(), at
		}
	case v1alpha1.TransitionRolledBack:
		if r.back == nil && r.promoted() && t.Revision == r.stable {
			r.back, r.backAt = t.DeepCopy(), at
		}
	case v1alpha1.TransitionDeployed, v1alpha1.TransitionStarted, v1alpha1.TransitionStepEntered,
		v1alpha1.TransitionRetried, v1alpha1.TransitionSuperseded, v1alpha1.TransitionPaused:
	}
}

// seeAction notes since when the alert fires that speaks against it.
func (r *release) seeAction(a *v1alpha1.RolloutAction) {
	if a.Spec.Alert != nil && a.Spec.Revision == r.revision && r.alerted.IsZero() {
		r.alerted = a.Spec.Alert.StartsAt.Time
	}
}

// promoted and aborted tell how it ended; both are false until it did.
func (r *release) promoted() bool {
	return r.ended != nil && r.ended.Type == v1alpha1.TransitionPromoted
}

func (r *release) aborted() bool {
	return r.ended != nil && r.ended.Type == v1alpha1.TransitionAborted
}

// loser is the revision that has to go.
func (r *release) loser() string {
	if r.promoted() && r.back == nil {
		return r.stable
	}
	return r.revision
}

// count is what a revision had to answer since the push.
func (r *release) count(now localcluster.TrafficSnapshot, revision string) timeline.Count {
	n, before := now.Revisions[revision], r.base.Revisions[revision]
	return timeline.Count{Requests: n.Requests - before.Requests, Failed: n.Failed() - before.Failed()}
}

// report is what came of it. firstBad is when Prometheus first served a bad sample;
// zero when it did not.
func (r *release) report(now localcluster.TrafficSnapshot, firstBad time.Time) report.Release {
	out := report.Release{
		Revision: r.revision, Stable: r.stable, Weights: r.weights,
		Requests: map[string]int64{}, Failed: map[string]int64{}, Versions: map[string]string{},
		Lost: now.Lost() - r.base.Lost(),
	}
	for revision, stats := range now.Revisions {
		if c := r.count(now, revision); c.Requests > 0 {
			out.Requests[revision], out.Failed[revision] = c.Requests, c.Failed
			out.Versions[revision] = stats.Version
		}
	}
	if r.ended == nil {
		return out
	}
	end, last := r.endedAt, r.ended
	switch {
	case r.back != nil:
		out.Outcome, last, end = report.RolledBack, r.back, r.backAt
		out.SecondsPromoted = seconds(r.endedAt, r.backAt)
		out.SecondsToRollback = seconds(r.alerted, r.zeroAt)
	case r.promoted():
		out.Outcome = report.Promoted
	default:
		out.Outcome = report.Aborted
		out.SecondsToRollback = seconds(firstBad, r.zeroAt)
	}
	if !r.promoted() || r.back != nil {
		end = latest(end, r.zeroAt)
	}
	out.Reason, out.Message = last.Reason, last.Message
	out.Seconds = end.Sub(r.began).Seconds()
	return out
}

// seconds from one time to another; nothing where either is not known.
func seconds(from, to time.Time) *float64 {
	if from.IsZero() || to.IsZero() {
		return nil
	}
	s := to.Sub(from).Seconds()
	return &s
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

package localcluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podState is what the runner knows of one pod. Fields up to closed belong to
// the worker that holds the pod's key; the rest is guarded by podRunner.mu.
type podState struct {
	uid     types.UID
	plan    podPlan
	bound   bool
	started time.Time
	drained time.Time // until when a deleted pod serves; zero while it lives
	facts   podFacts
	written bool // facts have been reported
	closing bool
	stopped bool // a failed pod's app was cut

	ip      string
	server  *podServer
	unready bool // SetReady(false)
	failed  bool // FailPod
	closed  bool // the server has drained
}

// work brings one pod to where its spec, its age and its deletion say.
func (r *podRunner) work(ctx context.Context, key types.NamespacedName) error {
	pod, err := r.lister.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	s := r.state(key, pod.UID)
	if s == nil { // another pod of the same name was here
		r.forget(key)
		s = r.state(key, pod.UID)
	}
	if pod.DeletionTimestamp != nil {
		return r.terminate(ctx, key, pod, s)
	}
	switch node := pod.Spec.NodeName; {
	case node == NodeName:
	case node != "":
		return nil
	case !s.bound: // otherwise the watch is behind
		if err := r.bind(ctx, pod); err != nil {
			return ignoreGone(err)
		}
		s.bound = true
	}
	return r.run(ctx, key, pod, s)
}

// state returns the pod's state, a new one for a pod not seen before, and nil
// when the name is held by an earlier pod.
func (r *podRunner) state(key types.NamespacedName, uid types.UID) *podState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.pods[key]
	if !ok {
		s = &podState{uid: uid}
		r.pods[key] = s
	}
	if s.uid != uid {
		return nil
	}
	return s
}

// forget ends what is left of a pod that no longer exists.
func (r *podRunner) forget(key types.NamespacedName) {
	r.mu.Lock()
	s, ok := r.pods[key]
	delete(r.pods, key)
	r.mu.Unlock()
	if !ok {
		return
	}
	if s.server != nil {
		s.server.stop()
	}
	r.ips.release(s.ip)
}

func (r *podRunner) bind(ctx context.Context, pod *corev1.Pod) error {
	err := r.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: NodeName},
	}, metav1.CreateOptions{})
	if apierrors.IsConflict(err) {
		return nil // bound already: the watch is behind
	}
	return err
}

// run starts a bound pod and keeps its status true.
func (r *podRunner) run(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, s *podState) error {
	if s.started.IsZero() {
		if err := r.begin(pod, s); err != nil {
			return err
		}
	}
	wait := s.plan.startDelay - r.clock.Since(s.started)
	able := s.plan.invalid == "" && !s.plan.neverReady
	up := able && wait <= 0
	if up && s.server == nil && !s.plan.pause && !s.stopped {
		if err := r.serve(pod, s); err != nil {
			return err
		}
	}
	r.mu.Lock()
	unready, failed := s.unready, s.failed
	r.mu.Unlock()
	if failed {
		s.stop()
	}
	if able && wait > 0 {
		r.queue.AddAfter(key, wait)
	}
	return r.report(ctx, pod, s, up && !unready && !failed)
}

// begin gives a bound pod its address.
func (r *podRunner) begin(pod *corev1.Pod, s *podState) error {
	ip, err := r.ips.take()
	if err != nil {
		return err
	}
	r.mu.Lock()
	s.ip = ip
	r.mu.Unlock()
	s.plan, s.started = planPod(pod), r.clock.Now()
	return nil
}

// stop ends what a pod serves, once.
func (s *podState) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	if s.server != nil {
		s.server.stop()
	}
}

func (r *podRunner) serve(pod *corev1.Pod, s *podState) error {
	server, err := servePod(pod, s.ip, s.plan.behaviour, &r.slow)
	if err != nil {
		return err
	}
	r.mu.Lock()
	s.server = server
	r.mu.Unlock()
	return nil
}

// report writes the pod's status if it differs from what was written last.
func (r *podRunner) report(ctx context.Context, pod *corev1.Pod, s *podState, ready bool) error {
	facts := podFacts{
		ip: s.ip, started: s.started, changed: s.facts.changed,
		ready: ready, killed: s.stopped, waiting: s.plan.invalid,
	}
	if facts == s.facts && s.written {
		return nil
	}
	if facts.changed.IsZero() || facts.ready != s.facts.ready {
		facts.changed = r.clock.Now()
	}
	status := podStatus(pod, NodeName, r.nodeIP, facts)
	patch, err := statusPatch(pod, &status)
	if err != nil {
		return err
	}
	_, err = r.client.CoreV1().Pods(pod.Namespace).Patch(
		ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		if ignoreGone(err) != nil {
			return fmt.Errorf("report status: %w", err)
		}
		return nil
	}
	s.facts, s.written = facts, true
	return nil
}

// terminate takes a deleted pod out of the endpoints at once, serves for the
// rest of its grace period, lets requests in flight finish and then removes
// the object.
func (r *podRunner) terminate(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, s *podState) error {
	if s.started.IsZero() || s.stopped {
		return r.remove(ctx, pod)
	}
	now := r.clock.Now()
	if s.drained.IsZero() {
		// The deletion may have come with a grace period of its own.
		s.drained = now.Add(planPod(pod).drain)
	}
	if now.Before(s.drained) {
		if s.facts.ready {
			if err := r.report(ctx, pod, s, false); err != nil {
				return err
			}
		}
		r.queue.AddAfter(key, s.drained.Sub(now))
		return nil
	}
	r.mu.Lock()
	closed := s.closed
	r.mu.Unlock()
	if s.server == nil || closed {
		return r.remove(ctx, pod)
	}
	if !s.closing {
		s.closing = true
		r.drains.Go(func() {
			s.server.drain(drainLimit)
			r.mu.Lock()
			s.closed = true
			r.mu.Unlock()
			r.queue.Add(key)
		})
	}
	return nil
}

func (r *podRunner) remove(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	err := r.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if err = ignoreGone(err); err != nil {
		return fmt.Errorf("remove pod: %w", err)
	}
	return nil
}

// ignoreGone drops the errors that mean the pod, or the pod of that identity,
// is no longer there: its deletion arrives through the watch.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/controllers/rollout/resources"
)

// conflictDelay is how long to wait for the cache after somebody else wrote first.
const conflictDelay = 20 * time.Millisecond

// runHistory is how many AnalysisRuns of earlier attempts are kept.
const runHistory = 5

// apply carries out a plan. What takes traffic from the canary is written before
// the position, what gives it more is written after: a crash in between leaves
// the canary with less than it may have, never more.
func (r *Reconciler) apply(ctx context.Context, o *observation, p *plan.Plan) error {
	var lowered error
	if p.Split != nil && !p.Raises {
		lowered = r.applySplit(ctx, o, p)
	}
	if err := r.writeStatus(ctx, o, p, lowered == nil); err != nil {
		return errors.Join(lowered, err)
	}
	if lowered != nil {
		return lowered
	}
	if p.Split != nil && p.Raises {
		if err := r.applySplit(ctx, o, p); err != nil {
			return err
		}
	}
	return errors.Join(
		r.applyScale(ctx, o, p.Scale),
		r.applyRun(ctx, o, p.Run),
		r.applyOutcomes(ctx, o, p.Actions),
		r.applyForget(ctx, o, p.Forget),
		r.applyRelease(ctx, o, p),
	)
}

func (r *Reconciler) applySplit(ctx context.Context, o *observation, p *plan.Plan) error {
	log.FromContext(ctx).Info("Moving traffic", "stable", p.Split.Stable, "canary", p.Split.Canary, "weight", p.Split.Weight)
	err := r.router.Apply(ctx, o.target, *p.Split)
	// Whatever became of it: what is seen next is new, even if it looks the same.
	o.memory.lost()
	if err != nil {
		return fmt.Errorf("writing the routing: %w", err)
	}
	return nil
}

func (r *Reconciler) applyScale(ctx context.Context, o *observation, intents []plan.ScaleIntent) error {
	var errs []error
	for _, intent := range intents {
		rs := o.replicaSets[intent.Revision]
		if rs == nil {
			errs = append(errs, r.createReplicaSet(ctx, o, intent))
			continue
		}
		errs = append(errs, r.scaleReplicaSet(ctx, rs, intent.Replicas))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) createReplicaSet(ctx context.Context, o *observation, intent plan.ScaleIntent) error {
	rs, err := resources.MakeReplicaSet(o.rollout, o.template, intent.Revision, intent.Replicas)
	if err != nil {
		return fmt.Errorf("building the ReplicaSet of revision %s: %w", intent.Revision, err)
	}
	log.FromContext(ctx).Info("Creating a ReplicaSet", "replicaSet", rs.GetName(), "replicas", intent.Replicas)
	// One that exists is ours, and the cache is behind; or it is in the way, and
	// then the next attempt says so again.
	if err := r.client.Create(ctx, rs); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating ReplicaSet %s: %w", rs.GetName(), err)
	}
	return nil
}

// scaleReplicaSet sets the number of pods. Taking pods away insists on the
// ReplicaSet being as it was seen.
func (r *Reconciler) scaleReplicaSet(ctx context.Context, rs *appsv1.ReplicaSet, replicas int32) error {
	log.FromContext(ctx).Info("Scaling a ReplicaSet", "replicaSet", rs.Name, "replicas", replicas)
	patch := map[string]any{"spec": map[string]any{"replicas": replicas}}
	if replicas < ptr.Deref(rs.Spec.Replicas, 1) {
		patch["metadata"] = map[string]any{"resourceVersion": rs.ResourceVersion}
	}
	return r.mergePatch(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: rs.Namespace, Name: rs.Name}}, patch)
}

func (r *Reconciler) mergePatch(ctx context.Context, obj client.Object, patch map[string]any) error {
	raw, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("writing a patch: %w", err)
	}
	if err := r.client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, raw)); err != nil {
		return fmt.Errorf("patching %T %s: %w", obj, obj.GetName(), err)
	}
	return nil
}

func (r *Reconciler) applyRun(ctx context.Context, o *observation, intent *plan.RunIntent) error {
	if intent == nil || o.run != nil && o.run.Spec.Subject.Attempt == intent.Attempt {
		return nil
	}
	run := resources.MakeAnalysisRun(r.withAnalysis(o.rollout), intent.Stable, intent.Canary, intent.Attempt)
	if err := r.client.Create(ctx, run); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return fmt.Errorf("creating AnalysisRun %s: %w", run.Name, err)
	}
	return r.pruneRuns(ctx, o.rollout, run.Name)
}

// pruneRuns deletes the oldest AnalysisRuns beyond the history.
func (r *Reconciler) pruneRuns(ctx context.Context, rollout *v1alpha1.Rollout, current string) error {
	runs, err := r.listRuns(ctx, rollout)
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(runs, func(run v1alpha1.AnalysisRun) bool { return run.Name == current })
	slices.SortFunc(old, func(a, b v1alpha1.AnalysisRun) int { return int(b.Spec.Subject.Attempt - a.Spec.Subject.Attempt) })
	var errs []error
	for i := runHistory; i < len(old); i++ {
		errs = append(errs, r.delete(ctx, &old[i]))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) delete(ctx context.Context, obj client.Object) error {
	return deleteSeen(ctx, r.client, obj)
}

// deleteSeen deletes exactly the object that was seen; it may be gone already.
func deleteSeen(ctx context.Context, c client.Client, obj client.Object) error {
	err := c.Delete(ctx, obj, client.Preconditions{UID: ptr.To(obj.GetUID())},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %T %s: %w", obj, obj.GetName(), err)
	}
	return nil
}

func (r *Reconciler) applyForget(ctx context.Context, o *observation, names []string) error {
	var errs []error
	for _, rs := range o.replicaSets {
		if slices.Contains(names, rs.Name) {
			errs = append(errs, r.delete(ctx, rs))
		}
	}
	return errors.Join(errs...)
}

// applyRelease gives the routing back, lets go of what is to go on serving, and
// then of the Rollout.
func (r *Reconciler) applyRelease(ctx context.Context, o *observation, p *plan.Plan) error {
	if !p.Release {
		return nil
	}
	if o.Routing.Problem == nil || o.Routing.Problem.Reason != v1alpha1.ReasonRouteClaimed {
		if err := r.router.Release(ctx, o.target); err != nil {
			return fmt.Errorf("giving the routing back: %w", err)
		}
	}
	stable := o.replicaSets[p.Position.Stable]
	if stable != nil && p.Position.Proven > 0 && o.rollout.Spec.DeletionPolicy != v1alpha1.DeletionPolicyDelete {
		if err := r.orphan(ctx, stable); err != nil {
			return err
		}
	}
	return r.removeFinalizer(ctx, o.rollout)
}

// orphan removes the owner of a ReplicaSet, so that it outlives it.
func (r *Reconciler) orphan(ctx context.Context, rs *appsv1.ReplicaSet) error {
	if metav1.GetControllerOf(rs) == nil {
		return nil
	}
	owners := slices.DeleteFunc(slices.Clone(rs.OwnerReferences), func(ref metav1.OwnerReference) bool {
		return ref.Controller != nil && *ref.Controller
	})
	return r.writeOwners(ctx, rs, owners)
}

// writeOwners sets the owners of a ReplicaSet that is as it was seen.
func (r *Reconciler) writeOwners(ctx context.Context, rs *appsv1.ReplicaSet, owners []metav1.OwnerReference) error {
	return r.mergePatch(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: rs.Namespace, Name: rs.Name}},
		map[string]any{"metadata": map[string]any{
			"uid":             rs.UID,
			"resourceVersion": rs.ResourceVersion,
			"ownerReferences": owners,
		}})
}

func (r *Reconciler) addFinalizer(ctx context.Context, rollout *v1alpha1.Rollout) error {
	return r.patchFinalizers(ctx, rollout, controllerutil.AddFinalizer)
}

func (r *Reconciler) removeFinalizer(ctx context.Context, rollout *v1alpha1.Rollout) error {
	return client.IgnoreNotFound(r.patchFinalizers(ctx, rollout, controllerutil.RemoveFinalizer))
}

// patchFinalizers writes the finalizers and nothing else: the spec is the user's.
func (r *Reconciler) patchFinalizers(ctx context.Context, rollout *v1alpha1.Rollout, edit func(client.Object, string) bool) error {
	edited := rollout.DeepCopy()
	edit(edited, v1alpha1.TrafficFinalizer)
	finalizers := edited.Finalizers
	patched := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: rollout.Namespace, Name: rollout.Name}}
	if err := r.mergePatch(ctx, patched, map[string]any{"metadata": map[string]any{
		"uid":             rollout.UID,
		"resourceVersion": rollout.ResourceVersion,
		"finalizers":      finalizers,
	}}); err != nil {
		return err
	}
	rollout.Finalizers, rollout.ResourceVersion = patched.Finalizers, patched.ResourceVersion
	return nil
}

func isConflict(err error) bool {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return slices.ContainsFunc(joined.Unwrap(), isConflict)
	}
	return apierrors.IsConflict(err)
}

func ignoreConflict(err error) error {
	if isConflict(err) {
		return nil
	}
	return err
}

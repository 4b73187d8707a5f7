package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

// applyOutcomes tells the commands what became of them. Their effect is in the
// Rollout's status already, so that a crash before this repeats nothing.
func (r *Reconciler) applyOutcomes(ctx context.Context, o *observation, outcomes []plan.ActionOutcome) error {
	var errs []error
	for _, outcome := range outcomes {
		errs = append(errs, r.writeOutcome(ctx, o.actions[outcome.UID], outcome))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) writeOutcome(ctx context.Context, a *v1alpha1.RolloutAction, outcome plan.ActionOutcome) error {
	kind := v1alpha1.ConditionRefused
	if outcome.Applied {
		kind = v1alpha1.ConditionApplied
	}
	written := a.DeepCopy()
	written.Status.ObservedGeneration = a.Generation
	meta.SetStatusCondition(&written.Status.Conditions, metav1.Condition{
		Type:               kind,
		Status:             metav1.ConditionTrue,
		ObservedGeneration: a.Generation,
		Reason:             outcome.Reason,
		Message:            outcome.Message,
	})
	if err := r.client.Status().Update(ctx, written); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing what became of RolloutAction %s: %w", a.Name, err)
	}
	return nil
}

// timeToLive is how long a command may take effect, and is kept after that.
func timeToLive(a *v1alpha1.RolloutAction) time.Duration {
	return duration(a.Spec.TimeToLive, time.Hour)
}

package analysisrun

import (
	"context"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// lookAgain is how soon a MetricProvider that is not usable is looked at again: its
// Secrets are not watched.
const lookAgain = time.Minute

// readiness tells in the status of MetricProviders whether they are usable: that
// they can be read, that their Secrets can, and that a client can be made of both.
// The server itself is not asked.
type readiness struct {
	client    client.Client
	providers *Providers
	clock     clock.PassiveClock
}

// Reconcile writes the condition Ready, where it changed.
func (r *readiness) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var mp v1alpha1.MetricProvider
	if err := r.client.Get(ctx, req.NamespacedName, &mp); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.providers.forget(providerKey{namespace: req.Namespace, name: req.Name})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !mp.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	_, _, usable := r.providers.resolve(ctx, &mp)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	result := ctrl.Result{}
	if usable != nil {
		result.RequeueAfter = lookAgain
	}
	updated := mp.DeepCopy()
	updated.Status.ObservedGeneration = mp.Generation
	meta.SetStatusCondition(&updated.Status.Conditions, readyCondition(&mp, usable, r.clock.Now()))
	if apiequality.Semantic.DeepEqual(mp.Status, updated.Status) {
		return result, nil
	}
	return result, client.IgnoreNotFound(r.client.Status().Update(ctx, updated))
}

func readyCondition(mp *v1alpha1.MetricProvider, err error, now time.Time) metav1.Condition {
	c := metav1.Condition{
		Type:               v1alpha1.ConditionReady,
		Status:             metav1.ConditionTrue,
		Reason:             v1alpha1.ReasonProviderUsable,
		Message:            "can be asked",
		ObservedGeneration: mp.Generation,
		LastTransitionTime: metav1.NewTime(now),
	}
	if err != nil {
		reason := analysis.ReasonOf(err)
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(reason), reason.Sentence()
	}
	return c
}

package notifier

import (
	"context"
	"errors"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/notify"
)

const (
	// lookAgain is how soon a Notifier that is not usable is looked at again: its
	// Secrets are not watched.
	lookAgain = time.Minute
	// maxMessage is the most bytes of a condition's message.
	maxMessage = 1024
)

// readiness tells in the status of Notifiers whether they are usable: that the spec is
// valid, its Secrets can be read, and they have an address. The server itself is not
// asked.
type readiness struct {
	client    client.Client
	directory *directory
	clock     clock.PassiveClock
}

// Reconcile writes the condition Ready, where it changed.
func (r *readiness) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var n v1alpha1.Notifier
	if err := r.client.Get(ctx, req.NamespacedName, &n); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !n.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	usable := r.check(ctx, &n)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	result := ctrl.Result{}
	if usable != nil {
		result.RequeueAfter = lookAgain
	}
	updated := n.DeepCopy()
	updated.Status.ObservedGeneration = n.Generation
	meta.SetStatusCondition(&updated.Status.Conditions, readyCondition(&n, usable, r.clock.Now()))
	if apiequality.Semantic.DeepEqual(n.Status, updated.Status) {
		return result, nil
	}
	return result, client.IgnoreNotFound(r.client.Status().Update(ctx, updated))
}

func (r *readiness) check(ctx context.Context, n *v1alpha1.Notifier) error {
	if err := notify.Check(&n.Spec); err != nil {
		return err
	}
	target, err := r.directory.target(ctx, n)
	if err != nil {
		return err
	}
	return target.Check()
}

func readyCondition(n *v1alpha1.Notifier, err error, now time.Time) metav1.Condition {
	c := metav1.Condition{
		Type:               v1alpha1.ConditionReady,
		Status:             metav1.ConditionTrue,
		Reason:             v1alpha1.ReasonNotifierUsable,
		Message:            "can be told",
		ObservedGeneration: n.Generation,
		LastTransitionTime: metav1.NewTime(now),
	}
	var why *notify.Error
	if errors.As(err, &why) {
		message := why.Error()
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(why.Reason), strings.ToValidUTF8(message[:min(len(message), maxMessage)], "")
	}
	return c
}

package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/controllers/rollout/resources"
	"github.com/sluice-dev/sluice/internal/alerts"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// observation is what was read for one decision: the values that the plan takes,
// and the objects behind them that applying it needs.
type observation struct {
	plan.Observed
	rollout *v1alpha1.Rollout
	// status is the newest, written or not.
	status      *v1alpha1.RolloutStatus
	template    resources.Template
	replicaSets map[string]*appsv1.ReplicaSet // by revision
	actions     map[string]*v1alpha1.RolloutAction
	run         *v1alpha1.AnalysisRun
	target      trafficrouting.Target
	memory      *recollection
	alertRules  []alerts.Rule
	// unread is why something could not be read that the decision had to do
	// without.
	unread error
}

// observe reads everything that a decision rests on, all from caches.
func (r *Reconciler) observe(ctx context.Context, rollout *v1alpha1.Rollout) (*observation, error) {
	name := client.ObjectKeyFromObject(rollout)
	o := &observation{
		rollout: rollout,
		target:  trafficrouting.Target{Rollout: name, UID: rollout.UID, Traffic: rollout.Spec.Traffic},
		memory:  r.memory.recall(name, rollout.UID),
		status:  &rollout.Status,
	}
	if u := r.unwritten.Get(name, rollout.UID); u != nil && u.Over(&rollout.Status) {
		o.status = u.Newest
	}
	o.Now = r.clock.Now().UTC().Truncate(time.Microsecond)
	o.Position = positionOf(o.status)
	if err := r.observeReplicaSets(ctx, o); err != nil {
		return nil, err
	}
	if err := r.observeActions(ctx, o); err != nil {
		return nil, err
	}
	if err := r.observeAnalysis(ctx, o); err != nil {
		return nil, err
	}
	if err := r.observeRouting(ctx, o); err != nil {
		return nil, err
	}
	r.observeSpec(ctx, o)
	r.observeAlerts(o)
	return o, nil
}

func (r *Reconciler) observeReplicaSets(ctx context.Context, o *observation) error {
	sets, err := r.listReplicaSets(ctx, o)
	if err != nil {
		return err
	}
	o.replicaSets = make(map[string]*appsv1.ReplicaSet, len(sets))
	for _, rs := range sets {
		revision := rs.Labels[v1alpha1.PodTemplateHashLabel]
		if metav1.GetControllerOf(rs) == nil && rs.DeletionTimestamp == nil && o.rollout.DeletionTimestamp == nil {
			if err := r.adopt(ctx, o.rollout, rs); err != nil {
				return err
			}
		} else if !metav1.IsControlledBy(rs, o.rollout) {
			continue // Of an earlier Rollout with this name, on its way out.
		}
		o.replicaSets[revision] = rs
		desired := int32(1)
		if rs.Spec.Replicas != nil {
			desired = *rs.Spec.Replicas
		}
		o.ReplicaSets = append(o.ReplicaSets, plan.ReplicaSet{
			Revision:  revision,
			Name:      rs.Name,
			Desired:   desired,
			Replicas:  rs.Status.Replicas,
			Available: resources.Available(rs),
			CreatedAt: rs.CreationTimestamp.Time,
		})
	}
	return nil
}

// listReplicaSets returns the ReplicaSets that are named as this Rollout's are, as
// they are after all that was written to them. A list that sees every write would
// wait for those of all other Rollouts too, so each is read by its name; one that
// was just created is that of a revision in the status.
func (r *Reconciler) listReplicaSets(ctx context.Context, o *observation) ([]*appsv1.ReplicaSet, error) {
	namespace, rollout := o.rollout.Namespace, o.rollout.Name
	var list appsv1.ReplicaSetList
	if err := r.client.List(ctx, &list, client.InNamespace(namespace),
		client.MatchingFields{labelIndex: resources.RolloutLabelValue(rollout)},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("listing ReplicaSets: %w", err)
	}
	revisions := []string{o.Position.Stable, o.Position.Canary}
	for i := range list.Items {
		revisions = append(revisions, list.Items[i].Labels[v1alpha1.PodTemplateHashLabel])
	}
	slices.Sort(revisions)
	var sets []*appsv1.ReplicaSet
	for _, revision := range slices.Compact(revisions) {
		rs := &appsv1.ReplicaSet{}
		name := resources.ReplicaSetName(rollout, revision)
		err := r.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, rs)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("reading ReplicaSet %s: %w", name, err)
		case rs.Labels[v1alpha1.PodTemplateHashLabel] == revision && revision != "":
			sets = append(sets, rs)
		}
	}
	return sets, nil
}

// adopt takes over a ReplicaSet that an earlier Rollout of the same name left
// serving.
func (r *Reconciler) adopt(ctx context.Context, rollout *v1alpha1.Rollout, rs *appsv1.ReplicaSet) error {
	log.FromContext(ctx).Info("Taking over a ReplicaSet", "replicaSet", rs.Name)
	return r.writeOwners(ctx, rs, append(slices.Clone(rs.OwnerReferences), resources.OwnerReference(rollout)))
}

// listActions returns the commands to a Rollout of which nothing became yet, oldest
// first. A list that sees every write would wait for what becomes of commands to all
// other Rollouts too, so each is read by its name: it may have ended meanwhile.
func (r *Reconciler) listActions(ctx context.Context, name types.NamespacedName) ([]v1alpha1.RolloutAction, error) {
	var list v1alpha1.RolloutActionList
	if err := r.client.List(ctx, &list, client.InNamespace(name.Namespace),
		client.MatchingFields{pendingIndex: name.Name}, client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("listing RolloutActions: %w", err)
	}
	actions := make([]v1alpha1.RolloutAction, 0, len(list.Items))
	for i := range list.Items {
		a := v1alpha1.RolloutAction{}
		err := r.client.Get(ctx, client.ObjectKeyFromObject(&list.Items[i]), &a)
		switch {
		case apierrors.IsNotFound(err): // Whoever deleted it took it back.
		case err != nil:
			return nil, fmt.Errorf("reading RolloutAction %s: %w", list.Items[i].Name, err)
		case !ended(&a):
			actions = append(actions, a)
		}
	}
	slices.SortFunc(actions, func(a, b v1alpha1.RolloutAction) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return actions, nil
}

func (r *Reconciler) observeActions(ctx context.Context, o *observation) error {
	actions, err := r.listActions(ctx, client.ObjectKeyFromObject(o.rollout))
	if err != nil {
		return err
	}
	o.actions = make(map[string]*v1alpha1.RolloutAction, len(actions))
	for i := range actions {
		a := &actions[i]
		if a.DeletionTimestamp != nil {
			continue
		}
		o.actions[string(a.UID)] = a
		o.Actions = append(o.Actions, plan.Action{
			UID:        string(a.UID),
			Name:       a.Name,
			Type:       a.Spec.Action,
			Revision:   a.Spec.Revision,
			Step:       a.Spec.Step,
			ToRevision: a.Spec.ToRevision,
			By:         a.Spec.RequestedBy,
			Why:        a.Spec.Reason,
			CreatedAt:  a.CreationTimestamp.Time,
			TimeToLive: timeToLive(a),
		})
		observeOrigin(a, &o.Actions[len(o.Actions)-1])
	}
	return nil
}

// ended reports whether a command was applied or refused.
func ended(a *v1alpha1.RolloutAction) bool {
	return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionApplied) ||
		meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionRefused)
}

func (r *Reconciler) observeAnalysis(ctx context.Context, o *observation) error {
	o.Analysis = plan.Analysis{Verdict: v1alpha1.VerdictPending, Reason: v1alpha1.ReasonAnalysing, Message: "no measurement yet"}
	runs, err := r.listRuns(ctx, o.rollout)
	if err != nil {
		return err
	}
	for i := range runs {
		o.LastAttempt = max(o.LastAttempt, runs[i].Spec.Subject.Attempt)
	}
	revision, step := judged(o)
	if asked, _ := r.analysisOf(o.rollout); revision == "" || asked == nil {
		return nil
	}
	run, err := r.readRun(ctx, types.NamespacedName{
		Namespace: o.rollout.Namespace,
		Name:      resources.AnalysisRunName(o.rollout.Name, revision, o.Position.Attempt),
	})
	if err != nil {
		return err
	}
	if run == nil || !metav1.IsControlledBy(run, o.rollout) {
		return nil // There is none yet, or it is of an earlier Rollout with this name.
	}
	o.run = run
	o.Analysis.Verdict, o.Analysis.Abort, o.Analysis.Reason, o.Analysis.Message = analysis.Decision(run, step)
	return nil
}

// judged returns the revision that is judged, and the stay in a step, or the time after
// its promotion, in which it is; no revision when nothing is.
func judged(o *observation) (string, v1alpha1.AnalysisStep) {
	p := &o.Position
	switch {
	case p.Canary != "" && p.Step != nil:
		step := v1alpha1.AnalysisStep{Index: int32(p.Step.Index), Name: p.Step.Name}
		if p.Step.InForceSince != nil {
			step.Since = metav1.NewMicroTime(*p.Step.InForceSince)
		}
		return p.Canary, step
	case p.After != nil && p.After.BakedAt == nil:
		return p.Stable, analysis.AfterPromotion(o.rollout, metav1.NewMicroTime(p.After.PromotedAt))
	}
	return "", v1alpha1.AnalysisStep{}
}

// readRun returns an AnalysisRun with all that was measured, written or not, or nil
// when there is none.
func (r *Reconciler) readRun(ctx context.Context, key types.NamespacedName) (*v1alpha1.AnalysisRun, error) {
	if newest := r.runs.Named(key); newest != nil {
		return newest, nil
	}
	run := &v1alpha1.AnalysisRun{}
	if err := r.client.Get(ctx, key, run); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading the AnalysisRun: %w", err)
	}
	return run, nil
}

// listRuns returns the AnalysisRuns of a Rollout. Nothing rests on the very latest
// being among them, so it waits for no write.
func (r *Reconciler) listRuns(ctx context.Context, rollout *v1alpha1.Rollout) ([]v1alpha1.AnalysisRun, error) {
	var list v1alpha1.AnalysisRunList
	if err := r.client.List(ctx, &list, client.InNamespace(rollout.Namespace),
		client.MatchingFields{ownerIndex: string(rollout.UID)}, client.UnsafeDisableDeepCopy,
		client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("listing AnalysisRuns: %w", err)
	}
	return list.Items, nil
}

// observeRouting reads the routing. What only a person can mend is a problem;
// anything else leaves the routing unknown, and is an error to return at the end.
func (r *Reconciler) observeRouting(ctx context.Context, o *observation) error {
	older, err := r.olderClaim(ctx, o.rollout)
	if err != nil {
		return err
	}
	if older != "" {
		o.Routing.Problem = &plan.Problem{
			Reason: v1alpha1.ReasonRouteClaimed,
			Message: fmt.Sprintf("Rollout %s, which is older, moves the weights of the same routing object: "+
				"give each Rollout routing objects of its own", older),
		}
		return nil
	}
	state, err := r.router.Observe(ctx, o.target)
	if err != nil {
		o.memory.lost()
	}
	if problem := trafficrouting.AsProblem(err); problem != nil {
		o.Routing = plan.Routing{State: state, Problem: &plan.Problem{Reason: problem.Reason, Message: problem.Message}}
		return nil //nolint:nilerr // the problem is what was observed
	}
	if err != nil {
		o.unread = fmt.Errorf("reading the routing: %w", err)
		return nil
	}
	o.Routing = plan.Routing{Known: true, State: state, Since: o.memory.seen(state, o.Now), UnsettledUntil: r.unsettled()}
	return nil
}

// olderClaim returns the name of another Rollout that claims one of this one's
// routing objects and comes before it, or nothing.
func (r *Reconciler) olderClaim(ctx context.Context, rollout *v1alpha1.Rollout) (string, error) {
	for _, claim := range r.objects.Claims(rollout) {
		var list v1alpha1.RolloutList
		// Claims are in specs, which nobody here writes: what the other workers
		// are writing at the moment need not be waited for.
		if err := r.client.List(ctx, &list,
			client.MatchingFields{claimIndex: claim}, client.UnsafeDisableDeepCopy,
			client.DisableReadYourWritesConsistency); err != nil {
			return "", fmt.Errorf("listing the Rollouts that claim %s: %w", claim, err)
		}
		for i := range list.Items {
			other := &list.Items[i]
			if other.UID == rollout.UID || !comesBefore(other, rollout) {
				continue
			}
			permitted, err := r.objects.Permits(ctx, other, claim)
			if err != nil {
				return "", fmt.Errorf("looking for older claims of %s: %w", claim, err)
			}
			if permitted {
				return nameFrom(rollout.Namespace, other), nil
			}
		}
	}
	return "", nil
}

// nameFrom is a Rollout's name as read in namespace.
func nameFrom(namespace string, rollout *v1alpha1.Rollout) string {
	if rollout.Namespace == namespace {
		return rollout.Name
	}
	return client.ObjectKeyFromObject(rollout).String()
}

func comesBefore(a, b *v1alpha1.Rollout) bool {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	return a.UID < b.UID
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

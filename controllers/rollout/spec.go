package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
	"github.com/sluice-dev/sluice/controllers/rollout/resources"
	"github.com/sluice-dev/sluice/internal/alerts"
)

// Values that the schema fills in, for objects that were stored without them.
const (
	defaultProgressDeadline = 10 * time.Minute
	defaultPropagation      = time.Second
	defaultDrain            = 30 * time.Second
	defaultHistoryLimit     = 5
)

// observeSpec resolves what the user wants. What cannot be carried out becomes a
// problem, which stops new releases but no abort.
func (r *Reconciler) observeSpec(ctx context.Context, o *observation) {
	spec := &o.rollout.Spec
	asked, advises := r.analysisOf(o.rollout)
	o.Spec = plan.Spec{
		Replicas:         valueOr(spec.Replicas, 1),
		Paused:           spec.Paused,
		Analysed:         asked != nil,
		Advisory:         advises,
		ProgressDeadline: duration(spec.ProgressDeadline, defaultProgressDeadline),
		Propagation:      duration(spec.Traffic.PropagationTime, defaultPropagation),
		Drain:            duration(spec.Traffic.DrainTime, defaultDrain),
		HistoryLimit:     int(valueOr(spec.RevisionHistoryLimit, defaultHistoryLimit)),
		Steps:            stepsOf(spec.Strategy.Canary),
	}
	if after := spec.AfterPromotion; after != nil {
		o.Spec.AfterBake, o.Spec.KeepPrevious = duration(after.Bake, 0), duration(after.KeepPrevious, 0)
	}
	if o.rollout.DeletionTimestamp != nil {
		o.Spec.DeletedAt = &o.rollout.DeletionTimestamp.Time
	}
	if problem := r.checkSpec(ctx, o); problem != nil {
		o.Spec.Problem = problem
	}
}

func stepsOf(canary *v1alpha1.CanaryStrategy) []plan.Step {
	if canary == nil {
		return nil
	}
	steps := make([]plan.Step, len(canary.Steps))
	for i, s := range canary.Steps {
		steps[i] = plan.Step{
			Name:     s.Name,
			Weight:   s.Weight,
			Bake:     duration(s.Bake, 0),
			Approval: s.Approval == v1alpha1.ApprovalRequired,
		}
		if s.Name == "" {
			steps[i].Name = fmt.Sprintf("step-%d", i+1)
		}
		if s.Scale != nil {
			steps[i].Pods, steps[i].Percent = s.Scale.Replicas, s.Scale.Percent
		}
	}
	return steps
}

// checkSpec finds what the schema cannot, and the revision of the template.
func (r *Reconciler) checkSpec(ctx context.Context, o *observation) *plan.Problem {
	invalid := func(format string, args ...any) *plan.Problem {
		return &plan.Problem{Reason: v1alpha1.ReasonInvalidSpec, Message: fmt.Sprintf(format, args...)}
	}
	checked := o.memory.check(o.rollout)
	o.takeAlertRules(checked.alertRules) // first: an alert aborts whatever else is wrong
	if len(o.Spec.Steps) == 0 {
		return invalid("strategy.canary.steps is empty: write at least one step")
	}
	if name := repeatedStep(o.Spec.Steps); name != "" {
		return invalid("two steps are named %s, one of them by its position: give them different names", name)
	}
	if checked.parsed {
		o.template = checked.template
		o.Spec.Revision = revisionOf(o)
	}
	if checked.problem == "" {
		checked.problem = unknownStep(o.Spec.Steps, checked.alertRules)
	}
	if checked.problem != "" {
		return invalid("%s", checked.problem)
	}
	return r.checkTemplate(ctx, o)
}

// checkedSpec is what reading a spec came to.
type checkedSpec struct {
	generation int64
	template   resources.Template
	parsed     bool   // template is there
	problem    string // for the user
	alertRules []alerts.Rule
}

// checkParts reads the parts of a spec that take time to read. It depends on the
// spec alone.
func checkParts(rollout *v1alpha1.Rollout) *checkedSpec {
	spec, c := &rollout.Spec, &checkedSpec{generation: rollout.Generation}
	var alertErr error
	c.alertRules, alertErr = alerts.ParseRules(spec)
	template, err := resources.ParseTemplate(spec.Workload)
	if err != nil {
		c.problem = err.Error()
		return c
	}
	c.template, c.parsed = template, true
	matches, err := resources.SelectorMatches(&spec.Selector, &template.Pod)
	switch {
	case err != nil:
		c.problem = err.Error()
	case !matches:
		c.problem = "selector does not match workload.template.metadata.labels: no pod would belong to the Rollout"
	case spec.Analysis != nil:
		if err := analysis.ValidateMetrics(spec.Analysis.Metrics); err != nil {
			c.problem = "analysis: " + err.Error()
		}
	}
	if alertErr != nil && c.problem == "" {
		c.problem = "alerts: " + alertErr.Error()
	}
	return c
}

// unknownStep says which alert rule names a step that there is not, or nothing.
func unknownStep(steps []plan.Step, rules []alerts.Rule) string {
	for i := range rules {
		for _, name := range rules[i].Steps {
			is := func(s plan.Step) bool { return s.Name == name }
			if name != plan.PromotionStep && !slices.ContainsFunc(steps, is) {
				return fmt.Sprintf("alerts: rule %s: during.steps: there is no step %s", rules[i].Name, name)
			}
		}
	}
	return ""
}

func repeatedStep(steps []plan.Step) string {
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.Name] {
			return s.Name
		}
		seen[s.Name] = true
	}
	return ""
}

// revisionOf finds the ReplicaSet whose template means the same as the spec's, or
// names a new revision.
func revisionOf(o *observation) string {
	for revision, rs := range o.replicaSets {
		if resources.MadeFrom(rs, o.template) {
			return revision // word for word, as nearly always
		}
	}
	for revision, rs := range o.replicaSets {
		if t, err := resources.TemplateOf(rs); err == nil && t.Same(o.template) {
			return revision
		}
	}
	return o.template.Revision(func(name string) bool { return o.replicaSets[name] != nil })
}

// checkTemplate lets the API server try a template that no ReplicaSet was made
// from yet, so that nothing moves for one that it would refuse. An abort that is
// due goes first: what answers here, admission webhooks included, may be slow.
func (r *Reconciler) checkTemplate(ctx context.Context, o *observation) *plan.Problem {
	revision := o.Spec.Revision
	if o.replicaSets[revision] != nil || o.memory.checked == revision || o.Spec.DeletedAt != nil {
		return nil
	}
	unchecked := func(why string) *plan.Problem {
		return &plan.Problem{Reason: v1alpha1.ReasonPodTemplateUnchecked, Message: "the new pod template was not tried yet: " + why}
	}
	if abortDue(o) {
		return unchecked("the release in progress is aborted first")
	}
	rs, err := resources.MakeReplicaSet(o.rollout, o.template, revision, 0)
	if err != nil {
		return &plan.Problem{Reason: v1alpha1.ReasonInvalidSpec, Message: err.Error()}
	}
	err = r.client.Create(ctx, rs, client.DryRunAll, client.DisableReadYourWritesConsistency)
	switch {
	case err == nil:
		o.memory.checked = revision
		return nil
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		return &plan.Problem{Reason: v1alpha1.ReasonPodTemplateRejected, Message: err.Error()}
	case apierrors.IsAlreadyExists(err):
		o.unread = fmt.Errorf("trying the pod template: %w", err)
		return unchecked(fmt.Sprintf("ReplicaSet %s exists and is not this Rollout's", rs.GetName()))
	default:
		o.unread = fmt.Errorf("trying the pod template: %w", err)
		return unchecked(err.Error())
	}
}

// abortDue reports whether the decision is going to abort a release, or to take one
// back after its promotion.
func abortDue(o *observation) bool {
	p := &o.Position
	revision := p.Canary
	if p.After != nil && revision == "" {
		revision = p.Stable
	}
	return o.Analysis.Abort || slices.ContainsFunc(o.Actions, func(a plan.Action) bool {
		ends := a.Type == v1alpha1.ActionAbort || a.Type == v1alpha1.ActionRollback
		return ends && a.Revision == revision && p.Abort == nil &&
			(a.Alert == nil || !a.Alert.DryRun && !o.Now.Before(a.Alert.NotBefore))
	})
}

func valueOr(p *int32, otherwise int32) int32 {
	if p == nil {
		return otherwise
	}
	return *p
}

package rollout

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/controllers/rollout/plan"
)

// positionOf reads the durable memory from a status.
func positionOf(s *v1alpha1.RolloutStatus) plan.Position {
	p := plan.Position{Attempt: s.Attempt, Draining: map[string]time.Time{}}
	if s.Stable != nil {
		p.Stable, p.Proven = s.Stable.Revision, s.Stable.Proven
	}
	if s.Canary != nil {
		p.Canary = s.Canary.Revision
	}
	if s.Step != nil {
		p.Step = &plan.StepPosition{
			Index:     int(s.Step.Index),
			Name:      s.Step.Name,
			Weight:    s.Step.Weight,
			EnteredAt: s.Step.EnteredAt.Time,
			Progress:  s.Step.Progress,
		}
		if s.Step.InForceSince != nil {
			since := s.Step.InForceSince.Time
			p.Step.InForceSince = &since
		}
		p.Step.ProgressAt = s.Step.EnteredAt.Time
		if s.Step.ProgressAt != nil {
			p.Step.ProgressAt = s.Step.ProgressAt.Time
		}
	}
	if s.Abort != nil {
		p.Abort = &plan.Abort{Reason: s.Abort.Reason, Message: s.Abort.Message, Step: s.Abort.Step, At: s.Abort.At.Time}
	}
	if a := s.AfterPromotion; a != nil {
		p.After = &plan.After{Previous: a.Previous, Proven: a.Proven, PromotedAt: a.PromotedAt.Time}
		if a.BakedAt != nil {
			at := a.BakedAt.Time
			p.After.BakedAt = &at
		}
	}
	if s.Pause != nil {
		p.Pause = &plan.Pause{Reason: s.Pause.Reason, Message: s.Pause.Message, At: s.Pause.At.Time}
	}
	if s.Alerts != nil {
		p.AlertBaseline = &plan.AlertBaseline{Attempt: s.Alerts.Attempt, Since: s.Alerts.Since.Time, Firing: s.Alerts.FiringBefore, Handled: s.Alerts.Handled}
	}
	for _, d := range s.Draining {
		p.Draining[d.Revision] = d.Since.Time
	}
	for _, uid := range s.AppliedActions {
		p.Applied = append(p.Applied, string(uid))
	}
	return p
}

// writePosition puts the durable memory into a status.
func writePosition(s *v1alpha1.RolloutStatus, p plan.Position) {
	s.Attempt = p.Attempt
	s.Step, s.Abort, s.AfterPromotion, s.Draining, s.AppliedActions = nil, nil, nil, nil, nil
	if p.Step != nil {
		s.Step = &v1alpha1.StepStatus{
			Index:      int32(p.Step.Index),
			Name:       p.Step.Name,
			Weight:     p.Step.Weight,
			EnteredAt:  micro(p.Step.EnteredAt),
			Progress:   p.Step.Progress,
			ProgressAt: microPointer(&p.Step.ProgressAt),
		}
		s.Step.InForceSince = microPointer(p.Step.InForceSince)
	}
	if p.Abort != nil {
		s.Abort = &v1alpha1.AbortStatus{Reason: p.Abort.Reason, Message: p.Abort.Message, Step: p.Abort.Step, At: micro(p.Abort.At)}
	}
	if a := p.After; a != nil {
		s.AfterPromotion = &v1alpha1.AfterPromotionStatus{
			Previous: a.Previous, Proven: a.Proven, PromotedAt: micro(a.PromotedAt), BakedAt: microPointer(a.BakedAt),
		}
	}
	writeAlertPosition(s, &p)
	for revision, since := range p.Draining {
		s.Draining = append(s.Draining, v1alpha1.DrainStatus{Revision: revision, Since: micro(since)})
	}
	slices.SortFunc(s.Draining, func(a, b v1alpha1.DrainStatus) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, uid := range p.Applied {
		s.AppliedActions = append(s.AppliedActions, types.UID(uid))
	}
}

func micro(t time.Time) metav1.MicroTime { return metav1.NewMicroTime(t.Truncate(time.Microsecond)) }

func microPointer(t *time.Time) *metav1.MicroTime {
	if t == nil {
		return nil
	}
	m := micro(*t)
	return &m
}

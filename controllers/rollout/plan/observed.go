package plan

import (
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting"
)

// Observed is everything that a decision rests on.
type Observed struct {
	// Now is the time of the observation.
	Now time.Time
	// Spec is what the user wants.
	Spec Spec
	// Position is the durable memory, as it was last written.
	Position Position
	// ReplicaSets are the Rollout's, in any order.
	ReplicaSets []ReplicaSet
	// Routing is what the routing objects say.
	Routing Routing
	// Analysis is the judgement of Position's attempt in Position's step, or of stable
	// while it is watched after its promotion.
	Analysis Analysis
	// LastAttempt is the highest attempt of which an AnalysisRun exists; 0 if none
	// does.
	LastAttempt int32
	// Actions are the commands to the Rollout of which nothing became yet, as far as
	// their status says, oldest first.
	Actions []Action
	// Alerts are what is known of alerts that concern the Rollout.
	Alerts Alerts
}

// Spec is the user's intent, resolved.
type Spec struct {
	// Revision of the pod template.
	Revision string
	// Replicas that carry all traffic.
	Replicas int32
	// Steps to pass, never empty unless Problem is set.
	Steps []Step
	// Paused holds the release.
	Paused bool
	// Analysed is true when metrics are to be measured.
	Analysed bool
	// Advisory is true when they abort what is bad, and no step waits for them.
	Advisory bool
	// ProgressDeadline, Propagation and Drain are as in the API.
	ProgressDeadline, Propagation, Drain time.Duration
	// AfterBake and KeepPrevious are how long after a promotion the canary goes on
	// being judged, and the previous revision is kept ready; 0 for not at all.
	AfterBake, KeepPrevious time.Duration
	// HistoryLimit is the number of idle ReplicaSets to keep.
	HistoryLimit int
	// DeletedAt is when the Rollout was asked to be deleted, or nil.
	DeletedAt *time.Time
	// Alerts are the alert rules.
	Alerts []AlertRule
	// Problem tells why the spec cannot be carried out, or is nil. Then nothing
	// new is started and nothing advances; an abort still works.
	Problem *Problem
}

// Problem is something that only a person can mend.
type Problem struct{ Reason, Message string }

// Step is one state on the way.
type Step struct {
	Name     string
	Weight   int32
	Bake     time.Duration
	Approval bool
	// Pods and Percent set the scale; at most one is not nil.
	Pods, Percent *int32
}

// Position is the durable memory: what cannot be observed. It is kept in the
// Rollout's status.
type Position struct {
	// Stable is the revision that serves, or empty before the first.
	Stable string
	// Proven is the number of pods with which Stable last carried all traffic; 0
	// if it never did.
	Proven int32
	// Canary is the revision that is released or was aborted, or empty.
	Canary string
	// Attempt counts the releases, retries included; it never falls, so that an
	// attempt's analysis is never taken for another's.
	Attempt int32
	// Step is where the release is; nil unless one is in progress.
	Step *StepPosition
	// Abort tells why the canary was aborted; nil unless it was.
	Abort *Abort
	// After is the revision that stable replaced, while it is kept ready to return.
	After *After
	// Pause tells why the release waits for a person; nil unless it was paused.
	Pause *Pause
	// AlertBaseline tells which alerts are not the canary's doing; nil without a
	// release in progress or without alert rules.
	AlertBaseline *AlertBaseline
	// Draining tells since when unwanted revisions have had no traffic.
	Draining map[string]time.Time
	// Applied are the actions whose effect is in the position already.
	Applied []string
}

// StepPosition is where in the steps a release is.
type StepPosition struct {
	// Index of the step; the number of steps stands for the promotion.
	Index int
	// Name and Weight as they were when the step was entered.
	Name   string
	Weight int32
	// EnteredAt is when it became current.
	EnteredAt time.Time
	// InForceSince is when its split was seen in force; nil before that.
	InForceSince *time.Time
	// Progress is the most canary pods seen available, and ProgressAt when.
	Progress   int32
	ProgressAt time.Time
}

// Abort tells why a canary was aborted.
type Abort struct {
	Reason, Message, Step string
	At                    time.Time
}

// After is the revision that stable replaced.
type After struct {
	// Previous is the revision, Proven the number of pods with which it last carried
	// all traffic.
	Previous string
	Proven   int32
	// PromotedAt is when stable replaced it; BakedAt when the bake was over, nil before.
	PromotedAt time.Time
	BakedAt    *time.Time
}

// ReplicaSet is one revision's pods.
type ReplicaSet struct {
	Revision string
	Name     string
	// Desired is the number asked for; Replicas exist; Available can serve.
	Desired, Replicas, Available int32
	CreatedAt                    time.Time
}

// Routing is what the routing objects say.
type Routing struct {
	// Known is false when they could not be read: then nothing that depends on
	// them is done.
	Known bool
	State trafficrouting.State
	// Since is when State was first seen as it is, not counting what was seen before
	// the latest attempt to write it: a change that was made and undone in between
	// may still be on its way to proxies.
	Since time.Time
	// UnsettledUntil is the end of a time in which proxies may be further behind the
	// routing objects than Spec.Propagation, because nobody could read these for a
	// while; zero when there is none.
	UnsettledUntil time.Time
	// Problem tells why the routing cannot be used, or is nil. State is then what
	// could be read nevertheless, and serves for nothing but an abort.
	Problem *Problem
}

// Analysis is the judgement of an attempt in its current step.
type Analysis struct {
	// Verdict for the step.
	Verdict v1alpha1.Verdict
	// Abort is true when the release must not go on.
	Abort bool
	// Reason and Message tell what the verdict rests on.
	Reason, Message string
}

// Action is a command.
type Action struct {
	UID, Name      string
	Type           v1alpha1.ActionType
	Revision, Step string
	// ToRevision is for a Rollback; empty for the one that is kept ready.
	ToRevision string
	// By and Why are shown with the effect.
	By, Why   string
	CreatedAt time.Time
	// TimeToLive is as in the API.
	TimeToLive time.Duration
	// Alert tells of the alert that it stands for; nil for a person's command.
	Alert *AlertAction
}

// replicaSet returns the ReplicaSet of revision, or a zero one.
func (o *Observed) replicaSet(revision string) ReplicaSet {
	i := slices.IndexFunc(o.ReplicaSets, func(r ReplicaSet) bool { return r.Revision == revision })
	if i < 0 {
		return ReplicaSet{Revision: revision}
	}
	return o.ReplicaSets[i]
}

// settled reports whether the routing has been as it is for long enough to have
// reached every proxy.
func (o *Observed) settled() bool {
	return o.Routing.State.Programmed != trafficrouting.ProgrammedNo &&
		!o.Now.Before(o.settlesAt())
}

func (o *Observed) settlesAt() time.Time {
	return later(o.Routing.Since.Add(o.Spec.Propagation), o.Routing.UnsettledUntil)
}

// recovering reports whether proxies may be far behind.
func (o *Observed) recovering() bool { return o.Now.Before(o.Routing.UnsettledUntil) }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// usable reports whether the routing can be relied on and written.
func (r Routing) usable() bool { return r.Known && r.Problem == nil }

// clone returns a copy that shares nothing with p.
func (p Position) clone() Position {
	if p.Step != nil {
		step := *p.Step
		if step.InForceSince != nil {
			since := *step.InForceSince
			step.InForceSince = &since
		}
		p.Step = &step
	}
	if p.Abort != nil {
		abort := *p.Abort
		p.Abort = &abort
	}
	if p.After != nil {
		after := *p.After
		if after.BakedAt != nil {
			at := *after.BakedAt
			after.BakedAt = &at
		}
		p.After = &after
	}
	if p.Pause != nil {
		pause := *p.Pause
		p.Pause = &pause
	}
	p.AlertBaseline = p.AlertBaseline.clone()
	draining := make(map[string]time.Time, len(p.Draining))
	for revision, since := range p.Draining {
		draining[revision] = since
	}
	p.Draining = draining
	p.Applied = slices.Clone(p.Applied)
	return p
}

// releasing reports whether a canary is on its way.
func (p *Position) releasing() bool { return p.Canary != "" && p.Step != nil && p.Abort == nil }

// promoting reports whether every step was passed.
func (o *Observed) promoting(p *Position) bool {
	return p.releasing() && p.Step.Name == PromotionStep
}

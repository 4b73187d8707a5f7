package plan

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// rule moves the position when its condition holds.
type rule struct {
	name  string
	apply func(*decision)
}

// rules are tried in this order, each once per decision. Aborts come first: they
// need nothing but the position.
var rules = []rule{
	{"a person aborts the release", (*decision).abortOnCommand},
	{"an alert aborts the release, pauses it, or takes it back after its promotion", (*decision).actOnAlerts},
	{"failed analysis aborts the release", (*decision).abortOnAnalysis},
	{"failed analysis after a promotion gives the previous revision its place back", (*decision).rollBackOnAnalysis},
	{"a person gives an earlier revision its place back", (*decision).rollBackOnCommand},
	{"deletion ends the release", (*decision).endOnDeletion},
	{"a bound stable destination completes the promotion", (*decision).completePromotion},
	{"the time after a promotion passes", (*decision).passAfterPromotion},
	{"a lost memory is recovered from the routing", (*decision).recoverStable},
	{"the first revision is deployed as it is", (*decision).deployFirst},
	{"going back to the previous template right after a promotion returns to it", (*decision).returnToPrevious},
	{"going back to stable's template dismisses the canary", (*decision).dismiss},
	{"another revision becomes the canary", (*decision).start},
	{"edited steps continue at the weight in force", (*decision).realign},
	{"a person retries an aborted release", (*decision).retryOnCommand},
	{"a person pauses the release", (*decision).pauseOnCommand},
	{"a person lets a paused promotion go on", (*decision).resumeOnCommand},
	{"a person promotes", (*decision).promoteOnCommand},
	{"the split is seen in force", (*decision).markInForce},
	{"pods that do not come abort the release", (*decision).abortOnDeadline},
	{"a passed step leads to the next", (*decision).advance},
	{"alerts that fire as a release begins are not its doing", (*decision).noteAlerts},
	{"stable proves how many pods carry everything", (*decision).proveStable},
}

func (d *decision) abortOnAnalysis() {
	if !d.p.releasing() || !d.o.Analysis.Abort {
		return
	}
	d.abort(d.o.Analysis.Reason, d.o.Analysis.Message)
}

// abort ends the release; the next split takes the traffic away.
func (d *decision) abort(reason, message string) {
	d.p.Abort = &Abort{Reason: reason, Message: shorten(message), Step: d.p.Step.Name, At: d.o.Now}
	d.transition(v1alpha1.TransitionAborted, d.p.Canary, d.p.Step.Name, reason, message)
	d.p.Step, d.p.Pause = nil, nil
}

// endOnDeletion takes the canary out of the way, without calling it aborted.
func (d *decision) endOnDeletion() {
	if d.o.Spec.DeletedAt == nil {
		return
	}
	d.clearCanary()
	d.p.After = nil
}

func (d *decision) clearCanary() {
	d.p.Canary, d.p.Step, d.p.Abort, d.p.Pause = "", nil, nil, nil
}

// completePromotion makes the canary stable once the stable destination selects
// it. Only the promotion step binds it so, after every gate was passed: the
// binding itself is the durable record of that.
func (d *decision) completePromotion() {
	if !d.o.promoting(&d.p) || !d.o.Routing.usable() || d.o.Routing.State.Stable != d.p.Canary {
		return
	}
	rs := d.o.replicaSet(d.p.Canary)
	d.transition(v1alpha1.TransitionPromoted, d.p.Canary, "", v1alpha1.ReasonPromoted,
		fmt.Sprintf("revision %s passed every step and replaces %s", d.p.Canary, d.p.Stable))
	d.watch()
	d.p.Stable, d.p.Proven = d.p.Canary, max(1, min(rs.Available, d.o.Spec.Replicas))
	d.clearCanary()
}

// recoverStable finds stable when the status says nothing though something
// serves, as after a restore from a backup or when a Rollout is created anew: it
// is what the stable destination selects, or else what has the most pods, also when
// the destination selects a revision that is not there.
func (d *decision) recoverStable() {
	if d.p.Stable != "" || !d.o.Routing.usable() {
		return
	}
	serving := d.o.replicaSet(d.o.Routing.State.Stable)
	if serving.Name == "" {
		serving = d.mostAvailable()
	}
	if serving.Name == "" {
		return
	}
	d.p.Stable, d.p.Proven = serving.Revision, min(serving.Desired, d.o.Spec.Replicas)
	d.note("position", fmt.Sprintf("the status says nothing, but %s serves: it is stable", d.p.Stable))
}

// mostAvailable returns the ReplicaSet that serves with the most pods, the oldest
// of several, or a zero one: what was taken over from an earlier Rollout.
func (d *decision) mostAvailable() ReplicaSet {
	var most ReplicaSet
	for _, rs := range d.byAge() {
		if rs.Available > most.Available {
			most = rs
		}
	}
	return most
}

// deployFirst takes the spec's revision as stable while no revision ever carried
// the traffic: there is nothing to compare with and nothing to protect.
func (d *decision) deployFirst() {
	if !d.maySpecStart() || d.p.Proven > 0 || d.p.Canary != "" || d.p.Stable == d.o.Spec.Revision {
		return
	}
	if d.p.Stable == "" && len(d.o.ReplicaSets) > 0 && !d.o.Routing.usable() {
		return // Somebody may be serving: see the routing first.
	}
	d.p.Stable = d.o.Spec.Revision
	d.note("position", fmt.Sprintf("no revision served before: %s is deployed without steps", d.p.Stable))
}

// maySpecStart reports whether the spec may start something new.
func (d *decision) maySpecStart() bool {
	return d.o.Spec.Problem == nil && d.o.Spec.DeletedAt == nil && d.o.Spec.Revision != ""
}

func (d *decision) dismiss() {
	if !d.maySpecStart() || d.p.Canary == "" || d.o.Spec.Revision != d.p.Stable {
		return
	}
	d.transition(v1alpha1.TransitionRolledBack, d.p.Stable, "", v1alpha1.ReasonRolledBack,
		fmt.Sprintf("the spec is back at stable's template: canary %s is dismissed", d.p.Canary))
	d.clearCanary()
}

func (d *decision) start() {
	if !d.maySpecStart() || d.p.Stable == "" || d.o.Spec.Revision == d.p.Stable || d.o.Spec.Revision == d.p.Canary {
		return
	}
	message := fmt.Sprintf("revision %s is released over %s", d.o.Spec.Revision, d.p.Stable)
	if d.p.releasing() {
		d.transition(v1alpha1.TransitionSuperseded, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonSuperseded,
			fmt.Sprintf("revision %s replaces %s before its release ended", d.o.Spec.Revision, d.p.Canary))
	}
	d.clearCanary()
	d.p.After = nil
	d.p.Canary, d.p.Attempt = d.o.Spec.Revision, d.nextAttempt()
	d.enter(0)
	d.transition(v1alpha1.TransitionStarted, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonWaitingForPods, message)
}

// nextAttempt is a number that no analysis run has, even if the status was lost.
func (d *decision) nextAttempt() int32 { return max(d.p.Attempt, d.o.LastAttempt) + 1 }

// enter makes step index current; the number of steps stands for the promotion.
func (d *decision) enter(index int) {
	step, progress := d.stepAt(index), d.o.replicaSet(d.p.Canary).Available
	if d.p.Step != nil && !d.holds(d.p.Canary, d.weightInForce()) {
		progress = max(progress, d.p.Step.Progress) // The pods that its weight rests on were more.
	}
	d.p.Step = &StepPosition{
		Index:      index,
		Name:       step.Name,
		Weight:     step.Weight,
		EnteredAt:  d.o.Now,
		Progress:   progress,
		ProgressAt: d.o.Now,
	}
}

// stepAt returns the step with an index, and the promotion past the last one.
func (d *decision) stepAt(index int) Step {
	if index >= 0 && index < len(d.o.Spec.Steps) {
		return d.o.Spec.Steps[index]
	}
	return Step{Name: PromotionStep, Weight: 100}
}

// current returns the step that is current: while the spec does not have it, what
// the position remembers of it.
func (d *decision) current() Step {
	if !d.stepKnown() {
		return Step{Name: d.p.Step.Name, Weight: d.p.Step.Weight}
	}
	if d.p.Step.Name == PromotionStep {
		return Step{Name: PromotionStep, Weight: 100}
	}
	return d.stepAt(d.p.Step.Index)
}

// stepKnown reports whether the spec has the position's step where the position
// says.
func (d *decision) stepKnown() bool {
	step, steps := d.p.Step, d.o.Spec.Steps
	switch {
	case d.o.Spec.Problem != nil:
		return false
	case step.Name == PromotionStep:
		return true
	default:
		return step.Index >= 0 && step.Index < len(steps) &&
			steps[step.Index].Name == step.Name && steps[step.Index].Weight == step.Weight
	}
}

// realign continues an edited list at the first step whose weight is at least
// the weight in force, once that can be read. A step that only moved, or of which
// only bake, scale or approval changed, goes on where it was.
func (d *decision) realign() {
	if !d.p.releasing() || d.stepKnown() || d.o.Spec.Problem != nil {
		return
	}
	step, steps := d.p.Step, d.o.Spec.Steps
	for i := range steps {
		if steps[i].Name == step.Name && steps[i].Weight == step.Weight {
			step.Index = i
			return
		}
	}
	if !d.o.Routing.usable() {
		return
	}
	index := 0
	for index < len(steps)-1 && steps[index].Weight < d.weightInForce() {
		index++
	}
	d.enter(index)
	d.transition(v1alpha1.TransitionStepEntered, d.p.Canary, d.p.Step.Name, v1alpha1.ReasonWaitingForPods,
		fmt.Sprintf("the steps were edited: continuing at step %s with weight %d%%", d.p.Step.Name, d.p.Step.Weight))
}

// weightInForce is the canary's weight: what the routes give the canary's
// destination, if that selects the canary.
func (d *decision) weightInForce() int32 {
	state := d.o.Routing.State
	if !d.o.Routing.usable() || state.Canary != d.p.Canary {
		return 0
	}
	return state.MaxWeight
}

// markInForce remembers since when the step's split has been in force, and what
// progress its pods make.
func (d *decision) markInForce() {
	switch {
	case !d.p.releasing():
	case d.o.Routing.Problem != nil:
		d.loseForce("") // Without the route, requests go where they like.
	case d.o.Routing.usable() && d.o.Spec.Problem == nil:
		d.trackForce()
	}
}

// trackForce compares the routing that is seen with the step's.
func (d *decision) trackForce() {
	step, state, available := d.p.Step, d.o.Routing.State, d.o.replicaSet(d.p.Canary).staying()
	if available > step.Progress {
		step.Progress, step.ProgressAt = available, d.o.Now
	}
	if state.Stable != d.p.Stable || state.Canary != d.p.Canary || !state.Uniform(step.Weight) {
		d.loseForce("the split is no longer the step's: its time starts again")
		return
	}
	if step.InForceSince != nil {
		return
	}
	d.wakeAt(d.o.settlesAt())
	if d.o.settled() && available >= d.canaryPods() {
		now := d.o.Now
		step.InForceSince = &now
	}
}

// loseForce starts the step's time again, if it ran.
func (d *decision) loseForce(why string) {
	if d.p.Step.InForceSince == nil {
		return
	}
	d.p.Step.InForceSince, d.p.Step.ProgressAt = nil, d.o.Now
	if why != "" {
		d.note("step", why)
	}
}

func (d *decision) abortOnDeadline() {
	if !d.p.releasing() || d.p.Step.InForceSince != nil || d.o.Spec.Problem != nil {
		return
	}
	need, available := d.canaryPods(), d.o.replicaSet(d.p.Canary).Available
	if available >= need {
		return
	}
	deadline := d.p.Step.ProgressAt.Add(d.o.Spec.ProgressDeadline)
	if d.o.Now.Before(deadline) {
		d.wakeAt(deadline)
		return
	}
	d.abort(v1alpha1.ReasonProgressDeadlineExceeded, fmt.Sprintf(
		"%d of %d pods of revision %s are available, and no more became so for %s",
		available, need, d.p.Canary, d.o.Spec.ProgressDeadline))
}

// advance passes the current step when every gate is open. A step that was entered
// in this decision is written down first.
func (d *decision) advance() {
	if !d.p.releasing() || d.p.Step.Name == PromotionStep || !d.stepStands() {
		return
	}
	if gate := d.closedGate(); gate != nil {
		d.note("step", gate.Message)
		return
	}
	message := d.passMessage()
	d.enter(d.p.Step.Index + 1)
	d.transition(v1alpha1.TransitionStepEntered, d.p.Canary, d.p.Step.Name, d.enteredReason(), message)
	d.markInForce()
}

func (d *decision) enteredReason() string {
	if d.p.Step.Name == PromotionStep {
		return v1alpha1.ReasonPromoting
	}
	return v1alpha1.ReasonPassing
}

func (d *decision) passMessage() string {
	message := fmt.Sprintf("step %s passed", d.p.Step.Name)
	if d.gatedByAnalysis() {
		message += ": " + d.judgement().Message
	}
	return message
}

// proveStable remembers with how many pods stable carries all traffic. None carry
// none: scaled to zero, stable stays what it was.
func (d *decision) proveStable() {
	if d.p.Stable == "" || d.p.releasing() || !d.o.Routing.usable() {
		return
	}
	state := d.o.Routing.State
	if state.Stable != d.p.Stable || !state.Uniform(0) && state.Canary != d.p.Stable {
		return
	}
	replicas := d.o.Spec.Replicas
	if replicas == 0 || replicas == d.p.Proven || d.o.replicaSet(d.p.Stable).Available < replicas {
		return
	}
	if d.p.Proven == 0 {
		d.transition(v1alpha1.TransitionDeployed, d.p.Stable, "", v1alpha1.ReasonPromoted,
			fmt.Sprintf("first revision %s has all traffic", d.p.Stable))
	}
	d.p.Proven = replicas
}

func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}

// maxMessage is how long a message in the status may be, in bytes.
const maxMessage = 1024

// shorten cuts a message to what its field takes.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage-3], "") + "..."
}

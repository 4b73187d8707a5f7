package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/trafficrouting/fake"
)

func TestReleaseIsPromoted(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	first := w.get("app").Status.Stable.Revision
	w.Expect(w.ready("app").Status).To(gomega.Equal(metav1.ConditionTrue))

	w.push("app", "v2")
	w.settle("app")

	status := w.get("app").Status
	w.Expect(status.Stable.Revision).NotTo(gomega.Equal(first))
	w.Expect(status.Canary).To(gomega.BeNil())
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonPromoted))
	w.Expect(transitions(&status)).To(gomega.Equal([]string{
		"Deployed", "Started first", "StepEntered half", "StepEntered promotion", "Promoted",
	}))
	routing := w.router.Get(w.key("app"))
	w.Expect([]string{routing.Stable, routing.Canary}).To(gomega.HaveEach(status.Stable.Revision))
	w.Expect(routing.Weights).To(gomega.Equal([]int32{0}))
	w.Expect(w.pods()).To(gomega.Equal(map[string]int32{first: 0, status.Stable.Revision: 4}))
	w.Expect(len(w.events.Events)).To(gomega.Equal(5), "one event per transition")
}

func TestIdleRolloutCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.restart()
	before := w.writes
	result, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(result.RequeueAfter).To(gomega.BeZero())
	w.Expect(w.writes).To(gomega.Equal(before))
}

func TestAbortWritesTheWeightInTheSameReconcile(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	canary := w.get("app").Status.Canary.Revision
	a := w.command("app", v1alpha1.ActionAbort, canary)

	_, err := w.reconcile("app")

	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{0}))
	status := w.get("app").Status
	w.Expect(status.Abort.Reason).To(gomega.Equal(v1alpha1.ReasonAborted))
	w.Expect(status.Abort.Message).To(gomega.ContainSubstring("ada"))
	w.Expect(w.ready("app").Status).To(gomega.Equal(metav1.ConditionFalse))
	w.Expect(w.outcome(a)).To(gomega.Equal("Applied Applied"))
	w.settle("app")
	w.Expect(w.get("app").Status.AppliedActions).To(gomega.BeEmpty())
	w.Expect(w.pods()[canary]).To(gomega.BeZero())

	retry := w.command("app", v1alpha1.ActionRetry, canary)
	w.settle("app")
	w.Expect(w.outcome(retry)).To(gomega.Equal("Applied Applied"))
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(canary))
}

func TestAbortIsNotHeldUpByATemplateThatIsTried(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	canary := w.get("app").Status.Canary.Revision
	w.push("app", "v3")
	w.command("app", v1alpha1.ActionAbort, canary)
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.get("app").Status.Abort).NotTo(gomega.BeNil())
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{0}))
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).NotTo(gomega.Equal(canary))
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	stable := w.get("app").Status.Stable.Revision
	nothing := w.command("app", v1alpha1.ActionAbort, stable)
	w.settle("app")
	w.Expect(w.outcome(nothing)).To(gomega.Equal("Refused NothingInProgress"))

	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	other := w.command("app", v1alpha1.ActionPromote, "other")
	notAborted := w.command("app", v1alpha1.ActionRetry, w.get("app").Status.Canary.Revision)
	nobody := w.command("nobody", v1alpha1.ActionAbort, "x")
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	_, err = w.reconcile("nobody")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.outcome(other)).To(gomega.Equal("Refused RevisionMismatch"))
	w.Expect(w.outcome(notAborted)).To(gomega.Equal("Refused NotAborted"))
	w.Expect(w.outcome(nobody)).To(gomega.Equal("Refused RolloutNotFound"))
	w.Expect(w.get("app").Status.Abort).To(gomega.BeNil())
}

func TestRejectedTemplateMovesNothing(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	before := w.get("app").Status
	w.edit("app", func(r *v1alpha1.Rollout) {
		r.Spec.Workload.Template = &runtime.RawExtension{Raw: []byte(strings.Replace(
			string(template("v3").Raw), `"name":"c"`, `"name":"Not A Name"`, 1))}
	})
	_, err := w.reconcile("app")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	after := w.get("app").Status
	w.Expect(after.Canary.Revision).To(gomega.Equal(before.Canary.Revision))
	w.Expect(w.router.Get(w.key("app")).Weights).To(gomega.Equal([]int32{50}))
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonPodTemplateRejected))
	w.Expect(w.ready("app").Message).To(gomega.ContainSubstring("Not A Name"))
	w.push("app", "v2")
	w.settle("app")
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(before.Canary.Revision))
}

func TestInvalidSpecs(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*v1alpha1.Rollout)
		want string
	}{
		"selector does not match": {func(r *v1alpha1.Rollout) {
			r.Spec.Selector.MatchLabels = map[string]string{"app": "other"}
		}, "selector does not match"},
		"no condition": {func(r *v1alpha1.Rollout) {
			r.Spec.Analysis = &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "m", Query: "up", SuccessWhen: "value >"}}}
		}, "successWhen"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("app", tc.edit)
			_, err := w.reconcile("app")
			w.Expect(err).NotTo(gomega.HaveOccurred())
			w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonInvalidSpec))
			w.Expect(w.ready("app").Message).To(gomega.ContainSubstring(tc.want))
			w.Expect(w.pods()).To(gomega.BeEmpty())
		})
	}
}

func TestRepeatedStep(t *testing.T) {
	steps := stepsOf(&v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{{Weight: 10}, {Name: "step-1", Weight: 20}}})
	if got := repeatedStep(steps); got != "step-1" {
		t.Errorf("repeatedStep = %q", got)
	}
}

func TestYoungerClaimIsStalled(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.create("other", func(r *v1alpha1.Rollout) {
		r.Spec.Traffic.Istio.VirtualServices[0].Name = "app"
	})
	older, younger := w.get("app"), w.get("other")
	loser := "other"
	if comesBefore(younger, older) { // Created within one second: the UID decides.
		loser = "app"
	}
	_, err := w.reconcile(loser)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.ready(loser).Reason).To(gomega.Equal(v1alpha1.ReasonRouteClaimed))
	w.Expect(w.router.Writes()).NotTo(gomega.ContainElement(gomega.HaveField("Rollout.Name", "other")))
}

func TestMissingRoutingIsStalledAndHeals(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	was := w.pods()
	w.router.Edit(w.key("app"), func(r *fake.Routing) { r.Missing = true })
	w.settle("app")
	w.Expect(w.ready("app").Reason).To(gomega.Equal(v1alpha1.ReasonObjectMissing))
	w.Expect(w.pods()).To(gomega.Equal(was))
	w.router.Edit(w.key("app"), func(r *fake.Routing) { r.Missing = false })
	w.settle("app")
	w.Expect(w.ready("app").Status).To(gomega.Equal(metav1.ConditionTrue))
}

func TestDeletionLeavesStableServingAndIsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	stable := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	w.Expect(w.direct.Delete(w.ctx, w.get("app"))).To(gomega.Succeed())
	w.settle("app", func() bool {
		return client.IgnoreNotFound(w.direct.Get(w.ctx, w.key("app"), &v1alpha1.Rollout{})) == nil &&
			w.direct.Get(w.ctx, w.key("app"), &v1alpha1.Rollout{}) != nil
	})
	given := w.router.Get(w.key("app"))
	w.Expect([]string{given.Stable, given.Canary}).To(gomega.HaveEach(""))
	w.Expect(given.Weights).To(gomega.Equal([]int32{0}))
	w.Expect(w.pods()[stable]).To(gomega.Equal(int32(4)))
	w.Expect(w.owners(stable)).To(gomega.BeEmpty(), "stable's ReplicaSet must outlive the Rollout")

	w.create("app", func(r *v1alpha1.Rollout) { r.Spec.Workload.Template = template("v3") })
	w.settle("app", w.at("app", "half"))
	w.Expect(w.get("app").Status.Stable.Revision).To(gomega.Equal(stable), "what served is stable for the new Rollout")
	w.settle("app")
	w.Expect(w.owners(stable)).To(gomega.HaveLen(1))
}

func TestLostStatusTakesOverNoOldVerdict(t *testing.T) {
	w := newWorld(t)
	w.create("app", func(r *v1alpha1.Rollout) {
		r.Spec.Analysis = &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "m", Query: "vector(1)", SuccessWhen: "value == 1.0"}}}
	})
	w.settle("app")
	stable := w.get("app").Status.Stable.Revision
	w.push("app", "v2")
	w.settle("app", w.at("app", "first"))
	w.Expect(w.get("app").Status.Attempt).To(gomega.Equal(int32(1)))

	lost := w.get("app")
	lost.Status = v1alpha1.RolloutStatus{}
	w.Expect(w.direct.Status().Update(w.ctx, lost)).To(gomega.Succeed())
	w.restart()
	w.settle("app", w.at("app", "first"))

	status := w.get("app").Status
	w.Expect(status.Stable.Revision).To(gomega.Equal(stable))
	w.Expect(status.Attempt).To(gomega.Equal(int32(2)))
}

func TestAutoscalerSeesStableAlone(t *testing.T) {
	w := newWorld(t)
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	w.settle("app", w.at("app", "half"))
	var scale autoscalingv1.Scale
	w.Expect(w.direct.SubResource("scale").Get(w.ctx, w.get("app"), &scale)).To(gomega.Succeed())
	w.Expect(scale.Status.Replicas).To(gomega.Equal(int32(4)))
	w.Expect(scale.Status.Selector).To(gomega.ContainSubstring("pod-template-hash=" + w.get("app").Status.Stable.Revision))
	scale.Spec.Replicas = 8
	w.Expect(w.direct.SubResource("scale").Update(w.ctx, w.get("app"), client.WithSubResourceBody(&scale))).To(gomega.Succeed())
	w.settle("app")
	w.Expect(w.pods()[w.get("app").Status.Stable.Revision]).To(gomega.Equal(int32(8)))
}

// TestCrashAtEveryWrite ends the process around every single write of a release, of
// an abort, and of what alerts do to one, and starts another: the end must be the same as without.
func TestCrashAtEveryWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(*world)
	}{
		"release": {func(w *world) { w.settle("app") }},
		"rollback after the promotion": {func(w *world) {
			w.edit("app", watched)
			w.settle("app", w.keepsPrevious("app"))
			w.command("app", v1alpha1.ActionAbort, w.get("app").Status.Stable.Revision)
			w.settle("app")
		}},
		"abort": {func(w *world) {
			w.settle("app", w.at("app", "half"))
			w.command("app", v1alpha1.ActionAbort, w.get("app").Status.Canary.Revision)
			w.settle("app")
		}},
		"abort by an alert": {func(w *world) {
			w.edit("app", toldOfAlerts)
			w.settle("app", w.at("app", "half"))
			w.alert("app", "abort", w.get("app").Status.Canary.Revision, v1alpha1.ActionAbort)
			w.settle("app")
		}},
		"pause by an alert, until somebody promotes": {func(w *world) {
			w.edit("app", toldOfAlerts)
			w.settle("app", w.at("app", "half"))
			canary := w.get("app").Status.Canary.Revision
			w.alert("app", "pause", canary, v1alpha1.ActionPause)
			w.settle("app")
			w.command("app", v1alpha1.ActionPromote, canary)
			w.settle("app")
		}},
		"rollback by an alert after the promotion": {func(w *world) {
			w.edit("app", toldOfAlerts)
			w.edit("app", watched)
			w.settle("app", w.keepsPrevious("app"))
			w.alert("app", "abort", w.get("app").Status.Stable.Revision, v1alpha1.ActionAbort)
			w.settle("app")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			calm := newWorld(t)
			want, writes := crashingRelease(calm, 0, false, tc.play)
			for n := 1; n <= writes; n++ {
				for _, after := range []bool{false, true} {
					got, _ := crashingRelease(newWorld(t), n, after, tc.play)
					if got != want {
						t.Errorf("crash at write %d (after: %v): ends as %s, want %s", n, after, got, want)
					}
				}
			}
		})
	}
}

var errCrash = errors.New("the process ended")

// crashingRelease plays a release in which the process ends at the nth write, and
// returns how it ends and how many writes it took.
func crashingRelease(w *world, n int, after bool, play func(*world)) (end string, writes int) {
	w.create("app")
	w.settle("app")
	w.push("app", "v2")
	start := w.writes
	w.fault = func(write int, written bool) error {
		if write == start+n && written == after {
			w.restart()
			return errCrash
		}
		return nil
	}
	play(w)
	writes = w.writes - start
	w.fault = nil
	w.settle("app")
	status := w.get("app").Status
	routing := w.router.Get(w.key("app"))
	var runs v1alpha1.AnalysisRunList
	w.Expect(w.direct.List(w.ctx, &runs, client.InNamespace(w.namespace))).To(gomega.Succeed())
	return fmt.Sprintf("%v stable=%s weight=%v ready=%s pods=%v runs=%d", transitions(&status),
		status.Stable.Revision, routing.Weights, w.ready("app").Reason, w.pods(), len(runs.Items)), writes
}

func transitions(s *v1alpha1.RolloutStatus) []string {
	var out []string
	for _, t := range s.History {
		text := string(t.Type)
		if t.Type == v1alpha1.TransitionStarted || t.Type == v1alpha1.TransitionStepEntered {
			text += " " + t.Step
		}
		out = append(out, text)
	}
	return out
}

// pods returns how many pods each revision is to have.
func (w *world) pods() map[string]int32 {
	w.t.Helper()
	var list appsv1.ReplicaSetList
	w.Expect(w.direct.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	pods := map[string]int32{}
	for i := range list.Items {
		pods[list.Items[i].Labels[v1alpha1.PodTemplateHashLabel]] = *list.Items[i].Spec.Replicas
	}
	return pods
}

func (w *world) owners(revision string) []metav1.OwnerReference {
	w.t.Helper()
	var list appsv1.ReplicaSetList
	w.Expect(w.direct.List(w.ctx, &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	i := slices.IndexFunc(list.Items, func(rs appsv1.ReplicaSet) bool {
		return rs.Labels[v1alpha1.PodTemplateHashLabel] == revision
	})
	w.Expect(i).To(gomega.BeNumerically(">=", 0))
	return list.Items[i].OwnerReferences
}

// outcome tells what became of an action.
func (w *world) outcome(a *v1alpha1.RolloutAction) string {
	w.t.Helper()
	seen := &v1alpha1.RolloutAction{}
	w.Expect(w.direct.Get(w.ctx, types.NamespacedName{Namespace: a.Namespace, Name: a.Name}, seen)).To(gomega.Succeed())
	for _, kind := range []string{v1alpha1.ConditionApplied, v1alpha1.ConditionRefused} {
		if c := meta.FindStatusCondition(seen.Status.Conditions, kind); c != nil {
			return kind + " " + c.Reason
		}
	}
	return "pending"
}

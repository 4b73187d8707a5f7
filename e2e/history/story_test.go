package history

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	alice = "operator-a"
	bob   = "operator-b"
	user  = ""
	tick  = 100 * time.Millisecond
)

// story is a history made by hand: a Rollout of four pods with the steps 25, with
// half a second of bake, and 50, which needs approval.
type story struct {
	t        *testing.T
	checker  *Checker
	now      time.Time
	revision int64
	rollout  *v1alpha1.Rollout
}

func newStory(t *testing.T) *story {
	s := &story{t: t, checker: New(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.rollout = &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "app", UID: "u"},
		Spec: v1alpha1.RolloutSpec{
			Replicas: ptr.To[int32](4),
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{
				{Weight: 25, Bake: &metav1.Duration{Duration: 500 * time.Millisecond}},
				{Weight: 50, Approval: v1alpha1.ApprovalRequired},
			}}},
			Traffic: v1alpha1.Traffic{
				DrainTime: &metav1.Duration{Duration: time.Second},
				Istio: &v1alpha1.IstioTraffic{
					VirtualServices: []v1alpha1.IstioVirtualService{{Name: "app", Routes: []string{"primary"}}},
					DestinationRule: &v1alpha1.IstioDestinationRule{Name: "app", StableSubset: "stable", CanarySubset: "canary"},
				},
			},
		},
	}
	return s
}

// byGateway has the story routed by an HTTPRoute and a GRPCRoute.
func (s *story) byGateway() {
	s.rollout.Spec.Traffic.Istio = nil
	s.rollout.Spec.Traffic.GatewayAPI = &v1alpha1.GatewayAPITraffic{
		Routes:   []v1alpha1.GatewayAPIRoute{{Kind: KindHTTPRoute, Name: "app", Rules: []string{"primary"}}, {Kind: KindGRPCRoute, Name: "app"}},
		Services: v1alpha1.GatewayAPIServices{Stable: "app", Canary: "app-canary"},
	}
}

// put stores an object; nil deletes it.
func (s *story) put(writer, kind, name string, obj any) {
	s.t.Helper()
	s.revision++
	s.now = s.now.Add(tick)
	v := Version{Revision: s.revision, Seen: s.now, Kind: kind, Namespace: "n", Name: name, Writer: writer}
	if obj != nil {
		raw, err := json.Marshal(obj)
		if err != nil {
			s.t.Fatal(err)
		}
		v.Raw = raw
	}
	s.checker.Add(v)
}

func (s *story) micro() metav1.MicroTime { return metav1.NewMicroTime(s.now) }

// status edits the Rollout's status as the operator.
func (s *story) status(edit func(*v1alpha1.RolloutStatus)) {
	s.t.Helper()
	edit(&s.rollout.Status)
	s.put(alice, KindRollout, "app", s.rollout)
}

// split stores the VirtualService.
func (s *story) split(writer string, weight int32) {
	s.t.Helper()
	if s.rollout.Spec.Traffic.GatewayAPI != nil {
		s.put(writer, KindHTTPRoute, "app", gatewayRouteOf(weight, 100-weight))
		s.put(writer, KindGRPCRoute, "app", gatewayRouteOf(weight, 100-weight))
		return
	}
	s.put(writer, KindVirtualService, "app", virtualServiceOf(weight, 100-weight))
}

func gatewayRouteOf(canary, stable int32) map[string]any {
	to := func(name string, weight int32) map[string]any {
		return map[string]any{"name": name, "port": 80, "weight": weight}
	}
	return map[string]any{
		"metadata": map[string]any{"name": "app", "generation": canary},
		"spec": map[string]any{"hostnames": []any{"app"}, "rules": []any{
			map[string]any{"name": "primary", "backendRefs": []any{to("app", stable), to("app-canary", canary)}},
			map[string]any{"name": "other", "backendRefs": []any{to("else", 100)}},
		}},
	}
}

func virtualServiceOf(canary, stable int32) map[string]any {
	to := func(subset string, weight int32) map[string]any {
		return map[string]any{"destination": map[string]any{"host": "app", "subset": subset}, "weight": weight}
	}
	return map[string]any{
		"metadata": map[string]any{"name": "app", "resourceVersion": fmt.Sprint(canary)},
		"spec": map[string]any{"hosts": []any{"app"}, "http": []any{
			map[string]any{"name": "primary", "route": []any{to("stable", stable), to("canary", canary)}},
			map[string]any{"name": "other", "timeout": "1s", "route": []any{to("stable", 100)}},
		}},
	}
}

// bind stores the DestinationRule.
func (s *story) bind(writer, stable, canary string) {
	s.t.Helper()
	labels := func(revision string) map[string]string {
		return map[string]string{"app": "app", v1alpha1.PodTemplateHashLabel: revision}
	}
	if s.rollout.Spec.Traffic.GatewayAPI != nil {
		for name, revision := range map[string]string{"app": stable, "app-canary": canary} {
			s.put(writer, KindService, name, &corev1.Service{Spec: corev1.ServiceSpec{Selector: labels(revision)}})
		}
		return
	}
	s.put(writer, KindDestinationRule, "app", map[string]any{"spec": map[string]any{"host": "app", "subsets": []any{
		map[string]any{"name": "stable", "labels": labels(stable)},
		map[string]any{"name": "canary", "labels": labels(canary)},
	}}})
}

// scale stores a ReplicaSet.
func (s *story) scale(writer, revision string, replicas int32) {
	s.t.Helper()
	s.put(writer, KindReplicaSet, "app-"+revision, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "app-" + revision, Namespace: "n", Labels: map[string]string{
			v1alpha1.PodTemplateHashLabel: revision, v1alpha1.RolloutLabel: "app",
		}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas},
	})
}

// pods stores ready pods with the numbers from, to a number before to.
func (s *story) pods(revision string, from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		s.put(user, KindPod, fmt.Sprintf("app-%s-%d", revision, i), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", OwnerReferences: []metav1.OwnerReference{
				{Kind: "ReplicaSet", Name: "app-" + revision, Controller: ptr.To(true)},
			}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
}

// action stores a command and its effect's mark in the status.
func (s *story) action(kind v1alpha1.ActionType, uid types.UID) {
	s.t.Helper()
	s.put(user, KindRolloutAction, string(uid), &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: string(uid), UID: uid},
		Spec:       v1alpha1.RolloutActionSpec{Rollout: "app", Action: kind, Revision: "b"},
	})
	s.rollout.Status.AppliedActions = []types.UID{uid}
}

// verdict stores the AnalysisRun of the current step, just measured.
func (s *story) verdict(name string, v v1alpha1.Verdict) {
	s.t.Helper()
	s.verdictAt(name, v, s.micro())
}

// verdictAt stores an AnalysisRun that was measured at a time.
func (s *story) verdictAt(name string, v v1alpha1.Verdict, at metav1.MicroTime) {
	s.t.Helper()
	run := &v1alpha1.AnalysisRun{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}
	run.Spec.Subject = v1alpha1.AnalysisSubject{Rollout: "app", StableRevision: "a", CanaryRevision: "b", Attempt: 1}
	run.Spec.Metrics = []v1alpha1.Metric{{Name: "m"}}
	run.Status.Verdict = v
	run.Status.Metrics = []v1alpha1.MetricStatus{{Name: "m", Verdict: v, Measurements: []v1alpha1.Measurement{{At: at, Verdict: v}}}}
	if step := s.rollout.Status.Step; step != nil && step.InForceSince != nil {
		run.Status.Step = &v1alpha1.AnalysisStep{Index: step.Index, Name: step.Name, Since: *step.InForceSince}
	}
	s.put(alice, KindAnalysisRun, name, run)
}

func (s *story) lease(writer, holder string) {
	s.t.Helper()
	s.put(writer, KindLease, "sluice", &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}})
}

// deployed tells until a serves.
func (s *story) deployed() {
	s.put(user, KindRollout, "app", s.rollout)
	s.bind(user, "", "")
	s.split(user, 0)
	s.status(func(r *v1alpha1.RolloutStatus) { r.Stable = &v1alpha1.RevisionStatus{Revision: "a"} })
	s.scale(alice, "a", 4)
	s.pods("a", 0, 4)
	s.bind(alice, "a", "")
	s.status(func(r *v1alpha1.RolloutStatus) { r.Stable.Proven = 4 })
}

// enter makes a step current.
func (s *story) enter(index int32, name string, weight int32) {
	s.t.Helper()
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.Step = &v1alpha1.StepStatus{Index: index, Name: name, Weight: weight, EnteredAt: s.micro()}
	})
}

func (s *story) inForce() {
	s.t.Helper()
	s.status(func(r *v1alpha1.RolloutStatus) { r.Step.InForceSince = ptr.To(s.micro()) })
}

// released tells until b is in force at 25 percent.
func (s *story) released() {
	s.releasedUnseen()
	s.inForce()
}

// releasedUnseen tells until b has 25 percent, before the status says so.
func (s *story) releasedUnseen() {
	s.deployed()
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.Canary, r.Attempt = &v1alpha1.RevisionStatus{Revision: "b"}, 1
		r.Step = &v1alpha1.StepStatus{Name: "step-1", Weight: 25, EnteredAt: s.micro()}
	})
	s.scale(alice, "b", 1)
	s.pods("b", 0, 1)
	s.bind(alice, "a", "b")
	s.split(alice, 25)
}

// baked tells that half a second passed, and more.
func (s *story) baked() { s.now = s.now.Add(600 * time.Millisecond) }

// second tells until b is in force at 50 percent.
func (s *story) second() {
	s.released()
	s.baked()
	s.enter(1, "step-2", 50)
	s.scale(alice, "b", 2)
	s.pods("b", 1, 2)
	s.split(alice, 50)
	s.inForce()
}

// watched tells until b is stable, and a kept ready to return.
func (s *story) watched() {
	s.promoted()
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.AfterPromotion = &v1alpha1.AfterPromotionStatus{Previous: "a", Proven: 4, PromotedAt: s.micro()}
	})
	s.bind(alice, "b", "a")
}

// back makes a stable again.
func (s *story) back(edit ...func(*v1alpha1.RolloutStatus)) {
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.Stable, r.Canary = &v1alpha1.RevisionStatus{Revision: "a", Proven: 4}, &v1alpha1.RevisionStatus{Revision: "b"}
		r.Abort = &v1alpha1.AbortStatus{Reason: v1alpha1.ReasonAnalysisFailed, At: s.micro()}
		r.AfterPromotion = nil
		r.LastTransition = &v1alpha1.Transition{Type: v1alpha1.TransitionRolledBack, Revision: "a", At: s.micro()}
		for _, e := range edit {
			e(r)
		}
	})
}

// handedOver tells until b has all traffic, and a is stable all the same.
func (s *story) handedOver() {
	s.second()
	s.action(v1alpha1.ActionPromote, "p")
	s.enter(2, promotion, 100)
	s.scale(alice, "b", 4)
	s.pods("b", 2, 4)
	s.split(alice, 100)
}

// promoted tells until b is stable.
func (s *story) promoted() {
	s.handedOver()
	s.inForce()
	s.bind(alice, "b", "b")
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.Stable = &v1alpha1.RevisionStatus{Revision: "b", Proven: 4}
		r.Canary, r.Step = nil, nil
	})
	s.split(alice, 0)
}

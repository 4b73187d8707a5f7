package history

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// withAnalysis has the story's Rollout measure.
func withAnalysis(s *story) {
	s.rollout.Spec.Analysis = &v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "m"}}}
}

func aborted(s *story) {
	s.second()
	s.split(alice, 0)
	s.status(func(r *v1alpha1.RolloutStatus) {
		r.Step, r.Abort = nil, &v1alpha1.AbortStatus{Reason: v1alpha1.ReasonAborted, At: s.micro()}
	})
}

// good are histories in which everything holds.
var good = map[string]func(*story){
	"a whole release": func(s *story) {
		s.promoted()
		s.now = s.now.Add(time.Second)
		s.scale(alice, "a", 0)
	},
	"a verdict passes a step": func(s *story) {
		withAnalysis(s)
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictSuccess)
		s.baked()
		s.enter(1, "step-2", 50)
	},
	"a verdict is written after what it led to": func(s *story) {
		withAnalysis(s)
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictPending)
		s.baked()
		measured := s.micro()
		s.enter(1, "step-2", 50)
		s.verdictAt("app-b-1", v1alpha1.VerdictSuccess, measured)
	},
	"a verdict is lost with its process": func(s *story) {
		withAnalysis(s)
		s.lease(alice, "x")
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictPending)
		s.baked()
		s.enter(1, "step-2", 50)
		s.lease(alice, "y")
		s.verdict("app-b-1", v1alpha1.VerdictPending)
	},
	"a step is passed before its force is written": func(s *story) {
		s.releasedUnseen()
		s.baked()
		s.enter(1, "step-2", 50)
	},
	"a command passes a step that bakes": func(s *story) {
		s.released()
		s.action(v1alpha1.ActionPromote, "p")
		s.enter(1, "step-2", 50)
	},
	"a command passes all steps": func(s *story) {
		s.released()
		s.action(v1alpha1.ActionPromoteFull, "p")
		s.enter(2, promotion, 100)
	},
	"an abort, drained": func(s *story) {
		aborted(s)
		s.now = s.now.Add(time.Second)
		s.scale(alice, "b", 0)
	},
	"an abort, retried": func(s *story) {
		aborted(s)
		s.action(v1alpha1.ActionRetry, "r")
		s.status(func(r *v1alpha1.RolloutStatus) {
			r.Abort, r.Attempt = nil, 2
			r.Step = &v1alpha1.StepStatus{Name: "step-1", Weight: 25, EnteredAt: s.micro()}
		})
		s.split(alice, 25)
	},
	"a rollback after the promotion": func(s *story) {
		s.watched()
		s.back()
		s.split(alice, 100)
		s.bind(alice, "a", "a")
		s.split(alice, 0)
		s.now = s.now.Add(2 * time.Second)
		s.scale(alice, "b", 0)
	},
	"a rollback by a person": func(s *story) {
		s.promoted()
		s.put(user, KindRolloutAction, "r", &v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "r", UID: "r"},
			Spec:       v1alpha1.RolloutActionSpec{Rollout: "app", Action: v1alpha1.ActionRollback, Revision: "b", ToRevision: "a"},
		})
		s.back(func(r *v1alpha1.RolloutStatus) { r.AppliedActions = []types.UID{"r"} })
		s.bind(alice, "b", "a")
		s.split(alice, 100)
	},
	"somebody else moves the weights, and they are put right": func(s *story) {
		s.released()
		s.split(user, 90)
		s.status(func(r *v1alpha1.RolloutStatus) { r.Step.InForceSince = nil })
		s.split(alice, 25)
		s.inForce()
	},
	"somebody else adds a route": func(s *story) {
		s.released()
		vs := virtualServiceOf(25, 75)
		spec := vs["spec"].(map[string]any)
		spec["http"] = append([]any{map[string]any{"name": "new"}}, spec["http"].([]any)...)
		s.put(user, KindVirtualService, "app", vs)
	},
	"more replicas are asked for": func(s *story) {
		s.released()
		s.rollout.Spec.Replicas = ptr.To[int32](8)
		s.put(user, KindRollout, "app", s.rollout)
		s.scale(alice, "a", 8)
	},
	"fewer replicas are asked for in the middle of a promotion": func(s *story) {
		s.handedOver()
		s.rollout.Spec.Replicas = ptr.To[int32](2)
		s.put(user, KindRollout, "app", s.rollout)
		s.scale(alice, "a", 2)
	},
	"fewer replicas are asked for, and at once more again": func(s *story) {
		s.released()
		s.rollout.Spec.Replicas = ptr.To[int32](2)
		s.put(user, KindRollout, "app", s.rollout)
		s.scale(alice, "a", 2)
		s.put(user, KindPod, "app-a-2", nil)
		s.put(user, KindPod, "app-a-3", nil)
		s.rollout.Spec.Replicas = ptr.To[int32](4)
		s.put(user, KindRollout, "app", s.rollout)
	},
	"a pod of many restarts": func(s *story) {
		s.second()
		s.put(user, KindPod, "app-a-0", nil)
		s.pods("a", 0, 1)
	},
	"a lease passes on with a write in flight": func(s *story) {
		s.lease(alice, "x")
		s.deployed()
		s.lease(bob, "y")
		s.scale(alice, "a", 5)
		s.scale(bob, "a", 4)
	},
	"a lease is given back": func(s *story) {
		s.lease(alice, "x")
		s.deployed()
		s.lease(alice, "")
		s.lease(bob, "y")
		s.scale(bob, "a", 5)
	},
}

func TestGoodHistories(t *testing.T) {
	for name, tell := range good {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			tell(s)
			if report := s.checker.Report(); report != "" {
				t.Errorf("violations in a good history:\n%s", report)
			}
			if s.checker.Written("n") == 0 || s.checker.Written("other") != 0 {
				t.Error("the operator's versions were not counted")
			}
		})
	}
}

func TestGoodHistoriesByGateway(t *testing.T) {
	for name, tell := range good {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.byGateway()
			tell(s)
			if report := s.checker.Report(); report != "" {
				t.Errorf("violations in a good history:\n%s", report)
			}
		})
	}
}

// bad are histories that violate one invariant and no other, and a piece of what is
// said first.
var bad = map[string]struct {
	invariant Invariant
	says      string
	tell      func(*story)
}{
	"weights that do not sum to 100": {Weights, "sum to 90", func(s *story) {
		s.released()
		s.put(alice, KindVirtualService, "app", virtualServiceOf(25, 65))
	}},
	"a foreign field changed": {Weights, "more of VirtualService app", func(s *story) {
		s.released()
		vs := virtualServiceOf(25, 75)
		vs["spec"].(map[string]any)["hosts"] = []any{"else"}
		s.put(alice, KindVirtualService, "app", vs)
	}},
	"a foreign route's weight changed": {Weights, "more of VirtualService app", func(s *story) {
		s.released()
		vs := virtualServiceOf(25, 75)
		other := vs["spec"].(map[string]any)["http"].([]any)[1].(map[string]any)
		other["route"].([]any)[0].(map[string]any)["weight"] = 99
		s.put(alice, KindVirtualService, "app", vs)
	}},
	"a subset's other label changed": {Weights, "more of DestinationRule app", func(s *story) {
		s.deployed()
		s.put(alice, KindDestinationRule, "app", map[string]any{"spec": map[string]any{"host": "app", "subsets": []any{
			map[string]any{"name": "stable", "labels": map[string]string{"app": "else", v1alpha1.PodTemplateHashLabel: "a"}},
			map[string]any{"name": "canary", "labels": map[string]string{"app": "app"}},
		}}})
	}},
	"a foreign backend's weight changed": {Weights, "more of HTTPRoute app", func(s *story) {
		s.byGateway()
		s.released()
		route := gatewayRouteOf(25, 75)
		other := route["spec"].(map[string]any)["rules"].([]any)[1].(map[string]any)
		other["backendRefs"].([]any)[0].(map[string]any)["weight"] = 99
		s.put(alice, KindHTTPRoute, "app", route)
	}},
	"weights of a rule that do not sum to 100": {Weights, "sum to 90", func(s *story) {
		s.byGateway()
		s.released()
		s.put(alice, KindGRPCRoute, "app", gatewayRouteOf(25, 65))
	}},
	"more of a Service than its selector changed": {Weights, "more of Service app", func(s *story) {
		s.byGateway()
		s.deployed()
		s.put(alice, KindService, "app", &corev1.Service{Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "else", v1alpha1.PodTemplateHashLabel: "a"},
		}})
	}},
	"more than the step by a gateway": {Moves, "which has 25%", func(s *story) {
		s.byGateway()
		s.released()
		s.put(alice, KindHTTPRoute, "app", gatewayRouteOf(50, 50))
	}},
	"the spec changed": {Weights, "the spec of Rollout", func(s *story) {
		s.deployed()
		s.rollout.Spec.Paused = true
		s.put(alice, KindRollout, "app", s.rollout)
	}},
	"a raise without pods": {Capacity, "canary b was raised", func(s *story) {
		s.released()
		s.baked()
		s.enter(1, "step-2", 50)
		s.scale(alice, "b", 2)
		s.split(alice, 50)
	}},
	"a return to a stable without pods": {Capacity, "stable a was raised", func(s *story) {
		s.promoted()
		s.now = s.now.Add(time.Second)
		s.scale(alice, "a", 0)
		for _, pod := range []string{"app-a-0", "app-a-1", "app-a-2", "app-a-3"} {
			s.put(user, KindPod, pod, nil)
		}
		s.rollout.Status.Stable.Revision = "a"
		s.checker.Exempt("n", Moves)
		s.status(func(*v1alpha1.RolloutStatus) {})
		s.checker.Exempt("n")
		s.bind(alice, "a", "b")
	}},
	"pods gone while there is weight": {Capacity, "has 50% and 1 ready", func(s *story) {
		s.second()
		s.put(user, KindPod, "app-b-0", nil)
	}},
	"scaled down while it is kept ready to return": {Capacity, "kept ready to return", func(s *story) {
		s.watched()
		s.now = s.now.Add(time.Minute)
		s.scale(alice, "a", 0)
	}},
	"scaled down under traffic": {Capacity, "scaled to 1, but has 50%", func(s *story) {
		s.second()
		s.scale(alice, "b", 1)
	}},
	"scaled down before the drain time": {Capacity, "after it last had weight", func(s *story) {
		s.promoted()
		s.scale(alice, "a", 0)
	}},
	"scaled down below the replicas before the drain time": {Capacity, "after it last had weight", func(s *story) {
		s.handedOver()
		s.scale(alice, "a", 2)
	}},
	"scaled down without routing": {Capacity, "is not there to say", func(s *story) {
		s.released()
		s.put(user, KindVirtualService, "app", nil)
		s.now = s.now.Add(time.Minute)
		s.scale(alice, "b", 0)
	}},
	"a step passed before its bake": {Moves, "bakes for 500ms", func(s *story) {
		s.released()
		s.enter(1, "step-2", 50)
	}},
	"a step passed without being in force": {Moves, "never in force", func(s *story) {
		s.releasedUnseen()
		s.split(alice, 10)
		s.baked()
		s.enter(1, "step-2", 50)
	}},
	"a step passed without approval": {Moves, "without the approval", func(s *story) {
		s.second()
		s.baked()
		s.enter(2, promotion, 100)
	}},
	"a step passed without a verdict": {Moves, "without successful measurements", func(s *story) {
		withAnalysis(s)
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictPending)
		s.baked()
		s.enter(1, "step-2", 50)
	}},
	"a step passed on a verdict that a later write lacks": {Moves, "without successful measurements", func(s *story) {
		withAnalysis(s)
		s.released()
		s.baked()
		s.enter(1, "step-2", 50)
		s.verdict("app-b-1", v1alpha1.VerdictSuccess) // measured too late
	}},
	"a step passed before it can have baked": {Moves, "never said to be in force", func(s *story) {
		s.rollout.Spec.Strategy.Canary.Steps[0].Bake.Duration = time.Minute
		s.releasedUnseen()
		s.now = s.now.Add(2 * time.Minute)
		s.enter(1, "step-2", 50)
	}},
	"a step passed on an earlier step's verdict": {Moves, "without successful measurements", func(s *story) {
		withAnalysis(s)
		s.rollout.Spec.Strategy.Canary.Steps[1].Approval = v1alpha1.ApprovalNone
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictSuccess)
		s.baked()
		s.enter(1, "step-2", 50)
		s.inForce()
		s.baked()
		s.enter(2, promotion, 100)
	}},
	"a step passed while paused": {Moves, "while paused", func(s *story) {
		s.released()
		s.rollout.Spec.Paused = true
		s.put(user, KindRollout, "app", s.rollout)
		s.baked()
		s.enter(1, "step-2", 50)
	}},
	"a step skipped": {Moves, "follows on", func(s *story) {
		s.released()
		s.baked()
		s.enter(2, promotion, 100)
	}},
	"more weight than the step has": {Moves, "has 25%", func(s *story) {
		s.released()
		s.pods("b", 1, 4)
		s.split(alice, 50)
	}},
	"weight after an abort": {Moves, "was aborted", func(s *story) {
		aborted(s)
		s.split(alice, 1)
	}},
	"a start again after an abort": {Moves, "without a Retry", func(s *story) {
		aborted(s)
		s.status(func(r *v1alpha1.RolloutStatus) {
			r.Abort = nil
			r.Step = &v1alpha1.StepStatus{Name: "step-1", Weight: 25, EnteredAt: s.micro()}
		})
	}},
	"weight for what is not released": {Moves, "not being released", func(s *story) {
		s.second()
		s.split(alice, 0)
		s.status(func(r *v1alpha1.RolloutStatus) { r.Canary, r.Step = nil, nil })
		s.split(alice, 10)
	}},
	"a promotion before the last step": {Moves, "before every step was passed", func(s *story) {
		s.released()
		s.status(func(r *v1alpha1.RolloutStatus) {
			r.Stable, r.Canary, r.Step = &v1alpha1.RevisionStatus{Revision: "b", Proven: 4}, nil, nil
		})
	}},
	"a step entered again": {Moves, "entered a second time", func(s *story) {
		s.released()
		s.status(func(r *v1alpha1.RolloutStatus) { r.Step.EnteredAt = s.micro() })
	}},
	"a time that starts again": {Moves, "started again", func(s *story) {
		s.released()
		s.status(func(r *v1alpha1.RolloutStatus) { r.Step.InForceSince = ptr.To(metav1.NewMicroTime(s.now)) })
	}},
	"a rollback that nobody asked for": {Moves, "without being released", func(s *story) {
		s.promoted()
		s.back()
	}},
	"a rollback that would not last": {Moves, "without being released", func(s *story) {
		s.watched()
		s.back(func(r *v1alpha1.RolloutStatus) { r.Abort = nil })
	}},
	"attempts that fall": {Moves, "attempts fell", func(s *story) {
		s.released()
		s.status(func(r *v1alpha1.RolloutStatus) { r.Attempt = 0 })
	}},
	"writes after the lease is lost": {Single, "2 writes after", func(s *story) {
		s.deployed()
		s.lease(alice, "x")
		s.scale(alice, "a", 5)
		s.lease(bob, "y")
		s.scale(alice, "a", 6)
		s.scale(alice, "a", 7)
	}},
	"two runs for an attempt": {Unique, "same attempt", func(s *story) {
		s.released()
		s.verdict("app-b-1", v1alpha1.VerdictPending)
		s.verdict("app-b-2", v1alpha1.VerdictPending)
	}},
	"two ReplicaSets for a revision": {Unique, "same revision", func(s *story) {
		s.deployed()
		rs := get[appsv1.ReplicaSet](s.checker.world, KindReplicaSet, "n", "app-a").DeepCopy()
		rs.Name = "app-a2"
		s.put(alice, KindReplicaSet, rs.Name, rs)
	}},
	"what cannot be read": {Decoding, "decoding", func(s *story) {
		s.put(alice, KindRollout, "app", "text")
	}},
}

func TestBadHistories(t *testing.T) {
	for name, tc := range bad {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			tc.tell(s)
			found := s.checker.Violations()
			if len(found) == 0 || !strings.Contains(found[0].Message, tc.says) {
				t.Errorf("want a violation of %s that says %q:\n%s", tc.invariant, tc.says, s.checker.Report())
			}
			for _, v := range found {
				if v.Invariant != tc.invariant {
					t.Errorf("want violations of %s alone:\n%s", tc.invariant, s.checker.Report())
				}
			}
			if report := s.checker.Report(); !strings.Contains(report, "=> ") {
				t.Errorf("the report lacks the history around it:\n%s", report)
			}
		})
	}
}

func TestExempt(t *testing.T) {
	s := newStory(t)
	s.second()
	s.checker.Exempt("n", Capacity)
	s.put(user, KindPod, "app-b-0", nil)
	s.checker.Exempt("n")
	if report := s.checker.Report(); report != "" {
		t.Errorf("an exempt violation was reported:\n%s", report)
	}
	s.checker.Ignore("n")
	s.split(alice, 99)
	if report := s.checker.Report(); report != "" {
		t.Errorf("a violation in an ignored namespace was reported:\n%s", report)
	}
}

package gatewayapi

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// said is what a controller says of a parent: both conditions, of a generation.
func said(parent gatewayv1.ParentReference, controller string, generation int64, accepted, resolved metav1.ConditionStatus) gatewayv1.RouteParentStatus {
	return gatewayv1.RouteParentStatus{
		ParentRef: parent, ControllerName: gatewayv1.GatewayController(controller),
		Conditions: []metav1.Condition{
			{Type: "Accepted", Status: accepted, ObservedGeneration: generation, Reason: "SomeReason", Message: "some message"},
			{Type: "ResolvedRefs", Status: resolved, ObservedGeneration: generation, Reason: "OtherReason", Message: "other message"},
		},
	}
}

func TestEvidence(t *testing.T) {
	const (
		yes, no, unknown = trafficrouting.ProgrammedYes, trafficrouting.ProgrammedNo, trafficrouting.ProgrammedUnknown
		isTrue, isFalse  = metav1.ConditionTrue, metav1.ConditionFalse
	)
	public := gatewayv1.ParentReference{Name: "public"}
	written := gatewayv1.ParentReference{
		Group: ptr.To(gatewayv1.Group(gatewayv1.GroupName)), Kind: ptr.To(gatewayv1.Kind("Gateway")),
		Namespace: ptr.To(gatewayv1.Namespace("shop")), Name: "public",
	}
	service := gatewayv1.ParentReference{Group: ptr.To(gatewayv1.Group("")), Kind: ptr.To(gatewayv1.Kind("Service")), Name: "public"}
	section := gatewayv1.ParentReference{Name: "public", SectionName: ptr.To(gatewayv1.SectionName("https"))}
	port := gatewayv1.ParentReference{Name: "public", Port: ptr.To(gatewayv1.PortNumber(443))}
	partly := said(public, "a/b", 3, isTrue, isTrue)
	partly.Conditions = partly.Conditions[:1]
	for _, c := range []struct {
		name    string
		parents []gatewayv1.ParentReference
		status  []gatewayv1.RouteParentStatus
		want    trafficrouting.Programmed
		refusal string
	}{
		{name: "no parents", want: unknown},
		{name: "nobody says anything", parents: []gatewayv1.ParentReference{public}, want: unknown},
		{name: "yes", parents: []gatewayv1.ParentReference{public}, want: yes,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 3, isTrue, isTrue)}},
		{name: "yes, with the defaults written out", parents: []gatewayv1.ParentReference{public}, want: yes,
			status: []gatewayv1.RouteParentStatus{said(written, "a/b", 3, isTrue, isTrue)}},
		{name: "of the spec before", parents: []gatewayv1.ParentReference{public}, want: no,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 2, isTrue, isTrue)}},
		{name: "refused, of the spec before", parents: []gatewayv1.ParentReference{public}, want: no,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 2, isFalse, isTrue)}},
		{name: "of no generation", parents: []gatewayv1.ParentReference{public}, want: unknown,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 0, isTrue, isTrue)}},
		{name: "half of it", parents: []gatewayv1.ParentReference{public}, want: unknown,
			status: []gatewayv1.RouteParentStatus{partly}},
		{name: "not accepted", parents: []gatewayv1.ParentReference{public}, want: no,
			status:  []gatewayv1.RouteParentStatus{said(public, "a/b", 3, isFalse, isTrue)},
			refusal: "is refused by a/b, for parent public: Accepted is False, SomeReason: some message"},
		{name: "not resolved", parents: []gatewayv1.ParentReference{public}, want: no,
			status:  []gatewayv1.RouteParentStatus{said(public, "a/b", 3, isTrue, isFalse)},
			refusal: "ResolvedRefs is False, OtherReason: other message"},
		{name: "not yet known", parents: []gatewayv1.ParentReference{public}, want: no,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 3, metav1.ConditionUnknown, isTrue)}},
		{name: "of another kind", parents: []gatewayv1.ParentReference{public}, want: unknown,
			status: []gatewayv1.RouteParentStatus{said(service, "a/b", 3, isTrue, isTrue)}},
		{name: "of another section and port", parents: []gatewayv1.ParentReference{public}, want: unknown,
			status: []gatewayv1.RouteParentStatus{said(section, "a/b", 3, isTrue, isTrue), said(port, "a/b", 3, isTrue, isTrue)}},
		{name: "two parents, both", parents: []gatewayv1.ParentReference{public, service}, want: yes,
			status: []gatewayv1.RouteParentStatus{said(service, "a/b", 3, isTrue, isTrue), said(public, "a/b", 3, isTrue, isTrue)}},
		{name: "two parents, one silent", parents: []gatewayv1.ParentReference{public, service}, want: unknown,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 3, isTrue, isTrue)}},
		{name: "two parents, one behind, one silent", parents: []gatewayv1.ParentReference{service, public}, want: no,
			status: []gatewayv1.RouteParentStatus{said(public, "a/b", 1, isTrue, isTrue)}},
		{name: "a controller that is gone, and its successor", parents: []gatewayv1.ParentReference{public}, want: yes,
			status: []gatewayv1.RouteParentStatus{said(public, "old/one", 1, isFalse, isTrue), said(public, "a/b", 3, isTrue, isTrue)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			http := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Generation: 3}}
			http.Spec.ParentRefs, http.Status.Parents = c.parents, c.status
			grpc := &gatewayv1.GRPCRoute{ObjectMeta: http.ObjectMeta}
			grpc.Spec.ParentRefs, grpc.Status.Parents = c.parents, c.status
			got := evidenceOf(http)
			if got.programmed != c.want || !strings.Contains(got.refusal, c.refusal) || (got.refusal == "") != (c.refusal == "") {
				t.Errorf("evidence is %+v, want %s, %q", got, c.want, c.refusal)
			}
			if other := evidenceOf(grpc); other != got {
				t.Errorf("of a GRPCRoute it is %+v, of an HTTPRoute %+v", other, got)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	const yes, no, unknown = trafficrouting.ProgrammedYes, trafficrouting.ProgrammedNo, trafficrouting.ProgrammedUnknown
	for _, c := range []struct {
		all  []trafficrouting.Programmed
		want trafficrouting.Programmed
	}{
		{nil, unknown},
		{[]trafficrouting.Programmed{yes, yes}, yes},
		{[]trafficrouting.Programmed{yes, unknown}, unknown},
		{[]trafficrouting.Programmed{unknown, no, yes}, no},
	} {
		if got := worst(c.all); got != c.want {
			t.Errorf("of %v the worst is %s, want %s", c.all, got, c.want)
		}
	}
}

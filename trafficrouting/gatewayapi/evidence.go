package gatewayapi

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// evidence is what a route's status says of whether it is carried out.
type evidence struct {
	programmed trafficrouting.Programmed
	// refusal is why a parent does not carry it out as it stands; empty if none
	// says so.
	refusal string
}

// evidenceOf reads the evidence of a route: it is carried out if every parent says
// so of the spec as it stands, and is not if one says otherwise, or still speaks of
// an earlier spec. Parents of which nobody says anything leave it open.
func evidenceOf(route client.Object) evidence {
	var parents []gatewayv1.ParentReference
	var status []gatewayv1.RouteParentStatus
	switch r := route.(type) {
	case *gatewayv1.HTTPRoute:
		parents, status = r.Spec.ParentRefs, r.Status.Parents
	case *gatewayv1.GRPCRoute:
		parents, status = r.Spec.ParentRefs, r.Status.Parents
	}
	total := evidence{programmed: trafficrouting.ProgrammedYes}
	if len(parents) == 0 {
		total.programmed = trafficrouting.ProgrammedUnknown
	}
	for _, parent := range parents {
		e := ofParent(parentKey(parent, route.GetNamespace()), status, route)
		total.programmed = worst([]trafficrouting.Programmed{total.programmed, e.programmed})
		total.refusal = cmp.Or(total.refusal, e.refusal)
	}
	return total
}

// ofParent is what is said of one parent. Where several controllers speak, one that
// carries the route out is enough: others may be long gone, and never correct what
// they said.
func ofParent(parent gatewayv1.ParentReference, status []gatewayv1.RouteParentStatus, route client.Object) evidence {
	best := evidence{programmed: trafficrouting.ProgrammedUnknown}
	for _, s := range status {
		if !sameParent(parentKey(s.ParentRef, route.GetNamespace()), parent) {
			continue
		}
		e := ofController(s, route.GetGeneration())
		if e.programmed == trafficrouting.ProgrammedYes {
			return e
		}
		if best.programmed == trafficrouting.ProgrammedUnknown {
			best = e
		}
	}
	return best
}

// ofController is what one controller says of one parent.
func ofController(s gatewayv1.RouteParentStatus, generation int64) evidence {
	said := evidence{programmed: trafficrouting.ProgrammedYes}
	for _, name := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		c := meta.FindStatusCondition(s.Conditions, string(name))
		switch {
		case c == nil || c.ObservedGeneration == 0:
			said.programmed = worst([]trafficrouting.Programmed{said.programmed, trafficrouting.ProgrammedUnknown})
		case c.ObservedGeneration < generation:
			said.programmed = trafficrouting.ProgrammedNo
		case c.Status == metav1.ConditionFalse:
			said.programmed = trafficrouting.ProgrammedNo
			said.refusal = fmt.Sprintf("is refused by %s, for parent %s: %s is False, %s: %s",
				s.ControllerName, s.ParentRef.Name, name, c.Reason, c.Message)
			return said
		case c.Status != metav1.ConditionTrue:
			said.programmed = trafficrouting.ProgrammedNo
		}
	}
	return said
}

// parentKey is a reference with everything in it that may be left out.
func parentKey(p gatewayv1.ParentReference, namespace string) gatewayv1.ParentReference {
	return gatewayv1.ParentReference{
		Group:       ptr.To(ptr.Deref(p.Group, gatewayv1.GroupName)),
		Kind:        ptr.To(ptr.Deref(p.Kind, "Gateway")),
		Namespace:   ptr.To(ptr.Deref(p.Namespace, gatewayv1.Namespace(namespace))),
		Name:        p.Name,
		SectionName: ptr.To(ptr.Deref(p.SectionName, "")),
		Port:        ptr.To(ptr.Deref(p.Port, 0)),
	}
}

// sameParent compares two keys.
func sameParent(a, b gatewayv1.ParentReference) bool {
	return *a.Group == *b.Group && *a.Kind == *b.Kind && *a.Namespace == *b.Namespace && a.Name == b.Name &&
		*a.SectionName == *b.SectionName && *a.Port == *b.Port
}

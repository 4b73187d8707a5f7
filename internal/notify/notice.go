package notify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Notice is one thing that happened to a Rollout.
type Notice struct {
	Namespace, Rollout string
	UID                types.UID
	Labels             map[string]string
	Type               v1alpha1.NotificationType
	Reason             string
	Revision, Step     string
	Stable, Canary     string
	Message            string
	At                 time.Time
}

// Notices lists what a written status has to tell, in order.
func Notices(rollout *v1alpha1.Rollout, happened []v1alpha1.Transition) []Notice {
	base := Notice{
		Namespace: rollout.Namespace, Rollout: rollout.Name, UID: rollout.UID, Labels: maps.Clone(rollout.Labels),
		Stable: revisionOf(rollout.Status.Stable), Canary: revisionOf(rollout.Status.Canary),
	}
	all := make([]Notice, len(happened))
	for i := range happened {
		t, n := &happened[i], base
		n.Type, n.Reason, n.Message = v1alpha1.NotificationType(t.Type), t.Reason, t.Message
		n.Revision, n.Step, n.At = t.Revision, t.Step, t.At.Time
		all[i] = n
	}
	return all
}

func revisionOf(s *v1alpha1.RevisionStatus) string {
	if s == nil {
		return ""
	}
	return s.Revision
}

// ID tells a notice from every other. It is the same however often it is told.
// Several steps may be entered at one moment.
func (n *Notice) ID() string {
	return fmt.Sprintf("%s/%s/%s/%s/%s/%d", n.UID, n.Type, n.Reason, n.Revision, n.Step, n.At.UnixMicro())
}

// Trigger returns why a Notifier is told of a notice, or nil.
func Trigger(spec *v1alpha1.NotifierSpec, n *Notice) *v1alpha1.NotificationTrigger {
	selector, err := selectorOf(spec)
	if err != nil || !selector.Matches(labels.Set(n.Labels)) {
		return nil
	}
	for i := range spec.Triggers {
		t := &spec.Triggers[i]
		if t.Type == n.Type && (len(t.Reasons) == 0 || slices.Contains(t.Reasons, n.Reason)) {
			return t
		}
	}
	return nil
}

func selectorOf(spec *v1alpha1.NotifierSpec) (labels.Selector, error) {
	if spec.Selector == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(spec.Selector)
}

// Check tells whether a Notifier can be used as it is written, but for what is in its
// Secrets. The error is an *Error.
func Check(spec *v1alpha1.NotifierSpec) error {
	if FormatOf(spec) == "" {
		return &Error{Reason: ReasonAddressInvalid}
	}
	if _, err := selectorOf(spec); err != nil {
		return &Error{Reason: ReasonSelectorInvalid, Detail: err.Error()}
	}
	for i := range spec.Triggers {
		t := &spec.Triggers[i]
		if err := CheckTemplate(t.Template); err != nil {
			return &Error{Reason: ReasonTemplateInvalid, Detail: fmt.Sprintf("the template of %s: %v", t.Type, err)}
		}
	}
	return nil
}

package edit

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Binding is the place where a destination says which pods it selects: the
// labels of a subset, or the selector of a Service. A destination is bound to a
// revision by the value of pod-template-hash there. A nil Binding is that of a
// destination that is missing.
type Binding struct {
	// Object in which the place is.
	Object client.Object
	// Path leads to the map of labels in Object.
	Path []any
	// Holds is what must be so for Path to lead to what is meant.
	Holds []Operation
	// Labels are the map's contents; nil if it is absent or empty.
	Labels map[string]string
}

// SelectorBinding is the binding of a Service's pods.
func SelectorBinding(service *corev1.Service) *Binding {
	return &Binding{Object: service, Path: []any{"spec", "selector"}, Labels: service.Spec.Selector}
}

// revision that the destination selects; empty if it selects by none.
func (b *Binding) revision() string {
	if b == nil {
		return ""
	}
	return b.Labels[v1alpha1.PodTemplateHashLabel]
}

// bound reports whether the destination selects revision. Empty asks for none in
// particular.
func (b *Binding) bound(revision string) bool {
	return b != nil && (revision == "" || b.revision() == revision)
}

// Bind returns what makes the destination select revision; it is empty if it does.
func (b *Binding) Bind(revision string) Change {
	if b == nil || b.bound(revision) {
		return Change{}
	}
	ops := slices.Clone(b.Holds)
	if len(b.Labels) == 0 {
		labels := map[string]string{v1alpha1.PodTemplateHashLabel: revision}
		return Change{b.Object, append(ops, set(Pointer(b.Path...), labels))}
	}
	if current, ok := b.Labels[v1alpha1.PodTemplateHashLabel]; ok {
		ops = append(ops, Test(b.key(), current))
	}
	return Change{b.Object, append(ops, set(b.key(), revision))}
}

// Unbind returns what makes the destination select by no revision; it is empty if
// it does not. A map that Bind had to create goes with its only key.
func (b *Binding) Unbind() Change {
	if b == nil {
		return Change{}
	}
	current, ok := b.Labels[v1alpha1.PodTemplateHashLabel]
	if !ok {
		return Change{}
	}
	ops := append(slices.Clone(b.Holds), Test(b.key(), current))
	if len(b.Labels) == 1 {
		return Change{b.Object, append(ops, remove(Pointer(b.Path...)))}
	}
	return Change{b.Object, append(ops, remove(b.key()))}
}

func (b *Binding) key() string {
	return Pointer(append(slices.Clone(b.Path), v1alpha1.PodTemplateHashLabel)...)
}

// in reports whether b is in object.
func (b *Binding) in(object client.Object) bool { return b != nil && b.Object == object }

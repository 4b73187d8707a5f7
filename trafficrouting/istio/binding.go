package istio

import (
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// binding is the place where a destination says which pods it selects: the
// labels of a subset, or the selector of a Service.
type binding struct {
	object client.Object
	// path leads to the map of labels in object.
	path []any
	// holds is what must be so for path to lead to what is meant.
	holds []operation
	// labels are the map's contents; nil if it is absent or empty.
	labels map[string]string
}

// revision that the destination selects; empty if it selects by none.
func (b *binding) revision() string {
	if b == nil {
		return ""
	}
	return b.labels[v1alpha1.PodTemplateHashLabel]
}

// bound reports whether the destination selects revision. Empty asks for none in
// particular.
func (b *binding) bound(revision string) bool {
	return b != nil && (revision == "" || b.revision() == revision)
}

// bind returns the operations that make the destination select revision; none if
// it does.
func (b *binding) bind(revision string) []operation {
	if b == nil || b.bound(revision) {
		return nil
	}
	ops := slices.Clone(b.holds)
	if len(b.labels) == 0 {
		return append(ops, set(pointer(b.path...), map[string]string{v1alpha1.PodTemplateHashLabel: revision}))
	}
	if current, ok := b.labels[v1alpha1.PodTemplateHashLabel]; ok {
		ops = append(ops, test(b.key(), current))
	}
	return append(ops, set(b.key(), revision))
}

// unbind returns the operations that make the destination select by no revision;
// none if it does not. A map that bind had to create goes with its only key.
func (b *binding) unbind() []operation {
	if b == nil {
		return nil
	}
	current, ok := b.labels[v1alpha1.PodTemplateHashLabel]
	if !ok {
		return nil
	}
	ops := append(slices.Clone(b.holds), test(b.key(), current))
	if len(b.labels) == 1 {
		return append(ops, remove(pointer(b.path...)))
	}
	return append(ops, remove(b.key()))
}

func (b *binding) key() string {
	return pointer(append(slices.Clone(b.path), v1alpha1.PodTemplateHashLabel)...)
}

// subsetBinding returns the binding of a subset; nil if there is no such subset.
func subsetBinding(dr *networkingv1.DestinationRule, name string) *binding {
	for i, subset := range dr.Spec.GetSubsets() {
		if subset.GetName() != name {
			continue
		}
		return &binding{
			object: dr,
			path:   []any{"spec", "subsets", i, "labels"},
			holds:  []operation{test(pointer("spec", "subsets", i, "name"), name)},
			labels: subset.GetLabels(),
		}
	}
	return nil
}

func selectorBinding(service *corev1.Service) *binding {
	return &binding{object: service, path: []any{"spec", "selector"}, labels: service.Spec.Selector}
}

// edit is what is to be done to one object.
type edit struct {
	object client.Object
	ops    []operation
}

// perObject makes one edit of those of the same object, in order, and leaves out
// the empty ones.
func perObject(edits ...edit) []edit {
	var merged []edit
	for _, e := range edits {
		if len(e.ops) == 0 {
			continue
		}
		i := slices.IndexFunc(merged, func(m edit) bool { return m.object == e.object })
		if i < 0 {
			merged = append(merged, e)
			continue
		}
		merged[i].ops = append(merged[i].ops, e.ops...)
	}
	return merged
}

// edit makes ops an edit of the binding's object.
func (b *binding) edit(ops []operation) edit {
	if b == nil {
		return edit{}
	}
	return edit{b.object, ops}
}

package istio_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestTheDocumentedYAMLWorks creates the objects of the manual page, as they
// stand there, and routes by them.
func TestTheDocumentedYAMLWorks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "routing-istio.md"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		var parsed any
		if err := yaml.Unmarshal([]byte(block), &parsed); err != nil {
			t.Errorf("%v in:\n%s", err, block)
		}
		if !strings.Contains(block, "kind: Rollout") {
			continue
		}
		tried++
		m := newMesh(t, v1alpha1.IstioTraffic{}, strings.Split(block, "\n---\n")...)
		m.target.Traffic = m.rollout("checkout").Spec.Traffic
		m.mustApply("a", "b", 25)
		m.wantWeights("checkout", 0, 75, 25)
		if err := m.router.Release(t.Context(), m.target); err != nil {
			t.Error(err)
		}
		m.wantWeights("checkout", 0, 100, 0)
	}
	if tried != 2 {
		t.Errorf("%d Rollouts on the page, want one for each split", tried)
	}
}

// rollout reads a Rollout, defaults and all.
func (m *mesh) rollout(name string) *v1alpha1.Rollout {
	m.t.Helper()
	object := newObject("Rollout")
	if err := m.admin.Get(m.t.Context(), types.NamespacedName{Namespace: m.namespace, Name: name}, object); err != nil {
		m.t.Fatal(err)
	}
	rollout := &v1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, rollout); err != nil {
		m.t.Fatal(err)
	}
	return rollout
}

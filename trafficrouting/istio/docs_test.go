package istio_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		if !strings.Contains(block, "\nkind: Rollout\n") {
			continue
		}
		tried++
		m := newMesh(t, v1alpha1.IstioTraffic{}, strings.Split(block, "\n---\n")...)
		m.Target.Traffic = m.Rollout("checkout").Spec.Traffic
		m.MustApply("a", "b", 25)
		m.wantWeights("checkout", 0, 75, 25)
		if err := m.Router.Release(t.Context(), m.Target); err != nil {
			t.Error(err)
		}
		m.wantWeights("checkout", 0, 100, 0)
	}
	if tried != 2 {
		t.Errorf("%d Rollouts on the page, want one for each split", tried)
	}
}

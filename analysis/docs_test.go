package analysis

import (
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestDocumentedMetrics builds and validates every metric of the documentation.
func TestDocumentedMetrics(t *testing.T) {
	page, err := os.ReadFile("../docs/analysis.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := 0
	for i, block := range strings.Split(string(page), "```yaml\n") {
		block, _, _ = strings.Cut(block, "```")
		if i == 0 || !strings.HasPrefix(block, "analysis:") {
			continue
		}
		var doc struct {
			Analysis v1alpha1.Analysis `json:"analysis"`
		}
		if err := yaml.UnmarshalStrict([]byte(block), &doc); err != nil {
			t.Errorf("%v in:\n%s", err, block)
		}
		if err := ValidateMetrics(doc.Analysis.Metrics); err != nil {
			t.Errorf("%v in:\n%s", err, block)
		}
		for j := range doc.Analysis.Metrics {
			metrics++
			q, err := BuildQuery(&doc.Analysis.Metrics[j], vars, t0, t0.Add(45*time.Second))
			if err != nil || strings.Contains(q.Expr, "{{") || !strings.Contains(q.Expr, "[45s]") {
				t.Errorf("%+v, %v", q, err)
			}
		}
	}
	if metrics < 4 {
		t.Errorf("found %d metrics", metrics)
	}
}

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
	page = []byte(strings.ReplaceAll(string(page), "```yaml\n  - name:", "```yaml\nanalysis:\n  metrics:\n  - name:"))
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
			if m := &doc.Analysis.Metrics[j]; IsComparison(m) {
				from := t0.Truncate(time.Minute)
				s, err := BuildSelection(m, &doc.Analysis.ComparisonPolicy, vars, from, from.Add(time.Minute))
				if err != nil || len(s.Queries) == 0 || strings.Contains(s.Queries[0].Expr, "{{") {
					t.Errorf("%+v, %v", s, err)
				}
				continue
			}
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

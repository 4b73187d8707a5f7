package gatewayapi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/trafficrouting/gatewayapi"
	"github.com/sluice-dev/sluice/trafficrouting/internal/onserver"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// TestTheDocumentedYAMLWorks creates the objects of the manual page and of the
// sample, as they stand there, and routes by them.
func TestTheDocumentedYAMLWorks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "routing-gateway-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", "gateway", "basket.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, block := range append(strings.Split(string(page), "```yaml\n")[1:], string(sample)) {
		block, _, _ = strings.Cut(block, "```")
		var parsed any
		for _, document := range strings.Split(block, "\n---\n") {
			if err := yaml.Unmarshal([]byte(document), &parsed); err != nil {
				t.Errorf("%v in:\n%s", err, document)
			}
		}
		if !strings.Contains(block, "\nkind: Rollout\n") {
			continue
		}
		tried++
		name := "checkout"
		if strings.Contains(block, "name: basket") {
			name = "basket"
		}
		g := &gateway{onserver.New(t, apiServer.Config(t), newScheme(t), strings.Split(block, "\n---\n")...)}
		g.Router = mux.New(gatewayapi.Backend(g.Client))
		g.Target.Traffic = g.Rollout(name).Spec.Traffic
		kind := string(g.Target.Traffic.GatewayAPI.Routes[0].Kind)
		g.MustApply("a", "b", 25)
		g.wantWeights(kind, name, 0, 75, 25)
		if err := g.Router.Release(t.Context(), g.Target); err != nil {
			t.Error(err)
		}
		g.wantWeights(kind, name, 0, 100, 0)
	}
	if tried != 3 {
		t.Errorf("%d Rollouts were tried, want two of the page and the sample", tried)
	}
}

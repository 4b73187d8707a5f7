package demo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

func TestMetricsAreValid(t *testing.T) {
	metrics := []v1alpha1.Metric{
		demo.ErrorRatio("0.05", time.Second, 2),
		demo.Latency("250.0", time.Second, 2),
	}
	if err := analysis.ValidateMetrics(metrics); err != nil {
		t.Fatal(err)
	}
}

// The beginning of the window must lie within the step, with room for the last
// sample before it.
func TestErrorRatioLooksBackNoFurtherThanTheStep(t *testing.T) {
	metric := demo.ErrorRatio("0.05", time.Second, 2)
	since := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	variables := analysis.Variables{Namespace: "demo", Rollout: "shop", Stable: "a", Canary: "b"}
	for _, c := range []struct {
		age    time.Duration
		window string
	}{
		{2 * time.Second, "offset 1s"},
		{5 * time.Second, "offset 2s"},
		{10 * time.Minute, "offset 60s"},
	} {
		query, err := analysis.BuildQuery(&metric, variables, since, since.Add(c.age))
		if err != nil {
			t.Fatalf("age %s: %v", c.age, err)
		}
		if !strings.Contains(query.Expr, c.window) {
			t.Errorf("age %s: want %q in %s", c.age, c.window, query.Expr)
		}
	}
	if _, err := analysis.BuildQuery(&metric, variables, since, since.Add(time.Second)); !errors.Is(err, analysis.ErrTooEarly) {
		t.Errorf("a step of one second: %v, want %v", err, analysis.ErrTooEarly)
	}
}

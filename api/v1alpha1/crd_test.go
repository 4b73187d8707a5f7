package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func fieldCases() []fieldCase {
	return concat(rolloutCases, alertCases, analysisRunCases, rolloutActionCases, metricProviderCases, notifierCases)
}

// TestFields asks the API server about every value of every case, without
// storing any.
func TestFields(t *testing.T) {
	c := connect(t)
	stored := storeOne(t, c)
	for _, fc := range fieldCases() {
		t.Run(fc.kind+"/"+fc.path, func(t *testing.T) {
			for _, value := range fc.accept {
				t.Run("accept/"+brief(value), func(t *testing.T) {
					wantAccepted(t, fc.try(t, c, stored[fc.kind], value))
				})
			}
			for _, refused := range fc.refuse {
				t.Run("refuse/"+brief(refused.value), func(t *testing.T) {
					wantRefused(t, fc.try(t, c, stored[fc.kind], refused.value), refused.message)
				})
			}
		})
	}
}

// try is a dry run of creating the object, or of writing its status.
func (fc fieldCase) try(t *testing.T, c client.Client, stored *unstructured.Unstructured, value any) error {
	t.Helper()
	ctx := context.Background()
	object := full(t, fc.kind)
	apply(t, object, fc.given...)
	apply(t, object, change{fc.path, value})
	if !strings.HasPrefix(fc.path, "status.") {
		return c.Create(ctx, object, client.DryRunAll)
	}
	object.SetName(stored.GetName())
	object.SetResourceVersion(stored.GetResourceVersion())
	return c.Status().Update(ctx, object, client.DryRunAll)
}

// storeOne stores one object of each kind, whose status can be written.
func storeOne(t *testing.T, c client.Client) map[string]*unstructured.Unstructured {
	t.Helper()
	stored := map[string]*unstructured.Unstructured{}
	for _, kind := range kinds {
		stored[kind] = store(t, c, kind, "stored")
	}
	return stored
}

func store(t *testing.T, c client.Client, kind, name string) *unstructured.Unstructured {
	t.Helper()
	ctx := context.Background()
	object := full(t, kind)
	object.SetName(name)
	if err := c.Create(ctx, object); err != nil {
		t.Fatalf("create %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := c.Delete(ctx, object); err != nil {
			t.Errorf("delete %s: %v", kind, err)
		}
	})
	return object
}

func brief(value any) string {
	if value == nil {
		return "absent"
	}
	s := fmt.Sprintf("%v", value)
	if len(s) > 40 {
		return fmt.Sprintf("%s..%d", s[:30], len(s))
	}
	return s
}

// updateCase says which updates of a stored object the API server takes.
type updateCase struct {
	kind    string
	name    string
	changes []change
	message string // of the refusal; empty where the update is accepted
}

const (
	selectorFixed    = "selector cannot be changed"
	actionFixed      = "spec cannot be changed: create another RolloutAction"
	analysisRunFixed = "spec cannot be changed: create another AnalysisRun"
)

var updateCases = []updateCase{
	{rollout, "selector", []change{{"spec.selector.matchLabels.app", "other"}}, selectorFixed},
	{rollout, "selector grows", []change{{"spec.selector.matchLabels.more", "x"}}, selectorFixed},
	{rollout, "replicas", []change{{"spec.replicas", int64(3)}}, ""},
	{rollout, "steps", []change{{steps + ".0.weight", int64(7)}}, ""},
	{rollout, "paused", []change{{"spec.paused", nil}}, ""},
	{rolloutAction, "action", []change{{"spec.action", "Abort"}}, actionFixed},
	{rolloutAction, "step removed", []change{{"spec.step", nil}}, actionFixed},
	{rolloutAction, "labels", []change{{"metadata.labels", map[string]any{"a": "b"}}}, ""},
	{analysisRun, "metric", []change{{"spec.metrics.0.count", int64(4)}}, analysisRunFixed},
	{analysisRun, "attempt", []change{{"spec.subject.attempt", int64(2)}}, analysisRunFixed},
	{analysisRun, "labels", []change{{"metadata.labels", map[string]any{"a": "b"}}}, ""},
	{notifier, "address", []change{{"spec.webhook.address", "http://elsewhere"}}, ""},
	{metricProvider, "address", []change{{"spec.prometheus.address", "http://elsewhere"}}, ""},
}

func TestUpdates(t *testing.T) {
	c := connect(t)
	stored := storeOne(t, c)
	for _, uc := range updateCases {
		t.Run(uc.kind+"/"+uc.name, func(t *testing.T) {
			object := stored[uc.kind].DeepCopy()
			apply(t, object, uc.changes...)
			err := c.Update(context.Background(), object, client.DryRunAll)
			if uc.message == "" {
				wantAccepted(t, err)
				return
			}
			wantRefused(t, err, uc.message)
		})
	}
}

// TestTemplateKeepsUnknownFields holds that a pod template is stored as written,
// fields that no schema here knows included.
func TestTemplateKeepsUnknownFields(t *testing.T) {
	stored := store(t, connect(t), rollout, "template")
	template, _, err := unstructured.NestedFieldNoCopy(stored.Object, "spec", "workload", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(template); !strings.Contains(got, "aFieldNewerThanThisSchema:kept") {
		t.Errorf("stored containers %s lost the unknown field", got)
	}
}

// TestUnknownFieldIsRefused holds that a misspelt field does not vanish silently
// for clients that ask for strict validation, as kubectl does.
func TestUnknownFieldIsRefused(t *testing.T) {
	object := full(t, rollout)
	apply(t, object, change{steps + ".0.wieght", int64(5)})
	wantRefused(t, connect(t).Create(context.Background(), object, client.DryRunAll), "wieght")
}

// TestScale holds that an autoscaler can read and write the number of pods.
func TestScale(t *testing.T) {
	ctx, c := context.Background(), connect(t)
	object := store(t, c, rollout, "scaled")
	apply(t, object, change{"status", full(t, rollout).Object["status"]})
	if err := c.Status().Update(ctx, object); err != nil {
		t.Fatal(err)
	}
	scale := &unstructured.Unstructured{}
	scale.SetAPIVersion("autoscaling/v1")
	scale.SetKind("Scale")
	if err := c.SubResource("scale").Get(ctx, object, scale); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"replicas": int64(10), "selector": "app=checkout"}
	if diff := cmp.Diff(want, scale.Object["status"]); diff != "" {
		t.Errorf("status of the scale (-want +got):\n%s", diff)
	}
	apply(t, scale, change{"spec.replicas", int64(4)})
	if err := c.SubResource("scale").Update(ctx, object, client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedInt64(object.Object, "spec", "replicas"); got != 4 {
		t.Errorf("spec.replicas is %d after scaling, want 4", got)
	}
}

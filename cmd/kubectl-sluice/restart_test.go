package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestRestartOperations holds that a restart changes one annotation, whatever of the
// template's metadata is there.
func TestRestartOperations(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 9e8, time.FixedZone("CET", 3600))
	const stamp = "2026-03-01T12:00:00Z"
	for _, tc := range []struct{ name, template, path, value string }{
		{"no metadata", `{"spec":{}}`, "/spec/workload/template/metadata", `{"annotations":{"` + restartedAt + `":"` + stamp + `"}}`},
		{"metadata is null", `{"metadata":null}`, "/spec/workload/template/metadata", `{"annotations":{"` + restartedAt + `":"` + stamp + `"}}`},
		{"no annotations", `{"metadata":{"labels":{"a":"b"}}}`, "/spec/workload/template/metadata/annotations", `{"` + restartedAt + `":"` + stamp + `"}`},
		{"others", `{"metadata":{"annotations":{"a":"b"}}}`, "/spec/workload/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt", `"` + stamp + `"`},
		{"once more", `{"metadata":{"annotations":{"` + restartedAt + `":"2026-03-01T11:59:59Z"}}}`, "/spec/workload/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt", `"` + stamp + `"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &v1alpha1.Rollout{}
			r.Spec.Workload.Template = &runtime.RawExtension{Raw: []byte(tc.template)}
			operations, err := restartOperations(r, at)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(operations)
			if err != nil {
				t.Fatal(err)
			}
			want := `[{"op":"test","path":"/spec/workload/template","value":` + tc.template + `},` +
				`{"op":"add","path":"` + tc.path + `","value":` + tc.value + `}]`
			if string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestRestartRefused(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &v1alpha1.Rollout{}
	if err := restartable(r); err == nil || !strings.Contains(err.Error(), "no pod template of its own") {
		t.Errorf("without a template: %v", err)
	}
	r.Spec.Workload.Template = &runtime.RawExtension{Raw: []byte(`{"metadata":{"annotations":{"` + restartedAt + `":"2026-03-01T12:00:00Z"}}}`)}
	if _, err := restartOperations(r, now); err == nil || !strings.Contains(err.Error(), "within this second") {
		t.Errorf("twice in a second: %v", err)
	}
	r.Spec.Workload.Template.Raw = []byte(`[]`)
	if _, err := restartOperations(r, now); err == nil || !strings.Contains(err.Error(), "reading the pod template") {
		t.Errorf("a template that is none: %v", err)
	}
}

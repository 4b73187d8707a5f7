package resources

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const simple = `{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i:1","resources":{"limits":{"cpu":"1"}}}]}}`

func parse(t *testing.T, raw string) Template {
	t.Helper()
	parsed, err := ParseTemplate(v1alpha1.Workload{Template: &runtime.RawExtension{Raw: []byte(raw)}})
	if err != nil {
		t.Fatalf("ParseTemplate(%s): %v", raw, err)
	}
	return parsed
}

func TestSame(t *testing.T) {
	for name, tc := range map[string]struct {
		other string
		same  bool
	}{
		"itself":                      {simple, true},
		"other order and spaces":      {`{ "spec":{"containers":[{"image":"i:1","name":"c","resources":{"limits":{"cpu":"1"}}}]}, "metadata":{"labels":{"app":"a"}}}`, true},
		"the same quantity":           {strings.Replace(simple, `"1"}}`, `"1000m"}}`, 1), true},
		"a number for a quantity":     {strings.Replace(simple, `"1"}}`, `1}}`, 1), true},
		"an empty list for none":      {strings.Replace(simple, `"image"`, `"env":[],"image"`, 1), true},
		"another image":               {strings.Replace(simple, "i:1", "i:2", 1), false},
		"a field more":                {strings.Replace(simple, `"image"`, `"env":[{"name":"A"}],"image"`, 1), false},
		"a limit less":                {strings.Replace(simple, `"resources":{"limits":{"cpu":"1"}}`, `"resources":{}`, 1), false},
		"an unknown field":            {strings.Replace(simple, `"image"`, `"fromTheFuture":1,"image"`, 1), false},
		"another annotation":          {strings.Replace(simple, `"labels"`, `"annotations":{"a":"b"},"labels"`, 1), false},
		"a quantity that is not one ": {strings.Replace(simple, `"1"}}`, `"2"}}`, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := parse(t, simple), parse(t, tc.other)
			if a.Same(b) != tc.same || b.Same(a) != tc.same {
				t.Errorf("Same = %v and %v, want %v", a.Same(b), b.Same(a), tc.same)
			}
		})
	}
}

func TestUnknownFieldsThatDiffer(t *testing.T) {
	a := parse(t, strings.Replace(simple, `"image"`, `"fromTheFuture":1,"image"`, 1))
	b := parse(t, strings.Replace(simple, `"image"`, `"fromTheFuture":2,"image"`, 1))
	if a.Same(b) {
		t.Error("templates that differ in a field that only the API server knows are not the same")
	}
}

func TestRevision(t *testing.T) {
	a := parse(t, simple)
	first := a.Revision(func(string) bool { return false })
	if again := a.Revision(func(string) bool { return false }); again != first {
		t.Errorf("Revision is not a function of the template: %s and %s", first, again)
	}
	second := a.Revision(func(name string) bool { return name == first })
	if second == first || second == "" {
		t.Errorf("a name that is taken was given again: %s", second)
	}
}

func TestParseTemplateRejects(t *testing.T) {
	for _, raw := range []string{"", "null", "[]", `"text"`, `{"spec":"text"}`, `{"metadata":{"labels":"text"}}`} {
		_, err := ParseTemplate(v1alpha1.Workload{Template: &runtime.RawExtension{Raw: []byte(raw)}})
		if err == nil {
			t.Errorf("ParseTemplate(%s) succeeded", raw)
		}
	}
	if _, err := ParseTemplate(v1alpha1.Workload{}); err == nil {
		t.Error("ParseTemplate without a template succeeded")
	}
}

func TestMakeReplicaSet(t *testing.T) {
	rollout := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "app", UID: "u"}}
	rollout.Spec.Selector = metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
	future := strings.Replace(simple, `"image"`, `"fromTheFuture":1,"image"`, 1)
	rs, err := MakeReplicaSet(rollout, parse(t, future), "abc", 3)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rs.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"app-abc"`, `"replicas":3`, `"fromTheFuture":1`, `"controller":true`, `"blockOwnerDeletion":false`,
		`"matchLabels":{"app":"a","pod-template-hash":"abc"}`,
		`"labels":{"app":"a","pod-template-hash":"abc","service.istio.io/canonical-revision":"abc"}`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the ReplicaSet lacks %s:\n%s", want, raw)
		}
	}
	if rollout.Spec.Selector.MatchLabels[v1alpha1.PodTemplateHashLabel] != "" {
		t.Error("the Rollout's own selector was changed")
	}
}

func TestCanonicalRevisionOfTheUser(t *testing.T) {
	labels := podLabels(map[string]string{v1alpha1.CanonicalRevisionLabel: "mine"}, "abc")
	if labels[v1alpha1.CanonicalRevisionLabel] != "mine" || labels[v1alpha1.PodTemplateHashLabel] != "abc" {
		t.Errorf("labels: %v", labels)
	}
}

func TestRolloutLabelValue(t *testing.T) {
	if got := RolloutLabelValue("short"); got != "short" {
		t.Errorf("got %s", got)
	}
	a, b := RolloutLabelValue(strings.Repeat("a", 70)), RolloutLabelValue(strings.Repeat("a", 71))
	if len(a) > 63 || len(b) > 63 || a == b {
		t.Errorf("long names: %s and %s", a, b)
	}
}

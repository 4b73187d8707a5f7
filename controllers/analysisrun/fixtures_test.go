package analysisrun

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	namespace = "shop"
	stableRev = "6d4f"
	canaryRev = "7c9b"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func micro(t time.Time) metav1.MicroTime { return metav1.NewMicroTime(t) }

func dur(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		panic(err)
	}
	if err := v1alpha1.AddToScheme(s); err != nil {
		panic(err)
	}
	return s
}

// metric is measured every ten seconds and needs two successes.
func metric(edits ...func(*v1alpha1.Metric)) v1alpha1.Metric {
	m := v1alpha1.Metric{
		Name: "errors", Query: `errors{revision="{{canary}}"}`, SuccessWhen: "value < 0.05",
		Interval: dur(10 * time.Second), Count: 2, ConsecutiveErrorLimit: ptr.To[int32](1),
	}
	for _, e := range edits {
		e(&m)
	}
	return m
}

func provider(name string) func(*v1alpha1.Metric) {
	return func(m *v1alpha1.Metric) { m.Provider = &v1alpha1.ProviderReference{Name: name} }
}

// rollout stands in its first step, whose weight is in force since a time.
func rollout(name string, since time.Time) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.RolloutSpec{
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Workload: v1alpha1.Workload{Template: &runtime.RawExtension{
				Raw: []byte(`{"metadata":{"labels":{"app":"` + name + `"}},"spec":{"containers":[{"name":"a","image":"a"}]}}`),
			}},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.CanaryStrategy{Steps: []v1alpha1.Step{{Name: "first", Weight: 20}, {Name: "second", Weight: 50}}}},
			Traffic: v1alpha1.Traffic{Istio: &v1alpha1.IstioTraffic{
				VirtualServices: []v1alpha1.IstioVirtualService{{Name: name}},
				Services:        &v1alpha1.IstioServices{Stable: "stable", Canary: "canary"},
			}},
		},
		Status: inStep(0, since),
	}
}

func inStep(index int32, since time.Time) v1alpha1.RolloutStatus {
	return v1alpha1.RolloutStatus{
		Stable:  &v1alpha1.RevisionStatus{Revision: stableRev},
		Canary:  &v1alpha1.RevisionStatus{Revision: canaryRev},
		Attempt: 1,
		Step: &v1alpha1.StepStatus{
			Index: index, Name: []string{"first", "second"}[index], Weight: 20 + 30*index,
			EnteredAt: micro(since), InForceSince: ptr.To(micro(since)),
		},
	}
}

func promoted() v1alpha1.RolloutStatus {
	return v1alpha1.RolloutStatus{Stable: &v1alpha1.RevisionStatus{Revision: canaryRev}, Attempt: 1}
}

func run(name string, metrics ...v1alpha1.Metric) *v1alpha1.AnalysisRun {
	return &v1alpha1.AnalysisRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + canaryRev + "-1", CreationTimestamp: metav1.NewTime(t0), UID: "run-1"},
		Spec: v1alpha1.AnalysisRunSpec{
			Subject: v1alpha1.AnalysisSubject{Rollout: name, StableRevision: stableRev, CanaryRevision: canaryRev, Attempt: 1},
			Metrics: metrics,
		},
	}
}

func answered(metric string, since time.Time, after time.Duration, sample analysis.Sample, err error) analysis.Answer {
	due := since.Add(after)
	return analysis.Answer{Metric: metric, Since: since, Result: analysis.Result{Due: due, At: due, Query: "q", Sample: sample, Err: err}}
}

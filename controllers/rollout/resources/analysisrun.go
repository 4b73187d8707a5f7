package resources

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// AnalysisRunName is the name of an attempt's AnalysisRun. It is a function of
// the three, so that there cannot be two of an attempt.
func AnalysisRunName(rollout, revision string, attempt int32) string {
	return fmt.Sprintf("%s-%s-%d", rollout, revision, attempt)
}

// MakeAnalysisRun builds the AnalysisRun of an attempt.
func MakeAnalysisRun(rollout *v1alpha1.Rollout, stable, canary string, attempt int32) *v1alpha1.AnalysisRun {
	return &v1alpha1.AnalysisRun{
		ObjectMeta: metav1.ObjectMeta{
			Name:            AnalysisRunName(rollout.Name, canary, attempt),
			Namespace:       rollout.Namespace,
			Labels:          map[string]string{v1alpha1.RolloutLabel: RolloutLabelValue(rollout.Name)},
			OwnerReferences: []metav1.OwnerReference{OwnerReference(rollout)},
		},
		Spec: analysis.SpecOf(rollout, v1alpha1.AnalysisSubject{
			Rollout:        rollout.Name,
			StableRevision: stable,
			CanaryRevision: canary,
			Attempt:        attempt,
		}),
	}
}

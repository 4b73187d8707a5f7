package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnalysisRun is one judgement in progress: the metrics of one attempt to
// release one revision, over all its steps. Its spec cannot be changed; all its
// evidence is in its status. Sluice creates it with the first weight.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ar,categories=sluice
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.name`
// +kubebuilder:printcolumn:name="Canary",type=string,JSONPath=`.spec.subject.canaryRevision`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AnalysisRun struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what to judge. It cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec cannot be changed: create another AnalysisRun"
	Spec AnalysisRunSpec `json:"spec"`
	// status is the evidence.
	// +optional
	Status AnalysisRunStatus `json:"status,omitempty"`
}

// AnalysisRunList is a list of AnalysisRuns.
//
// +kubebuilder:object:root=true
type AnalysisRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisRun `json:"items"`
}

// AnalysisRunSpec is what to judge.
type AnalysisRunSpec struct {
	// subject is the attempt that is judged.
	// +required
	Subject AnalysisSubject `json:"subject"`
	// metrics to measure.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Metrics []Metric `json:"metrics"`

	ComparisonPolicy `json:",inline"`

	// steps is how many steps with weight the release was planned to have; evidence
	// is collected anew in so many of them. Default 1, 1 to 50.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	Steps int32 `json:"steps,omitempty"`
}

// AnalysisSubject is one attempt to release one revision.
type AnalysisSubject struct {
	// rollout is the name of the Rollout, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Rollout string `json:"rollout"`
	// stableRevision is what the canary is compared with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StableRevision string `json:"stableRevision"`
	// canaryRevision is what is judged.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	CanaryRevision string `json:"canaryRevision"`
	// attempt is the Rollout's count of releases, retries included, from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt"`
}

// AnalysisRunStatus is the evidence.
type AnalysisRunStatus struct {
	// conditions tell whether the run is completed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// step is the step that verdict and the counters of the step speak of.
	// +optional
	Step *AnalysisStep `json:"step,omitempty"`
	// verdict over all metrics for that step: the worst of theirs. Failure is
	// final.
	// +optional
	Verdict Verdict `json:"verdict,omitempty"`
	// message says in a sentence what the verdict rests on.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// metrics hold the evidence of each metric.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Metrics []MetricStatus `json:"metrics,omitempty"`
	// comparison is the evidence of all comparisons together.
	// +optional
	Comparison *FamilyEvidence `json:"comparison,omitempty"`
}

// AnalysisStep identifies a step of the release.
type AnalysisStep struct {
	// index of the step, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50
	Index int32 `json:"index"`
	// name of the step.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// since is when the step's weight was in force: no measurement looks further
	// back.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	Since metav1.MicroTime `json:"since"`
}

// MetricStatus is the evidence of one metric.
type MetricStatus struct {
	// name of the metric.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// verdict of the metric for the step.
	// +required
	Verdict Verdict `json:"verdict"`
	// message says in a sentence what the verdict rests on.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// query is the latest query, with placeholders filled in.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Query string `json:"query,omitempty"`
	// successful measurements in this step; of a comparison the windows in which the
	// canary had requests.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Successful int32 `json:"successful,omitempty"`
	// failed measurements in this attempt, over all steps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed int32 `json:"failed,omitempty"`
	// inconclusive measurements in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Inconclusive int32 `json:"inconclusive,omitempty"`
	// withoutData counts measurements without data in this step.
	// +optional
	// +kubebuilder:validation:Minimum=0
	WithoutData int32 `json:"withoutData,omitempty"`
	// errors in this attempt, over all steps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Errors int32 `json:"errors,omitempty"`
	// consecutiveErrors counts the errors since the latest measurement that was
	// none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ConsecutiveErrors int32 `json:"consecutiveErrors,omitempty"`
	// lastMeasuredAt is when the latest measurement was due. The next one is due
	// an interval later.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	LastMeasuredAt *metav1.MicroTime `json:"lastMeasuredAt,omitempty"`
	// measurements are the latest 10, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Measurements []Measurement `json:"measurements,omitempty"`
	// comparison is the evidence of a metric that compares the canary with stable.
	// +optional
	Comparison *ComparisonEvidence `json:"comparison,omitempty"`
}

// Measurement is one judged sample.
type Measurement struct {
	// at is the time for which the query was evaluated.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$`
	At metav1.MicroTime `json:"at"`
	// verdict of this measurement alone; of a comparison what all its evidence came
	// to with it.
	// +required
	Verdict Verdict `json:"verdict"`
	// value that was measured, in the shortest decimal form; several values are
	// separated by commas. Empty without data.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
	// reason is a fixed word for what kept the measurement from being judged, such
	// as NoData, NonFinite, SeveralSeries, Warnings, Timeout, Refused,
	// Unavailable, Condition.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
}

package v1alpha1

const (
	// PodTemplateHashLabel is on every ReplicaSet and pod of a Rollout; its value
	// is the revision. Istio derives the workload's name by stripping it from the
	// ReplicaSet's name, so the key is the one that Deployments use.
	PodTemplateHashLabel = "pod-template-hash"

	// CanonicalRevisionLabel tells Istio's telemetry the revision of a pod. It is
	// set to the revision unless the pod template sets it.
	CanonicalRevisionLabel = "service.istio.io/canonical-revision"

	// RolloutLabel is on every object that Sluice creates for a Rollout; its value
	// is the Rollout's name, shortened with a hash where it exceeds a label's 63
	// characters.
	RolloutLabel = "sluice.dev/rollout"

	// TemplateAnnotation holds, on a ReplicaSet, the pod template exactly as the
	// user wrote it. A revision is found by comparing templates in meaning, never
	// by hashing again, so that an upgrade of Sluice starts no rollout.
	TemplateAnnotation = "sluice.dev/template"

	// TrafficFinalizer keeps a Rollout until its routing was given back.
	TrafficFinalizer = "sluice.dev/traffic"
)

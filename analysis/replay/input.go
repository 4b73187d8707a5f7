package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// DefaultTimeout is how long a query may take where nothing else is said.
const DefaultTimeout = 30 * time.Second

// Input is what is replayed.
type Input struct {
	// Namespace of the Rollout.
	Namespace string `json:"namespace"`
	// Spec is what is judged: metrics, policy and the two revisions.
	Spec v1alpha1.AnalysisRunSpec `json:"spec"`
	// Steps are the stays in steps, the oldest first. Each lasts until the next one
	// begins, and the last one until To.
	Steps []v1alpha1.AnalysisStep `json:"steps"`
	// To is the last moment at which something is measured.
	To time.Time `json:"to"`

	// Rule is what the judge is held against.
	Rule Rule `json:"-"`
	// Timeout of a query. Default DefaultTimeout.
	Timeout time.Duration `json:"-"`
	// ToTheEnd goes on asking after the decision, so that a recording can be judged by
	// other policies, too.
	ToTheEnd bool `json:"-"`
	// Watch, where it is set, is told each status and the time at which it came.
	Watch func(at time.Time, status *v1alpha1.AnalysisRunStatus) `json:"-"`
}

// Check says what is wrong with an input.
func (in *Input) Check() error {
	s := &in.Spec.Subject
	switch {
	case in.Namespace == "" || s.Rollout == "":
		return errors.New("the namespace and the name of the Rollout are missing")
	case s.CanaryRevision == "" || s.StableRevision == "":
		return errors.New("both revisions must be known")
	case s.CanaryRevision == s.StableRevision:
		return fmt.Errorf("canary and stable are the same revision, %s", s.CanaryRevision)
	case len(in.Spec.Metrics) == 0:
		return errors.New("there is no metric")
	case len(in.Steps) == 0:
		return errors.New("there is no step")
	}
	for i := range in.Steps {
		if since, until := in.Steps[i].Since.Time, in.until(i); !since.Before(until) {
			return fmt.Errorf("step %s begins at %s, which is not before its end, %s",
				in.Steps[i].Name, since.Format(time.RFC3339), until.Format(time.RFC3339))
		}
	}
	return errors.Join(in.Rule.check(), analysis.ValidateMetrics(in.Spec.Metrics))
}

// until is when a stay ends.
func (in *Input) until(i int) time.Time {
	if i+1 < len(in.Steps) {
		return in.Steps[i+1].Since.Time
	}
	return in.To
}

func (in *Input) timeout() time.Duration {
	if in.Timeout <= 0 {
		return DefaultTimeout
	}
	return in.Timeout
}

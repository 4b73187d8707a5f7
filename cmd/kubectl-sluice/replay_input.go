package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/lint"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// oneStep names the only step of a replay that begins at --from.
const oneStep = "replay"

// rule is the plain rule that was asked for.
func (o *replayOptions) rule() (replay.Rule, error) {
	text, isPercent := strings.CutSuffix(o.threshold, "%")
	share, err := strconv.ParseFloat(text, 64)
	if isPercent {
		share /= 100
	}
	if err != nil || !(share > 0 && share < 1) {
		return replay.Rule{}, fmt.Errorf("--threshold is %q, and must be a share of requests such as 1%% or 0.01, above 0 and below 1", o.threshold)
	}
	if o.window < time.Second {
		return replay.Rule{}, fmt.Errorf("--threshold-window is %s, and must be at least 1s", o.window)
	}
	return replay.Rule{Threshold: share, Window: o.window}, nil
}

// input finds what is replayed, and the recording that answers; no recording when a
// server is asked.
func (o *replayOptions) input(ctx context.Context, name string) (*replay.Input, analysis.Provider, error) {
	if o.data != "" {
		return o.recorded(ctx)
	}
	now := o.now()
	subject, err := o.subject(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if err := o.override(subject.release, now); err != nil {
		return nil, nil, err
	}
	release := subject.release
	in := &replay.Input{Namespace: subject.namespace, Spec: subject.spec, Steps: release.Stays, To: release.End}
	in.Spec.Subject.CanaryRevision, in.Spec.Subject.StableRevision = release.Canary, release.Stable
	if in.To.IsZero() || in.To.After(now) {
		in.To = now
	}
	in.Steps = slices.DeleteFunc(in.Steps, func(s v1alpha1.AnalysisStep) bool { return !s.Since.Time.Before(in.To) })
	switch {
	case release.Canary == "" || release.Stable == "":
		return nil, nil, fmt.Errorf("the revisions are not known (canary %q, stable %q): name them with --canary and --stable, as the metrics' labels have them; "+
			"\"kubectl get replicasets -l %s=%s\" shows those that exist", release.Canary, release.Stable, v1alpha1.RolloutLabel, in.Spec.Subject.Rollout)
	case len(in.Steps) == 0:
		return nil, nil, errors.New("it is not known that the canary had traffic before the end: say when with --from, or with --since, and --to")
	}
	if err := in.Check(); err != nil {
		return nil, nil, err
	}
	return in, nil, nil
}

// recorded reads a recording, and what it is to be judged by where that is another.
func (o *replayOptions) recorded(ctx context.Context) (*replay.Input, analysis.Provider, error) {
	f, err := os.Open(o.data)
	if err != nil {
		return nil, nil, fmt.Errorf("--data: %w", err)
	}
	defer func() { _ = f.Close() }()
	recording, err := replay.Load(f)
	if err != nil {
		return nil, nil, fmt.Errorf("--data: %s: %w", o.data, err)
	}
	in := recording.Input
	if o.file != "" {
		other, err := o.fromFile(ctx)
		if err != nil {
			return nil, nil, err
		}
		was := in.Spec.Subject
		in.Spec = other.spec
		in.Spec.Subject = was
	}
	if err := in.Check(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.data, err)
	}
	return in, recording, nil
}

// subject is what is judged, and what is known of its release.
type subject struct {
	namespace string
	spec      v1alpha1.AnalysisRunSpec
	release   *story.Release
}

func (o *replayOptions) subject(ctx context.Context, name string) (*subject, error) {
	if o.file != "" {
		return o.fromFile(ctx)
	}
	at, err := o.connect()
	if err != nil {
		return nil, err
	}
	r, err := at.Rollout(ctx, name)
	if err != nil {
		return nil, err
	}
	around, err := at.Around(ctx, r)
	if err != nil {
		return nil, err
	}
	release, err := story.ReleaseOf(r, around.Runs, o.canary)
	switch {
	case err == nil:
	case o.canary != "" && o.stable != "" && (o.from != "" || o.since != 0):
		release = &story.Release{Attempt: 1} // Everything is said already.
	default:
		return nil, fmt.Errorf("%w: name --canary, --stable and --from", err)
	}
	return subjectOf(r, release)
}

func subjectOf(r *v1alpha1.Rollout, release *story.Release) (*subject, error) {
	if r.Spec.Analysis == nil {
		return nil, fmt.Errorf("rollout %s has no spec.analysis, so nothing of it is judged: give one in a file with -f, such as "+
			"\"analysis: {metrics: [{name: errors, builtin: {kind: ErrorRatio}}]}\"", r.Name)
	}
	return &subject{
		namespace: r.Namespace, release: release,
		spec: analysis.SpecOf(r, v1alpha1.AnalysisSubject{Rollout: r.Name, Attempt: max(release.Attempt, 1)}),
	}, nil
}

// fromFile reads the one Rollout or AnalysisRun of a file, with the API server's
// defaults.
func (o *replayOptions) fromFile(ctx context.Context) (*subject, error) {
	u, err := o.manifest()
	if err != nil {
		return nil, err
	}
	schemas, err := lint.Load()
	if err != nil {
		return nil, err
	}
	u, found := schemas.Complete(ctx, u)
	if len(found.Errors) > 0 {
		return nil, fmt.Errorf("%s: %s", o.file, strings.Join(found.Errors, "; "))
	}
	if u.GetNamespace() == "" {
		namespace, _, err := o.flags.ToRawKubeConfigLoader().Namespace()
		if err != nil {
			return nil, fmt.Errorf("finding the namespace: %w", err)
		}
		u.SetNamespace(namespace)
	}
	if u.GetKind() == "AnalysisRun" {
		run := &v1alpha1.AnalysisRun{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, run); err != nil {
			return nil, fmt.Errorf("%s: %w", o.file, err)
		}
		return &subject{namespace: run.Namespace, spec: run.Spec, release: story.ReleaseOfRun(run)}, nil
	}
	r := &v1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, r); err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	release, err := story.ReleaseOf(r, nil, o.canary)
	if err != nil { // A manifest remembers nothing; one from a cluster may.
		release = &story.Release{Attempt: 1}
	}
	return subjectOf(r, release)
}

// manifest finds the one Rollout or AnalysisRun of a file.
func (o *replayOptions) manifest() (*unstructured.Unstructured, error) {
	files := resource.FilenameOptions{Filenames: []string{o.file}}
	infos, err := resource.NewLocalBuilder().Unstructured().FilenameParam(false, &files).Flatten().Do().Infos()
	if err != nil {
		return nil, fmt.Errorf("reading -f: %w", err)
	}
	var found []*unstructured.Unstructured
	for _, info := range infos {
		u, ok := info.Object.(*unstructured.Unstructured)
		if gvk := info.Object.GetObjectKind().GroupVersionKind(); ok && gvk.GroupVersion() == v1alpha1.GroupVersion && (gvk.Kind == "Rollout" || gvk.Kind == "AnalysisRun") {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s has %d Rollouts and AnalysisRuns of %s, and must have one", o.file, len(found), v1alpha1.GroupVersion)
	}
	return found[0], nil
}

// override puts what the flags say in the place of what is known of a release.
func (o *replayOptions) override(release *story.Release, now time.Time) error {
	if o.canary != "" {
		release.Canary = o.canary
	}
	if o.stable != "" {
		release.Stable = o.stable
	}
	if o.to != "" {
		to, err := moment("--to", o.to)
		if err != nil {
			return err
		}
		if to.After(now) {
			return fmt.Errorf("--to is %s, which is not over yet", o.to)
		}
		release.End = to
	}
	from := now.Add(-o.since)
	switch {
	case o.from != "":
		var err error
		if from, err = moment("--from", o.from); err != nil {
			return err
		}
	case o.since == 0:
		return nil
	}
	if o.to == "" && !release.End.After(from) {
		release.End = now
	}
	release.Stays = []v1alpha1.AnalysisStep{{Name: oneStep, Since: metav1.NewMicroTime(from.Truncate(time.Second))}}
	return nil
}

func moment(flag, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%s is %q, and must be a time with its zone, such as 2026-03-01T12:00:00Z", flag, text)
	}
	return t, nil
}

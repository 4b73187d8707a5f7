package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/report"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
	"github.com/sluice-dev/sluice/internal/demo"
)

// The versions of the demo. Their tags say how they behave.
const (
	goodVersion = "v2"
	badVersion  = "v3-errors-20"
	lateVersion = "v4-errors-50-after-25s"
)

// keepPrevious is for how long the last release can be taken back.
const keepPrevious = 2 * time.Minute

// releaseLimit bounds one release, far above what one takes.
const releaseLimit = 2 * time.Minute

// demonstrate releases a good version, a bad one, and one that turns bad only after its
// promotion, and tells whether all went as they should.
func (d *director) demonstrate(ctx context.Context) (report.Demo, error) {
	var out report.Demo
	for _, act := range []func(context.Context, *report.Demo) error{d.good, d.bad, d.late} {
		if err := act(ctx, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (d *director) good(ctx context.Context, out *report.Demo) error {
	d.printer.Title(fmt.Sprintf("a good version: %s over %s, %s, at most %s%% errors",
		goodVersion, d.service.Version, stepsInWords(), percent(mostErrors)))
	if err := d.run(ctx, goodVersion); err != nil {
		return err
	}
	out.Good = d.release.report(d.traffic.Snapshot(), time.Time{})
	return told(out.Good.GoodProblems(promotedWeights()))
}

func (d *director) bad(ctx context.Context, out *report.Demo) error {
	d.printer.Title(fmt.Sprintf("a bad version: %s fails one request in five", badVersion))
	watching, stop := context.WithCancel(ctx)
	defer stop()
	first := make(chan time.Time, 1)
	go func() { first <- firstBadSample(watching, d.cluster.PrometheusURL(), badVersion) }()
	if err := d.run(ctx, badVersion); err != nil {
		return err
	}
	stop()
	out.Bad = d.release.report(d.traffic.Snapshot(), <-first)
	return told(out.Bad.BadProblems(v1alpha1.ReasonAnalysisFailed))
}

// late releases a version that its analysis cannot catch, with an alert that can: the
// previous revision's pods are kept for as long.
func (d *director) late(ctx context.Context, out *report.Demo) error {
	d.printer.Title("a version that turns bad after its promotion: half of its requests fail from 25 s after a pod's start on")
	err := d.edit(ctx, func(spec *v1alpha1.RolloutSpec) {
		spec.AfterPromotion = &v1alpha1.AfterPromotion{KeepPrevious: &metav1.Duration{Duration: keepPrevious}}
		rule := demo.AlertRule(serviceName)
		rule.During = &v1alpha1.AlertWindow{AfterPromotion: spec.AfterPromotion.KeepPrevious}
		spec.Alerts = []v1alpha1.AlertRule{rule}
	})
	if err != nil {
		return fmt.Errorf("adding an alert rule: %w", err)
	}
	d.tell(time.Now(), timeline.Note{Who: timeline.You, Text: fmt.Sprintf(
		"add an alert rule, and keep the previous revision for %s after a promotion", keepPrevious)})
	if err := d.run(ctx, lateVersion); err != nil {
		return err
	}
	out.Late = d.release.report(d.traffic.Snapshot(), time.Time{})
	return told(out.Late.LateProblems(promotedWeights(), v1alpha1.ReasonAlertFiring))
}

func told(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(problems, "; "))
}

// run releases a version and follows it until the pods of the loser are gone.
func (d *director) run(ctx context.Context, version string) error {
	err := d.pushAndTell(ctx, version)
	if err == nil {
		err = d.until(ctx, releaseLimit, d.over)
	}
	if err != nil {
		return fmt.Errorf("releasing %s: %w", version, err)
	}
	return nil
}

// pushAndTell pushes a version as its user would.
func (d *director) pushAndTell(ctx context.Context, version string) error {
	d.begin(time.Now(), version)
	d.tell(d.release.began, timeline.Note{Who: timeline.You, Text: "set the image to demo:" + version})
	return d.push(ctx, version)
}

// over tells whether the release has come to its end and nothing moves any more:
// all requests go one way and the other revision's pods are gone.
func (d *director) over() (bool, error) {
	r := d.release
	if r == nil || r.ended == nil || d.podsOf(r.loser()) > 0 {
		return false, nil
	}
	share, requests := d.observed(time.Now())
	asked := d.split.Share(r.revision)
	return requests > 0 && share*100 == float64(asked) && (asked == 0 || asked == 100), nil
}

func stepsInWords() string {
	var weights []string
	for _, w := range promotedWeights() {
		weights = append(weights, fmt.Sprintf("%d%%", w))
	}
	return strings.Join(weights, " → ")
}

// percent writes a ratio such as 0.05 as 5.
func percent(ratio string) string {
	var f float64
	if _, err := fmt.Sscan(ratio, &f); err != nil {
		return ratio
	}
	return fmt.Sprintf("%g", f*100)
}

// writeReport writes the report for programs.
func writeReport(buildDir string, d report.Demo) (path string, err error) {
	content, err := d.Encode()
	if err != nil {
		return "", err
	}
	path = filepath.Join(buildDir, "demo.json")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	return path, nil
}

// runDemo is the command.
func runDemo(ctx context.Context, o options) (err error) {
	printer := &timeline.Printer{Out: os.Stdout, Colour: colourful(os.Stdout)}
	if err := os.Remove(filepath.Join(o.buildDir, "demo.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the report of an earlier demo: %w", err)
	}
	printer.Title("booting a local cluster")
	began := time.Now()
	s, err := newStage(ctx, o, indented{os.Stdout})
	defer func() { err = s.finish(ctx, err) }()
	if err != nil {
		return err
	}
	d := newDirector(s, printer)
	if err := d.settle(ctx); err != nil {
		return err
	}
	result, err := d.demonstrate(ctx)
	if ctx.Err() != nil {
		return err
	}
	path, writeErr := writeReport(o.buildDir, result)
	if err := errors.Join(err, writeErr); err != nil {
		return err
	}
	printer.Title(fmt.Sprintf("all three releases went as they should (%.0f s in all)", time.Since(began).Seconds()))
	fmt.Fprint(os.Stdout, result.Summary())
	fmt.Fprintf(os.Stdout, "      report: %s\n", path)
	return nil
}

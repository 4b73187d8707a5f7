package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/report"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
)

// The versions of the demo. Their tags say how they behave.
const (
	goodVersion = "v2"
	badVersion  = "v3-errors-20"
)

// releaseLimit bounds one release, far above what one takes.
const releaseLimit = 2 * time.Minute

// demonstrate releases the good and the bad version, and tells whether both went as
// they should.
func (d *director) demonstrate(ctx context.Context) (report.Demo, error) {
	var out report.Demo
	d.printer.Title(fmt.Sprintf("a good version: %s over %s, %s, at most %s%% errors",
		goodVersion, d.service.Version, stepsInWords(), percent(mostErrors)))
	if err := d.run(ctx, goodVersion); err != nil {
		return out, fmt.Errorf("releasing %s: %w", goodVersion, err)
	}
	out.Good = d.release.report(d.traffic.Snapshot(), time.Time{})
	if problems := out.Good.GoodProblems(promotedWeights()); len(problems) > 0 {
		return out, errors.New(strings.Join(problems, "; "))
	}

	d.printer.Title(fmt.Sprintf("a bad version: %s fails one request in five", badVersion))
	watching, stop := context.WithCancel(ctx)
	defer stop()
	first := make(chan time.Time, 1)
	go func() { first <- firstBadSample(watching, d.cluster.PrometheusURL(), badVersion) }()
	if err := d.run(ctx, badVersion); err != nil {
		return out, fmt.Errorf("releasing %s: %w", badVersion, err)
	}
	stop()
	out.Bad = d.release.report(d.traffic.Snapshot(), <-first)
	if problems := out.Bad.BadProblems(v1alpha1.ReasonAnalysisFailed); len(problems) > 0 {
		return out, errors.New(strings.Join(problems, "; "))
	}
	return out, nil
}

// run releases a version and follows it until the pods of the loser are gone.
func (d *director) run(ctx context.Context, version string) error {
	if err := d.pushAndTell(ctx, version); err != nil {
		return err
	}
	return d.until(ctx, releaseLimit, d.over)
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
	printer.Title(fmt.Sprintf("both releases went as they should (%.0f s in all)", time.Since(began).Seconds()))
	fmt.Fprint(os.Stdout, result.Summary())
	fmt.Fprintf(os.Stdout, "      report: %s\n", path)
	return nil
}

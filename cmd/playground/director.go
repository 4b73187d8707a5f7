package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
)

// lookEvery is how often traffic is compared with what the routing asks for.
const lookEvery = 100 * time.Millisecond

// observedOver is the time over which the observed share is counted.
const observedOver = time.Second

// director follows the world in one goroutine: it tells the timeline what changes
// and keeps the books of the release that goes on.
type director struct {
	*stage
	printer  *timeline.Printer
	narrator timeline.Narrator
	start    time.Time
	rollout  *v1alpha1.Rollout
	split    timeline.Split
	pods     map[string]string // revision by name of the pod
	release  *release
	// followed tells that traffic was seen to obey the split.
	followed bool
	changed  time.Time // when the split changed
	// quiet keeps the timeline empty while the first version comes up.
	quiet bool
	// versions counts those that were pushed from the prompt.
	versions int
}

func newDirector(s *stage, p *timeline.Printer) *director {
	return &director{stage: s, printer: p, start: time.Now(), pods: map[string]string{}, followed: true}
}

// until follows the world until done says so, or for the given time.
func (d *director) until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case s := <-d.seen:
			d.see(s)
		case now := <-ticker.C:
			d.look(now)
		case <-d.operator.Done():
			return errors.New("the operator ended")
		case <-deadline.C:
			return fmt.Errorf("nothing after %s: %s", limit, d.standing())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if finished, err := done(); finished || err != nil {
			return err
		}
	}
}

// see takes one sighting in.
func (d *director) see(s sighting) {
	if o, ok := s.object.(*corev1.Pod); ok {
		d.seePod(o, s.gone)
		return
	}
	switch o := s.object.(type) {
	case *v1alpha1.Rollout:
		if o.Name == serviceName && !s.gone {
			d.seeRollout(s.at, o)
		}
	case *v1alpha1.AnalysisRun:
		if !s.gone && o.Spec.Subject.Rollout == serviceName {
			d.tell(s.at, d.narrator.Run(o)...)
		}
	case *v1alpha1.RolloutAction:
		if !s.gone {
			d.seeAction(s.at, o)
		}
	case *istionetworking.VirtualService:
		if o.Name == serviceName {
			d.seeVirtualService(s.at, o, s.gone)
		}
	case *istionetworking.DestinationRule:
		if o.Name == serviceName && !s.gone {
			split := d.split
			split.Stable, split.Canary = bindings(o)
			d.seeSplit(s.at, split, timeline.Writer(o))
		}
	}
}

func (d *director) seeAction(at time.Time, a *v1alpha1.RolloutAction) {
	if d.release != nil {
		d.release.seeAction(a)
	}
	d.tell(at, d.narrator.Action(a)...)
}

func (d *director) seePod(pod *corev1.Pod, gone bool) {
	if gone {
		delete(d.pods, pod.Name)
		return
	}
	d.pods[pod.Name] = pod.Labels[v1alpha1.PodTemplateHashLabel]
}

// podsOf counts the pods of a revision, those that are going included.
func (d *director) podsOf(revision string) int {
	n := 0
	for _, r := range d.pods {
		if r == revision {
			n++
		}
	}
	return n
}

func (d *director) seeRollout(at time.Time, now *v1alpha1.Rollout) {
	d.rollout = now
	status := &now.Status
	if status.Canary != nil && status.Stable != nil && status.Attempt > d.attempt() {
		if d.release == nil || d.release.attempt != 0 {
			d.begin(at, imageTag(now))
		}
		d.release.name(status.Stable.Revision, status.Canary.Revision, status.Attempt)
	}
	notes := d.narrator.Rollout(now)
	if d.release != nil {
		d.release.seeStatus(at, now)
	}
	d.tell(at, notes...)
}

// attempt is the one that the release in the books is; 0 without any.
func (d *director) attempt() int32 {
	switch {
	case d.release == nil:
		return 0
	case d.release.attempt == 0:
		return d.release.after
	}
	return d.release.attempt
}

// begin opens the books for a release that the cluster has not seen yet.
func (d *director) begin(at time.Time, version string) {
	now := d.traffic.Snapshot()
	d.release = &release{began: at, version: version, base: now, after: d.attempt()}
	stable := "stable"
	if d.rollout != nil && d.rollout.Status.Stable != nil {
		if v := now.Revisions[d.rollout.Status.Stable.Revision].Version; v != "" {
			stable = v
		}
	}
	if !d.quiet {
		d.printer.Header(stable, version)
	}
}

// imageTag is the tag of the image in a Rollout's template.
func imageTag(r *v1alpha1.Rollout) string {
	var template corev1.PodTemplateSpec
	if r.Spec.Workload.Template == nil || json.Unmarshal(r.Spec.Workload.Template.Raw, &template) != nil ||
		len(template.Spec.Containers) == 0 {
		return "canary"
	}
	_, tag, _ := strings.Cut(template.Spec.Containers[0].Image, ":")
	return tag
}

func (d *director) seeVirtualService(at time.Time, vs *istionetworking.VirtualService, gone bool) {
	if gone {
		d.tell(at, timeline.Note{Who: timeline.You, Tone: timeline.Bad, Text: "VirtualService deleted"})
		return
	}
	weight, ok := canaryWeight(vs)
	if !ok {
		return
	}
	split := d.split
	split.Weight = weight
	d.seeSplit(at, split, timeline.Writer(vs))
}

func (d *director) seeSplit(at time.Time, split timeline.Split, who string) {
	if split != d.split {
		d.followed, d.changed = false, at
	}
	d.split = split
	if d.release != nil {
		d.release.seeSplit(at, split)
	}
	d.tell(at, d.narrator.Split(split, who)...)
}

// canaryWeight is the weight of the route to the canary subset.
func canaryWeight(vs *istionetworking.VirtualService) (weight int32, ok bool) {
	for _, http := range vs.Spec.GetHttp() {
		if http.GetName() != "primary" {
			continue
		}
		for _, route := range http.GetRoute() {
			if route.GetDestination().GetSubset() == "canary" {
				return route.GetWeight(), true
			}
		}
	}
	return 0, false
}

func bindings(dr *istionetworking.DestinationRule) (stable, canary string) {
	for _, subset := range dr.Spec.GetSubsets() {
		switch subset.GetName() {
		case "stable":
			stable = subset.GetLabels()[v1alpha1.PodTemplateHashLabel]
		case "canary":
			canary = subset.GetLabels()[v1alpha1.PodTemplateHashLabel]
		}
	}
	return stable, canary
}

// look compares traffic with the split, and tells when it has followed.
func (d *director) look(now time.Time) {
	if d.followed || d.release == nil || d.release.revision == "" || now.Sub(d.changed) < observedOver {
		return
	}
	share, requests := d.observed(now)
	asked := float64(d.split.Share(d.release.revision)) / 100
	if requests == 0 || !follows(share, asked, requests) {
		return
	}
	d.followed = true
	if d.release.told == d.split.Share(d.release.revision) {
		return
	}
	d.release.told = d.split.Share(d.release.revision)
	d.tell(now, timeline.Note{Who: timeline.Traffic, Text: fmt.Sprintf(
		"follows: %.0f%% of the last second's %d requests", share*100, requests)})
}

// follows tells whether a share of n requests is what a weight makes likely: within
// two standard deviations, and exact where nothing or everything is asked for.
func follows(share, asked float64, n int64) bool {
	return math.Abs(share-asked) <= 2*math.Sqrt(asked*(1-asked)/float64(n))
}

// observed is the share of the last second's requests that the released revision
// answered, and their number.
func (d *director) observed(now time.Time) (share float64, requests int64) {
	w := d.traffic.Window(now.Add(-observedOver), now)
	if d.release == nil || w.Requests == 0 {
		return math.NaN(), w.Requests
	}
	return w.Share(d.release.revision), w.Requests
}

// tell writes a line for each note.
func (d *director) tell(at time.Time, notes ...timeline.Note) {
	if d.quiet {
		return
	}
	for _, note := range notes {
		l := timeline.Line{At: at.Sub(d.start), Asked: -1, Observed: math.NaN(), Note: note}
		if d.rollout != nil && d.rollout.Status.Step != nil {
			l.Step = d.rollout.Status.Step.Name
		}
		if r := d.release; r != nil && r.revision != "" {
			l.Asked = d.split.Share(r.revision)
			l.Observed, _ = d.observed(at)
			l.Stable, l.Canary = r.count(d.traffic.Snapshot(), r.stable), r.count(d.traffic.Snapshot(), r.revision)
		}
		d.printer.Line(l)
	}
}

// standing says where the Rollout stands.
func (d *director) standing() string {
	if d.rollout == nil {
		return "the Rollout was not seen"
	}
	text := ""
	for _, c := range d.rollout.Status.Conditions {
		text += fmt.Sprintf("%s is %s (%s: %s); ", c.Type, c.Status, c.Reason, c.Message)
	}
	return text + fmt.Sprintf("the canary's weight is %d%%", d.split.Weight)
}

// settle waits, without a word, until the first version serves.
func (d *director) settle(ctx context.Context) error {
	d.quiet = true
	defer func() { d.quiet, d.start = false, time.Now() }()
	if err := d.until(ctx, time.Minute, d.settled); err != nil {
		return fmt.Errorf("deploying %s: %w", d.service.Version, err)
	}
	return nil
}

// settled tells whether the first version serves all by itself.
func (d *director) settled() (bool, error) {
	if d.rollout == nil || d.rollout.Status.Stable == nil || d.rollout.Status.Canary != nil {
		return false, nil
	}
	stable := d.rollout.Status.Stable
	return stable.Available == replicas && d.split.Stable == stable.Revision, nil
}

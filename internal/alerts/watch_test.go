package alerts

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// fakeSource answers what it is told to.
type fakeSource struct {
	name   string
	exact  bool
	alerts []Alert
	err    error
}

func (s *fakeSource) Name() string { return s.name }
func (s *fakeSource) Exact() bool  { return s.exact }
func (s *fakeSource) Firing(context.Context, time.Time) ([]Alert, error) {
	return slices.Clone(s.alerts), s.err
}

func (w *world) watch(pushed bool, sources ...Source) *Watch {
	return NewWatch(WatchOptions{
		Client: w.client, Sources: sources, Pushed: pushed, Every: 5 * time.Second, MaxAge: 30 * time.Second, Linger: 90 * time.Second, Clock: w.clock, Log: logr.Discard(),
	})
}

func (w *world) see(watch *Watch, r *v1alpha1.Rollout) (unknown string, holding int) {
	w.t.Helper()
	rules, err := ParseRules(&r.Spec)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	known := watch.See(r, rules)
	return known.Unknown, len(known.Holding)
}

// TestPollRepairs holds that what was not pushed is found, and what was is not done
// twice.
func TestPollRepairs(t *testing.T) {
	for _, exact := range []bool{true, false} {
		w := newWorld(t)
		token := w.sender("am", []string{audience}, w.namespace)
		w.release(w.namespace, "checkout", specs("abort")...)
		alert, source := w.firing(time.Minute), &fakeSource{name: "fake", exact: exact}
		watch := w.watch(true, source)
		watch.poll(w.ctx)
		w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
		source.alerts = []Alert{alert}
		watch.poll(w.ctx)
		watch.poll(w.ctx)
		w.Expect(w.actions(w.namespace)).To(gomega.ConsistOf("Abort of abort for checkout"))
		w.Expect(w.list(w.namespace)[0].Spec.RequestedBy).To(gomega.Equal("alert poller"))

		second := w.release(w.namespace, "second", specs("pause")...)
		w.Expect(post(w.receiver(), token, body(alert))).To(gomega.Equal(http200))
		if !exact { // Prometheus knows since when the condition holds, and not all labels.
			source.alerts[0].StartsAt = alert.StartsAt.Add(-30 * time.Second)
			source.alerts[0].Fingerprint = "another"
		}
		watch.poll(w.ctx)
		count := 0
		for _, a := range w.list(w.namespace) {
			if a.Spec.Rollout == second.Name {
				count++
			}
		}
		w.Expect(count).To(gomega.Equal(1), "exact: %v", exact)
	}
}

const http200 = 200

// TestPollCancels holds that what waits for an alert to last ends when the alert is
// gone for good, or silenced, without anybody having said so.
func TestPollCancels(t *testing.T) {
	w := newWorld(t)
	token := w.sender("am", []string{audience}, w.namespace)
	r := w.release(w.namespace, "checkout", specs("lasting")...)
	alert := w.firing(time.Second)
	w.Expect(post(w.receiver(), token, body(alert))).To(gomega.Equal(http200))
	source := &fakeSource{name: "fake", exact: true, alerts: []Alert{alert}}
	watch := w.watch(true, source)
	watch.poll(w.ctx)
	w.Expect(w.list(w.namespace)).To(gomega.HaveLen(1))
	w.clock.Step(20 * time.Second)
	source.err = errors.New("away")
	source.alerts = nil
	watch.poll(w.ctx)
	w.Expect(reasons(&w.list(w.namespace)[0])).To(gomega.BeEmpty(), "no answer is not a resolved alert")
	source.err = nil
	watch.poll(w.ctx)
	w.Expect(reasons(&w.list(w.namespace)[0])).To(gomega.BeEmpty(), "Alertmanager may have forgotten: it was started again")
	w.clock.Step(70 * time.Second)
	watch.poll(w.ctx)
	w.Expect(reasons(&w.list(w.namespace)[0])).To(gomega.ConsistOf("Refused " + v1alpha1.ReasonAlertResolved))

	source.alerts = []Alert{alert} // A silence ended, and it still fires.
	_, holding := w.see(watch, r)
	w.Expect(holding).To(gomega.BeZero())
	watch.poll(w.ctx)
	watch.poll(w.ctx)
	w.Expect(w.list(w.namespace)).To(gomega.HaveLen(2), "it is due now, and written down once more")
	_, holding = w.see(watch, r)
	w.Expect(holding).To(gomega.Equal(1), "the release does not go on meanwhile")
}

// TestHoldOutlastsAnEmptyAnswer holds that one answer without an alert neither lets a
// release go on nor makes the alert one that began during the release.
func TestHoldOutlastsAnEmptyAnswer(t *testing.T) {
	w := newWorld(t)
	r := w.release(w.namespace, "checkout", specs("holdall")...)
	source := &fakeSource{name: "fake", exact: true, alerts: []Alert{w.firing(time.Minute)}}
	watch := w.watch(false, source)
	watch.poll(w.ctx)
	rules, err := ParseRules(&r.Spec)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	alerts := source.alerts
	for _, step := range []struct {
		after   time.Duration
		fires   bool
		holding int
		seen    int
	}{{5 * time.Second, false, 1, 0}, {80 * time.Second, false, 1, 0}, {5 * time.Second, true, 1, 1}, {85 * time.Second, false, 1, 0}, {5 * time.Second, false, 0, 0}} {
		w.clock.Step(step.after)
		source.alerts = nil
		if step.fires {
			source.alerts = alerts
		}
		watch.poll(w.ctx)
		known := watch.See(r, rules)
		w.Expect(known.Holding).To(gomega.HaveLen(step.holding), "%+v", step)
		w.Expect(known.Firing).To(gomega.HaveLen(step.holding), "%+v", step)
		w.Expect(known.Seen).To(gomega.HaveLen(step.seen), "%+v", step)
	}
}

// TestPrometheusAloneWaits holds that an alert that has to last does nothing when it
// is resolved before, where nobody says so.
func TestPrometheusAloneWaits(t *testing.T) {
	w := newWorld(t)
	w.release(w.namespace, "checkout", specs("lasting")...)
	source := &fakeSource{name: "prometheus", alerts: []Alert{w.firing(time.Second)}}
	watch := w.watch(false, source)
	watch.poll(w.ctx)
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty(), "it has not lasted yet")
	source.alerts = nil
	w.clock.Step(20 * time.Second)
	watch.poll(w.ctx)
	w.clock.Step(time.Minute)
	watch.poll(w.ctx)
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
}

// TestUnrecordedAlertHolds holds that a release does not go on while an alert about it
// fires whose command cannot be written down.
func TestUnrecordedAlertHolds(t *testing.T) {
	w := newWorld(t)
	r := w.release(w.namespace, "checkout", specs("abort")...)
	w.fault = func(o client.Object) error {
		if _, is := o.(*v1alpha1.RolloutAction); is {
			return errors.New("forbidden")
		}
		return nil
	}
	watch := w.watch(false, &fakeSource{name: "fake", exact: true, alerts: []Alert{w.firing(time.Minute)}})
	watch.poll(w.ctx)
	_, holding := w.see(watch, r)
	w.Expect(holding).To(gomega.Equal(1))
}

// TestPollHasItsSendersPermissions holds that what Alertmanager may not do by a message
// it cannot do by being asked.
func TestPollHasItsSendersPermissions(t *testing.T) {
	w := newWorld(t)
	other := w.newNamespace()
	w.sender("am", []string{audience}, other)
	w.release(w.namespace, "checkout", specs("abort")...)
	w.release(other, "checkout", specs("abort")...)
	everywhere := w.firing(time.Minute)
	delete(everywhere.Labels, "destination_workload_namespace")
	watch := NewWatch(WatchOptions{
		Client: w.client, Sources: []Source{&fakeSource{name: "fake", exact: true, alerts: []Alert{everywhere}}}, Every: 5 * time.Second,
		MaxAge: 30 * time.Second, Clock: w.clock, Log: logr.Discard(), As: "system:serviceaccount:" + w.namespace + ":am",
	})
	watch.poll(w.ctx)
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	w.Expect(w.actions(other)).To(gomega.ConsistOf("Abort of abort for checkout"))
	w.Expect(w.list(other)[0].Spec.Alert.Matched).To(gomega.Equal(int32(1)), "those that it may not end do not count")
}

// TestHandledIsNotWrittenAgain holds that what a person made of an alert stands after
// its command was removed.
func TestHandledIsNotWrittenAgain(t *testing.T) {
	w := newWorld(t)
	token := w.sender("am", []string{audience}, w.namespace)
	r := w.release(w.namespace, "checkout", specs("abort")...)
	alert := w.firing(time.Minute)
	r.Status.Alerts.Handled = []string{"abort/" + alert.Fingerprint}
	w.Expect(w.direct.Status().Update(w.ctx, r)).To(gomega.Succeed())
	watch := w.watch(true, &fakeSource{name: "fake", exact: true, alerts: []Alert{alert}})
	watch.poll(w.ctx)
	w.Expect(post(w.receiver(), token, body(alert))).To(gomega.Equal(http200))
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	_, holding := w.see(watch, r)
	w.Expect(holding).To(gomega.BeZero(), "a person let it go on")
}

// TestBlind holds that silence is never taken for health.
func TestBlind(t *testing.T) {
	w := newWorld(t)
	r := w.release(w.namespace, "checkout", specs("holdall")...)
	source := &fakeSource{name: "fake", exact: true}
	for _, watch := range []*Watch{w.watch(false), w.watch(true), w.watch(true, source)} {
		unknown, _ := w.see(watch, r)
		w.Expect(unknown).NotTo(gomega.BeEmpty(), "before anybody answered")
	}
	watch := w.watch(true, source)
	var woken []types.NamespacedName
	watch.OnChange(func(key types.NamespacedName) { woken = append(woken, key) })
	wokenOnce := func(what string) {
		t.Helper()
		w.Expect(woken).To(gomega.ConsistOf(client.ObjectKeyFromObject(r)), what)
		woken = nil
	}
	watch.poll(w.ctx)
	unknown, holding := w.see(watch, r)
	w.Expect(unknown).To(gomega.BeEmpty())
	w.Expect(holding).To(gomega.BeZero())
	wokenOnce("the first answer")
	watch.poll(w.ctx)
	w.Expect(woken).To(gomega.BeEmpty(), "the same answer")

	source.alerts = []Alert{w.firing(24 * time.Hour)}
	watch.poll(w.ctx)
	_, holding = w.see(watch, r)
	w.Expect(holding).To(gomega.Equal(1))
	wokenOnce("an alert fires")
	source.err = errors.New("connection refused")
	w.clock.Step(20 * time.Second)
	watch.poll(w.ctx)
	unknown, holding = w.see(watch, r)
	w.Expect(unknown).To(gomega.BeEmpty(), "the answer is young enough")
	w.Expect(holding).To(gomega.Equal(1))
	w.clock.Step(11 * time.Second)
	watch.poll(w.ctx)
	unknown, _ = w.see(watch, r)
	w.Expect(unknown).To(gomega.ContainSubstring("connection refused"))
	wokenOnce("nobody answers")
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
}

// TestFallbackHolds holds that a source that knows of no silences ends no release
// while the one that does is away: it holds.
func TestFallbackHolds(t *testing.T) {
	w := newWorld(t)
	r := w.release(w.namespace, "checkout", specs("abort")...)
	first := &fakeSource{name: "alertmanager", exact: true, err: errors.New("away")}
	second := &fakeSource{name: "prometheus", alerts: []Alert{w.firing(time.Minute)}}
	watch := w.watch(true, first, second)
	watch.poll(w.ctx)
	unknown, holding := w.see(watch, r)
	w.Expect(unknown).To(gomega.BeEmpty())
	w.Expect(holding).To(gomega.Equal(1))
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
	first.err, first.alerts = nil, nil // It answers, and the alert is silenced there.
	watch.poll(w.ctx)
	_, holding = w.see(watch, r)
	w.Expect(holding).To(gomega.BeZero())
	w.Expect(w.list(w.namespace)).To(gomega.BeEmpty())
}

// TestBaselineIsSeenBeforeARelease holds that what fires is known of a Rollout at
// rest, so that it can be noted as a release begins.
func TestBaselineIsSeenBeforeARelease(t *testing.T) {
	w := newWorld(t)
	r := w.release(w.namespace, "checkout", specs("abort", "lasting")...)
	r.Status.Canary, r.Status.Step = nil, nil
	alert := w.firing(time.Minute, "destination_canonical_revision=whatever")
	watch := w.watch(true, &fakeSource{name: "fake", exact: true, alerts: []Alert{alert, w.firing(0, "severity=info")}})
	watch.poll(w.ctx)
	rules, err := ParseRules(&r.Spec)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(watch.See(r, rules).Firing).To(gomega.HaveEach(alert.Fingerprint))
}

// TestHoldLasts holds that "for" counts for holds, and that somebody looks again when
// it is over.
func TestHoldLasts(t *testing.T) {
	w := newWorld(t)
	spec := specs("holdall")[0]
	spec.For = specs("lasting")[0].For
	r := w.release(w.namespace, "checkout", spec)
	alert := w.firing(20 * time.Second)
	watch := w.watch(true, &fakeSource{name: "fake", exact: true, alerts: []Alert{alert}})
	watch.poll(w.ctx)
	rules, err := ParseRules(&r.Spec)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	known := watch.See(r, rules)
	w.Expect(known.Holding).To(gomega.BeEmpty())
	w.Expect(known.Changes).To(gomega.BeTemporally("==", alert.StartsAt.Add(time.Minute)))
	w.clock.Step(40 * time.Second)
	watch.poll(w.ctx)
	w.Expect(watch.See(r, rules).Holding).To(gomega.HaveLen(1))
}

// fakeProvider answers one query.
type fakeProvider struct {
	sample analysis.Sample
	asked  string
}

func (p *fakeProvider) Query(_ context.Context, q analysis.Query) (analysis.Sample, error) {
	p.asked = q.Expr
	return p.sample, nil
}

// TestPrometheusSource holds that labels of the series alone are left out, that the
// value is when it began, and that a part of an answer is none.
func TestPrometheusSource(t *testing.T) {
	w := gomega.NewWithT(t)
	p := &fakeProvider{sample: analysis.Sample{Series: []analysis.Series{
		{Labels: map[string]string{"__name__": "ALERTS_FOR_STATE", "alertname": "A", "x": "y"}, Value: float64(noon.Unix())},
	}}}
	source := Prometheus(p)
	alerts, err := source.Firing(t.Context(), noon)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	labels := map[string]string{"alertname": "A", "x": "y"}
	w.Expect(alerts).To(gomega.Equal([]Alert{{Labels: labels, Fingerprint: fingerprint(labels), StartsAt: noon, Firing: true}}))
	w.Expect(p.asked).To(gomega.Equal(firingQuery))
	p.sample.Warnings = []string{"a store is away"}
	_, err = source.Firing(t.Context(), noon)
	w.Expect(err).To(gomega.HaveOccurred())
}

// TestBreaker holds that alerts abort no more releases than they may, over a change
// of leaders too.
func TestBreaker(t *testing.T) {
	w := newWorld(t)
	w.release(w.namespace, "checkout", specs("abort")...)
	action := func(uid types.UID, matched int32) *v1alpha1.RolloutAction {
		a := &v1alpha1.RolloutAction{Spec: v1alpha1.RolloutActionSpec{Action: v1alpha1.ActionAbort, Alert: &v1alpha1.AlertOrigin{Matched: matched}}}
		a.UID = uid
		return a
	}
	b := NewBreaker(Limits{Fleet: 2, Window: 10 * time.Minute}, w.clock, emptyReader{})
	admit := func(uid types.UID, matched int32) string {
		t.Helper()
		why, err := b.Admit(w.ctx, action(uid, matched))
		w.Expect(err).NotTo(gomega.HaveOccurred())
		return why
	}
	w.Expect(admit("fleet", 3)).To(gomega.ContainSubstring("would end 3 releases"))
	w.Expect(b.open()).To(gomega.BeFalse())
	w.Expect(admit("1", 1)).To(gomega.BeEmpty())
	w.Expect(admit("1", 1)).To(gomega.BeEmpty(), "the same one again")
	w.Expect(admit("2", 1)).To(gomega.BeEmpty())
	w.Expect(admit("3", 1)).To(gomega.ContainSubstring("ended 2 releases within 10m"))
	w.Expect(b.open()).To(gomega.BeTrue())
	b.Settle("2", false)
	w.Expect(admit("3", 1)).To(gomega.BeEmpty(), "the second aborted nothing")
	b.Settle("1", true)
	w.clock.Step(9 * time.Minute)
	w.Expect(admit("4", 1)).NotTo(gomega.BeEmpty())
	w.clock.Step(2 * time.Minute)
	w.Expect(admit("4", 1)).To(gomega.BeEmpty(), "the window is over")

	dry := action("dry", 100)
	dry.Spec.Alert.DryRun = true
	w.Expect(b.Admit(w.ctx, dry)).To(gomega.BeEmpty())
	b = NewBreaker(Limits{Window: time.Minute}, w.clock, emptyReader{})
	w.Expect(admit("any", 100)).To(gomega.BeEmpty(), "no limit")

	b = NewBreaker(Limits{Fleet: 3, Namespace: 2, Window: time.Minute}, w.clock, emptyReader{})
	w.Expect(admit("1", 1)).To(gomega.BeEmpty())
	w.Expect(admit("2", 1)).To(gomega.BeEmpty())
	w.Expect(admit("3", 1)).To(gomega.ContainSubstring("of namespace"))
	elsewhere := action("4", 1)
	elsewhere.Namespace = "elsewhere"
	w.Expect(b.Admit(w.ctx, elsewhere)).To(gomega.BeEmpty(), "another namespace has its share")
}

// emptyReader has nothing.
type emptyReader struct{ client.Reader }

func (emptyReader) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

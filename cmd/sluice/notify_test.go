package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/envtest"
)

// TestNotifications runs the operator as it is wired, on a real API server, with
// receivers on loopback.
func TestNotifications(t *testing.T) {
	crds, err := envtest.AllCRDs()
	if err != nil {
		t.Fatal(err)
	}
	config := envtest.Start(t, crds...)
	for name, test := range map[string]func(*testing.T, *rest.Config){
		"each format hears of everything once, in order": eachFormat,
		"receivers that are dead delay no release":       deadReceivers,
		"another leader tells nothing again":             anotherLeader,
		"alerts are told of by name":                     alertsByName,
		"loopback is refused unless a flag allows it":    loopbackRefused,
	} {
		t.Run(name, func(t *testing.T) { test(t, config) })
	}
}

// everything are triggers of all types.
func everything() []v1alpha1.NotificationTrigger {
	var all []v1alpha1.NotificationTrigger
	for _, kind := range []v1alpha1.NotificationType{
		"Deployed", "Started", "StepEntered", "Promoted", "Aborted", "Retried", "Superseded", "RolledBack", "Paused", "Stalled",
	} {
		all = append(all, v1alpha1.NotificationTrigger{Type: kind})
	}
	return all
}

// eachFormat plays a release that waits for approval and is aborted.
func eachFormat(t *testing.T, config *rest.Config) {
	w := newCluster(t, config)
	slack, teams, webhook, events := w.receive(http.StatusOK), w.receive(http.StatusAccepted), w.receive(http.StatusNoContent), w.receive(http.StatusOK)
	w.secret("slack", map[string]string{"address": slack.address + "/services/T0/B0/secret"})
	w.secret("teams", map[string]string{"address": teams.address + "/workflows/1?sig=secret"})
	w.secret("token", map[string]string{"token": "secret"})
	from := func(name string) *v1alpha1.ChatWebhook {
		return &v1alpha1.ChatWebhook{AddressFrom: v1alpha1.SecretKeyReference{Name: name, Key: "address"}}
	}
	templated := everything()
	templated[4].Template = "{{.Rollout}} took {{.Revision}} back{{with .Step}} in step {{.}}{{end}}: {{.Message}} <https://wiki.example.com|what to do>"
	w.notifier("slack", v1alpha1.NotifierSpec{Slack: from("slack"), Triggers: templated})
	w.notifier("teams", v1alpha1.NotifierSpec{Teams: from("teams"), Triggers: everything()})
	w.notifier("webhook", v1alpha1.NotifierSpec{Triggers: everything(), Webhook: &v1alpha1.NotificationEndpoint{
		Address: webhook.address, Bearer: &v1alpha1.SecretKeyReference{Name: "token", Key: "token"},
	}})
	w.notifier("events", v1alpha1.NotifierSpec{Triggers: everything(), CloudEvents: &v1alpha1.NotificationEndpoint{Address: events.address + "/events"}})
	w.operate("a")
	for _, name := range []string{"slack", "teams", "webhook", "events"} {
		w.eventuallyReady(name)
	}

	w.rollout("app")
	w.eventually("app", "deployed", deployed)
	w.push("app", "v2")
	canary := w.eventually("app", "waiting", waiting).Status.Canary.Revision
	w.abort("app", canary)
	w.eventually("app", "aborted", aborted)

	message := "aborted in step first by ada (action stop-app): the numbers look wrong"
	prefix := w.namespace + "/app "
	w.Eventually(slack.texts).Should(gomega.HaveLen(4))
	w.Expect(slack.texts()[0]).To(gomega.HavePrefix(prefix + "Deployed: "))
	w.Expect(slack.texts()[1]).To(gomega.HavePrefix(prefix + "Started: "))
	w.Expect(slack.texts()[2]).To(gomega.HavePrefix(prefix + "Paused: step first waits for somebody to promote it (Paused, revision " + canary))
	w.Expect(slack.texts()[3]).To(gomega.Equal("app took " + canary + " back in step first: " + message + " <https://wiki.example.com|what to do>"))
	w.Expect(slack.last().URL.Path).To(gomega.Equal("/services/T0/B0/secret"))

	w.Eventually(teams.cards).Should(gomega.HaveLen(4))
	w.Expect(teams.cards()[3]).To(gomega.Equal(prefix + "Aborted: " + message + " (Aborted, revision " + canary + ", step first)"))
	w.Expect(teams.last().URL.RawQuery).To(gomega.Equal("sig=secret"))

	want := []string{"Deployed", "Started", "Paused", "Aborted"}
	w.Eventually(webhook.types).Should(gomega.Equal(want))
	last := webhook.payloads()[3]
	w.Expect(last.Reason + "|" + last.Revision + "|" + last.Canary + "|" + last.Step + "|" + last.Message).To(gomega.Equal(
		"Aborted|" + canary + "|" + canary + "|first|" + message))
	w.Expect(webhook.last().Header.Get("Authorization")).To(gomega.Equal("Bearer secret"))

	w.Eventually(events.types).Should(gomega.Equal(want))
	w.Expect(events.last().Header.Get("Content-Type")).To(gomega.Equal("application/cloudevents+json"))
	w.Expect(events.envelopes()[3].Type + "|" + events.envelopes()[3].Source).To(gomega.Equal(
		"dev.sluice.rollout.aborted|/apis/sluice.dev/v1alpha1/namespaces/" + w.namespace + "/rollouts/app"))
	ids := map[string]bool{}
	for i, p := range events.payloads() {
		ids[p.ID] = true
		w.Expect(p).To(gomega.Equal(webhook.payloads()[i]), "a CloudEvent's data is what a webhook gets")
	}
	w.Expect(ids).To(gomega.HaveLen(4), "each has an ID of its own")
}

// deadReceivers releases ten Rollouts and takes them back, while one receiver answers
// nothing, one is not there, and one is well.
func deadReceivers(t *testing.T, config *rest.Config) {
	const rollouts = 10
	w := newCluster(t, config)
	stalled, good := w.receive(http.StatusOK), w.receive(http.StatusOK)
	release := stalled.hold()
	endpoint := func(address string) v1alpha1.NotifierSpec {
		return v1alpha1.NotifierSpec{Triggers: everything(), Webhook: &v1alpha1.NotificationEndpoint{Address: address}}
	}
	w.operate("a")
	names := make([]string, rollouts)
	play := func(round string) time.Duration {
		began := time.Now()
		for i := range rollouts {
			names[i] = fmt.Sprintf("app-%s-%d", round, i)
			w.rollout(names[i])
		}
		for _, name := range names {
			w.eventually(name, "deployed", deployed)
			w.push(name, "v2")
		}
		for _, name := range names {
			w.abort(name, w.eventually(name, "waiting", waiting).Status.Canary.Revision)
		}
		for _, name := range names {
			w.eventually(name, "aborted", aborted)
		}
		return time.Since(began)
	}
	without := play("calm")

	w.notifier("stalled", endpoint(stalled.address))
	w.notifier("gone", endpoint(w.nowhere()))
	w.notifier("good", endpoint(good.address))
	for _, name := range []string{"stalled", "gone", "good"} {
		w.eventuallyReady(name)
	}
	before := w.queued()
	with := play("dead")
	t.Logf("%d releases and aborts took %s with dead receivers, %s without any", rollouts, with, without)
	w.Expect(with).To(gomega.BeNumerically("<", 2*without+5*time.Second))
	w.Expect(stalled.answered()).To(gomega.BeZero(), "everything happened while the first notification was waiting for its answer")
	w.Eventually(good.types).Should(gomega.HaveLen(4 * rollouts))
	for _, name := range names {
		w.Expect(good.typesOf(name)).To(gomega.Equal([]string{"Deployed", "Started", "Paused", "Aborted"}), name)
	}
	w.Expect(w.queued()-before).To(gomega.And(gomega.BeNumerically(">", 0), gomega.BeNumerically("<=", 2*65)), "what waits is bounded")
	release()
}

// anotherLeader has two replicas, of which the leader stops in the middle of a release.
func anotherLeader(t *testing.T, config *rest.Config) {
	w := newCluster(t, config)
	webhook := w.receive(http.StatusOK)
	w.notifier("webhook", v1alpha1.NotifierSpec{Triggers: everything(), Webhook: &v1alpha1.NotificationEndpoint{Address: webhook.address}})
	stop := w.operate("a")
	w.eventuallyReady("webhook")
	w.rollout("app")
	w.eventually("app", "deployed", deployed)
	w.operate("b") // stands by
	w.push("app", "v2")
	canary := w.eventually("app", "waiting", waiting).Status.Canary.Revision
	w.Eventually(webhook.types).Should(gomega.Equal([]string{"Deployed", "Started", "Paused"}))
	stop()

	w.abort("app", canary)
	w.eventually("app", "aborted", aborted)
	w.push("app", "v3")
	w.eventually("app", "waiting", func(r *v1alpha1.Rollout) bool { return waiting(r) && r.Status.Canary.Revision != canary })
	w.Eventually(webhook.types).Should(gomega.HaveLen(6))
	told := webhook.types()
	w.Expect(told[:3]).To(gomega.Equal([]string{"Deployed", "Started", "Paused"}))
	w.Expect(told[3:]).To(gomega.Equal([]string{"Aborted", "Started", "Paused"}), "what the first leader told is not told again")
}

// alertsByName has one alert pause a release, and another take it back.
func alertsByName(t *testing.T, config *rest.Config) {
	w := newCluster(t, config)
	webhook, firing := w.receive(http.StatusOK), w.alertmanager()
	w.notifier("webhook", v1alpha1.NotifierSpec{Webhook: &v1alpha1.NotificationEndpoint{Address: webhook.address}}) // tells what it does by default
	w.operate("a", func(o *options) {
		o.allowLoopbackMetrics = true
		o.alerts.alertmanagerAddress, o.alerts.pollInterval = firing.address, leastPoll
	})
	w.eventuallyReady("webhook")
	w.rollout("app", v1alpha1.AlertRule{Name: "slow", Matchers: []string{`alertname="Slow"`}, Action: v1alpha1.AlertActionPause},
		v1alpha1.AlertRule{Name: "errors", Matchers: []string{`alertname="HighErrorRate"`}, Action: v1alpha1.AlertActionAbort})
	w.eventually("app", "deployed", deployed)
	w.push("app", "v2")
	canary := w.eventually("app", "waiting", waiting).Status.Canary.Revision

	firing.fire("Slow", canary)
	w.eventually("app", "paused", func(r *v1alpha1.Rollout) bool { return r.Status.Pause != nil })
	firing.fire("HighErrorRate", canary)
	w.eventually("app", "aborted", aborted)

	w.Eventually(webhook.types).Should(gomega.Equal([]string{"Paused", "Paused", "Aborted"}))
	told := webhook.payloads()
	w.Expect(told[0].Message).To(gomega.Equal("step first waits for somebody to promote it"))
	w.Expect(told[1].Message).To(gomega.And(gomega.HavePrefix("paused in step first by "), gomega.ContainSubstring("rule slow: alert Slow{")))
	w.Expect(told[2].Reason).To(gomega.Equal(v1alpha1.ReasonAlertFiring))
	w.Expect(told[2].Message).To(gomega.And(gomega.HavePrefix("aborted in step first by "),
		gomega.ContainSubstring(`rule errors: alert HighErrorRate{destination_canonical_revision="`+canary+`"} fires since `)))
}

// loopbackRefused runs the operator as it is installed: without the flag.
func loopbackRefused(t *testing.T, config *rest.Config) {
	w := newCluster(t, config)
	webhook := w.receive(http.StatusOK)
	w.notifier("webhook", v1alpha1.NotifierSpec{Triggers: everything(), Webhook: &v1alpha1.NotificationEndpoint{Address: webhook.address}})
	w.notifier("name", v1alpha1.NotifierSpec{Triggers: everything(), Webhook: &v1alpha1.NotificationEndpoint{
		Address: strings.Replace(webhook.address, "127.0.0.1", "localhost", 1),
	}})
	w.operate("a", func(o *options) { o.allowLoopbackNotify = false })
	w.eventuallyReady("webhook")
	w.eventuallyReady("name")
	w.rollout("app")
	w.eventually("app", "deployed", deployed)
	want := "could not tell of Deployed of Rollout app, AddressRefused: the address is one that must not be asked"
	w.Eventually(w.failures).Should(gomega.ConsistOf("name: "+want, "webhook: "+want))
	w.Expect(webhook.types()).To(gomega.BeEmpty())
}

package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestNotifierDefaultTriggers holds what is told where nothing is said.
func TestNotifierDefaultTriggers(t *testing.T) {
	u := full(t, notifier)
	apply(t, u, change{"spec.triggers", nil})
	u.SetName("defaults")
	if err := connect(t).Create(t.Context(), u, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	got, _, err := unstructured.NestedSlice(u.Object, "spec", "triggers")
	if err != nil {
		t.Fatal(err)
	}
	want := []any{
		map[string]any{"type": "Aborted"}, map[string]any{"type": "RolledBack"},
		map[string]any{"type": "Promoted"}, map[string]any{"type": "Paused"}, map[string]any{"type": "Stalled"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("triggers (-want +got):\n%s", diff)
	}
}

const notifier = "Notifier"

var notificationTypes = []any{
	"Deployed", "Started", "StepEntered", "Promoted", "Aborted", "Retried", "Superseded", "RolledBack", "Paused", "Stalled",
}

func key() map[string]any { return map[string]any{"name": "s", "key": "k"} }

// chat makes the notifier one of a chat.
func chat(kind string) []change {
	return []change{{"spec.webhook", nil}, {"spec." + kind, map[string]any{"addressFrom": key()}}}
}

// events makes it one of CloudEvents.
func events() []change {
	return []change{{"spec.webhook", nil}, {"spec.cloudEvents", map[string]any{
		"address": "http://events", "bearer": key(), "tls": map[string]any{"ca": key()},
	}}}
}

var notifierCases = concat([]fieldCase{
	object(notifier, "spec"),
	fieldCase{kind: notifier, path: "spec.webhook"}.refusing(nil, oneTarget),
	fieldCase{kind: notifier, path: "spec.slack"}.refusing(map[string]any{"addressFrom": key()}, oneTarget).optional(),
	object(notifier, "spec.slack.addressFrom").with(chat("slack")...),
	object(notifier, "spec.teams.addressFrom").with(chat("teams")...),
	{kind: notifier, path: "spec.selector", accept: []any{nil, map[string]any{}}},
	object(notifier, "spec.selector.matchExpressions.0.key"),
	object(notifier, "spec.selector.matchExpressions.0.operator"),
	keyed(notifier, "spec.triggers", 1, 10, func(i int) any {
		return map[string]any{"type": notificationTypes[i%len(notificationTypes)]}
	}).optional(),
	word(notifier, "spec.triggers.0.type", notificationTypes...).required(),
	keyed(notifier, "spec.triggers.0.reasons", 0, 16, func(i int) any { return "R" + repeat("x", i) }).optional(),
	text(notifier, "spec.triggers.0.reasons.0", 1, 64),
	text(notifier, "spec.triggers.0.template", 1, 4096).optional(),
	keyed(notifier, "status.conditions", 0, 8, condition),
	counter(notifier, "status.observedGeneration"),
},
	endpointCases("spec.webhook"),
	endpointCases("spec.cloudEvents", events()...),
	secretKeys("spec.slack.addressFrom", chat("slack")...),
	secretKeys("spec.teams.addressFrom", chat("teams")...),
)

const (
	oneTarget  = "exactly one of slack, teams, webhook and cloudEvents must be set"
	oneAddress = "exactly one of address and addressFrom must be set"
)

func endpointCases(at string, given ...change) []fieldCase {
	const (
		notHTTP = "address must be an http or https URL"
		extras  = "address must not contain credentials, a query or a fragment: use addressFrom"
	)
	secret := append(append([]change{}, given...), change{at + ".address", nil}, change{at + ".addressFrom", key()})
	return concat([]fieldCase{
		fieldCase{kind: notifier, path: at + ".address", accept: []any{
			"http://h", "https://hooks.example.com:8443/a/b", "http://[2001:db8::1]:9090", "https://" + repeat("a", 2040),
		}}.with(given...).
			refusing(nil, oneAddress).
			refusing("http://", tooShort(8)).
			refusing("https://"+repeat("a", 2041), tooLong(2048)).
			refusing("ftp://hooks", notHTTP).
			refusing("not a url", notHTTP).
			refusing("http://user:secret@hooks", extras).
			refusing("http://hooks?token=a", extras).
			refusing("http://hooks#a", extras),
		fieldCase{kind: notifier, path: at + ".addressFrom"}.with(given...).refusing(key(), oneAddress).optional(),
		fieldCase{kind: notifier, path: at + ".bearer"}.with(given...).optional(),
		fieldCase{kind: notifier, path: at + ".tls"}.with(given...).optional(),
		object(notifier, at+".tls.ca").with(given...),
	},
		secretKeys(at+".addressFrom", secret...),
		secretKeys(at+".bearer", given...),
		secretKeys(at+".tls.ca", given...),
	)
}

func secretKeys(at string, given ...change) []fieldCase {
	return []fieldCase{
		text(notifier, at+".name", 1, 253).with(given...).required(),
		text(notifier, at+".key", 1, 253).with(given...).required(),
	}
}

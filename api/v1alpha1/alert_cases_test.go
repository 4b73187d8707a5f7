package v1alpha1_test

import (
	"fmt"
	"time"
)

const (
	alertRule      = "spec.alerts.0"
	matcherMessage = `a matcher is a label name, one of =, !=, =~ and !~, and a value, such as severity="page"`
	onlyAbort      = "during.afterPromotion needs action Abort: after its promotion there is nothing to pause or to hold"
	longerThanKept = "an alert's during.afterPromotion must not be longer than afterPromotion keeps the previous revision: set afterPromotion.keepPrevious"
	labelName      = "should match '^[a-zA-Z_][a-zA-Z0-9_]*$'"
)

var alertCases = []fieldCase{
	keyed(rollout, "spec.alerts", 0, 16, func(i int) any {
		return map[string]any{"name": fmt.Sprintf("a%d", i), "matchers": []any{`severity="page"`}}
	}).optional(),
	text(rollout, alertRule+".name", 1, 63).required().refusing("Errors", dnsLabel).refusing("a.b", dnsLabel),
	list(rollout, alertRule+".matchers", 1, 16, func(i int) any { return fmt.Sprintf("l%d=v", i) }).required().
		accepting([]any{`a="b"`, ` a = "b" `, "a=b", "a!=b", "a=~b.*", `a!~"b|c"`, "job:errors:rate=x", "a="}).
		refusing([]any{"just text"}, matcherMessage).
		refusing([]any{`="page"`}, matcherMessage).
		refusing([]any{`"severity"="page"`}, matcherMessage).
		refusing([]any{"a=b", "1a=b"}, matcherMessage),
	fieldCase{kind: rollout, path: alertRule + ".matchers.0", accept: []any{"a=" + repeat("b", 510)}}.
		refusing("a="+repeat("b", 511), tooLong(512)).refusing("a", tooShort(2)),
	word(rollout, alertRule+".action", "Abort", "Pause", "Hold").optional().with(change{alertRule + ".during", nil}),
	fieldCase{kind: rollout, path: alertRule + ".action", accept: []any{"Abort", nil}}.
		refusing("Pause", onlyAbort).refusing("Hold", onlyAbort),
	span(rollout, alertRule+".for", 0, 24*time.Hour, "for must be between 0s and 24h"),
	word(rollout, alertRule+".scope", "Canary", "Service").optional(),
	text(rollout, alertRule+".revisionLabel", 1, 128).optional().refusing("pod-template-hash", labelName),
	text(rollout, alertRule+".namespaceLabel", 1, 128).optional().refusing("1namespace", labelName),
	fieldCase{kind: rollout, path: alertRule + ".during", accept: []any{
		nil, map[string]any{"steps": []any{"half"}}, map[string]any{"afterPromotion": "1m"},
	}}.refusing(map[string]any{}, "at least one of steps and afterPromotion must be set"),
	keyed(rollout, alertRule+".during.steps", 1, 51, func(i int) any { return fmt.Sprintf("s%d", i) }).optional(),
	text(rollout, alertRule+".during.steps.0", 1, 63),
	span(rollout, alertRule+".during.afterPromotion", 0, 168*time.Hour, "during.afterPromotion must be between 0s and 168h").
		with(change{"spec.afterPromotion.keepPrevious", "168h"}),
	fieldCase{kind: rollout, path: alertRule + ".during.afterPromotion", accept: []any{"1h", "0s", nil}}.
		refusing("61m", longerThanKept),
	fieldCase{kind: rollout, path: "spec.afterPromotion", accept: []any{map[string]any{"bake": "10m"}}}.
		refusing(nil, longerThanKept).refusing(map[string]any{"bake": "9m"}, longerThanKept),
	word(rollout, alertRule+".whenUnknown", "Hold", "Ignore").optional(),
	{kind: rollout, path: alertRule + ".dryRun", accept: []any{true, false, nil}},
	text(rollout, "status.pause.reason", 0, 64).required(),
	text(rollout, "status.pause.message", 0, 1024),
	moment(rollout, "status.pause.at").required(),
	counter(rollout, "status.alerts.attempt").required(),
	moment(rollout, "status.alerts.since").required(),
	keyed(rollout, "status.alerts.firingBefore", 0, 64, func(i int) any { return fmt.Sprintf("f%d", i) }),
	text(rollout, "status.alerts.firingBefore.0", 0, 64),
	keyed(rollout, "status.alerts.handled", 0, 64, func(i int) any { return fmt.Sprintf("r/f%d", i) }),
	text(rollout, "status.alerts.handled.0", 0, 128),
	text(rolloutAction, "spec.alert.rule", 1, 63).required(),
	text(rolloutAction, "spec.alert.fingerprint", 1, 64).required().refusing("a b", "should match '^[0-9A-Za-z]+$'"),
	moment(rolloutAction, "spec.alert.startsAt").required(),
	moment(rolloutAction, "spec.alert.receivedAt").required(),
	moment(rolloutAction, "spec.alert.notBefore").optional(),
	counter(rolloutAction, "spec.alert.matched"),
}

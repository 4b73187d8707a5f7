package v1alpha1_test

import (
	"fmt"
	"time"
)

const (
	rollout  = "Rollout"
	steps    = "spec.strategy.canary.steps"
	istio    = "spec.traffic.istio"
	gateway  = "spec.traffic.gatewayAPI"
	oneOf    = "exactly one of istio and gatewayAPI must be set"
	dnsOrNo  = "should match '^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$'"
	noPods   = "a step with weight needs at least one canary pod"
	dnsLabel = "should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'"
)

// byServices is the split by two Services instead of two subsets.
var byServices = []change{
	{istio + ".destinationRule", nil},
	{istio + ".services", map[string]any{"stable": "one", "canary": "two"}},
}

// byGateway is the routing of the Gateway API instead of Istio's.
var byGateway = []change{{istio, nil}, {gateway, gatewayTraffic()}}

func gatewayTraffic() any {
	return map[string]any{
		"routes":   []any{map[string]any{"kind": "HTTPRoute", "name": "n", "rules": []any{"r"}}},
		"services": map[string]any{"stable": "one", "canary": "two"},
	}
}

var rolloutCases = append([]fieldCase{
	fieldCase{kind: rollout, path: "metadata.name", accept: []any{repeat("a", 52)}}.
		refusing(repeat("a", 53), "the name may have at most 52 characters, so that names of ReplicaSets and pods fit"),
	object(rollout, "spec"),
	number(rollout, "spec.replicas", 0, 100000).optional(),
	fieldCase{kind: rollout, path: "spec.selector", accept: []any{
		map[string]any{"matchLabels": map[string]any{"app": "a"}},
		map[string]any{"matchExpressions": []any{map[string]any{"key": "app", "operator": "Exists"}}},
	}}.
		refusing(map[string]any{}, "selector must not be empty: it would match every pod").
		refusing(map[string]any{"matchLabels": map[string]any{}}, "selector must not be empty: it would match every pod").
		refusing(map[string]any{"matchExpressions": []any{}}, "selector must not be empty: it would match every pod").
		refusing(map[string]any{"matchLabels": map[string]any{"app": "a", "pod-template-hash": "b"}},
			"selector must not have pod-template-hash: it differs from revision to revision").
		required(),
	object(rollout, "spec.selector.matchExpressions.0.key"),
	object(rollout, "spec.selector.matchExpressions.0.operator"),
	object(rollout, "spec.workload"),
	fieldCase{kind: rollout, path: "spec.workload.template", accept: []any{map[string]any{"anything": "goes"}}}.
		refusing(nil, "workload.template is required").
		refusing("text", "must be of type object"),
	object(rollout, "spec.strategy"),
	fieldCase{kind: rollout, path: "spec.strategy.canary"}.refusing(nil, "strategy.canary is required"),
	list(rollout, steps, 1, 50, func(int) any { return map[string]any{"weight": int64(1)} }).required().
		accepting([]any{step("a"), step("b"), map[string]any{"weight": int64(1)}}).
		refusing([]any{step("a"), step("b"), step("a")}, "step names must be unique"),
	fieldCase{kind: rollout, path: steps + ".0", accept: []any{
		map[string]any{"weight": int64(0), "scale": map[string]any{"replicas": int64(0)}},
		map[string]any{"weight": int64(1), "scale": map[string]any{"replicas": int64(1)}},
		map[string]any{"weight": int64(1), "scale": map[string]any{"percent": int64(1)}},
	}}.
		refusing(map[string]any{"weight": int64(1), "scale": map[string]any{"replicas": int64(0)}}, noPods).
		refusing(map[string]any{"weight": int64(1), "scale": map[string]any{"percent": int64(0)}}, noPods),
	fieldCase{kind: rollout, path: steps + ".0.name", accept: []any{repeat("a", 63)}}.optional().
		refusing(repeat("a", 64), tooLong(63)).refusing("", dnsLabel).
		accepting("a", "a-1", "step-one", "promotion-1").
		refusing("Smoke", dnsLabel).refusing("smoke-", dnsLabel).refusing("smoke test", dnsLabel).
		refusing("promotion", "the name promotion stands for the final move of all traffic, and after-promotion for the watch that follows").
		refusing("step-2", "names such as step-1 stand for steps without a name"),
	number(rollout, steps+".0.weight", 0, 100).required(),
	span(rollout, steps+".0.bake", 0, 168*time.Hour, "bake must be between 0s and 168h"),
	fieldCase{kind: rollout, path: steps + ".0.scale", accept: []any{
		nil, map[string]any{"replicas": int64(2)}, map[string]any{"percent": int64(10)},
	}}.
		refusing(map[string]any{}, "exactly one of replicas and percent must be set").
		refusing(map[string]any{"replicas": int64(2), "percent": int64(10)}, "exactly one of replicas and percent must be set"),
	number(rollout, steps+".0.scale.replicas", 0, 100000),
	number(rollout, steps+".1.scale.percent", 0, 100).with(change{steps + ".1.weight", int64(0)}),
	word(rollout, steps+".0.approval", "None", "Required").optional(),
	object(rollout, "spec.traffic"),
	span(rollout, "spec.traffic.propagationTime", 0, 10*time.Minute, "propagationTime must be between 0s and 10m"),
	span(rollout, "spec.traffic.drainTime", 0, 24*time.Hour, "drainTime must be between 0s and 24h"),
	fieldCase{kind: rollout, path: istio}.refusing(nil, oneOf),
	keyed(rollout, istio+".virtualServices", 1, 10, named).required().
		accepting([]any{map[string]any{"name": "a"}, map[string]any{"name": "a", "namespace": "b"}}),
	text(rollout, istio+".virtualServices.0.name", 1, 253).required(),
	fieldCase{kind: rollout, path: istio + ".virtualServices.0.namespace", accept: []any{"", "a", "a-1", repeat("a", 63)}}.optional().
		refusing(repeat("a", 64), tooLong(63)).refusing("A", dnsOrNo).refusing("a.b", dnsOrNo),
	list(rollout, istio+".virtualServices.0.tls", 0, 50, func(int) any { return map[string]any{"sniHosts": []any{"a"}} }).optional(),
	number(rollout, istio+".virtualServices.0.tls.0.port", 1, 65535).optional(),
	keyed(rollout, istio+".virtualServices.0.tls.0.sniHosts", 1, 16, func(i int) any { return fmt.Sprintf("h%d", i) }).required(),
	text(rollout, istio+".virtualServices.0.tls.0.sniHosts.0", 1, 253),
	keyed(rollout, istio+".virtualServices.0.tcp", 0, 50, func(i int) any { return map[string]any{"port": int64(i + 1)} }).optional(),
	number(rollout, istio+".virtualServices.0.tcp.0.port", 1, 65535).required(),
	keyed(rollout, istio+".virtualServices.0.routes", 0, 50, func(i int) any { return fmt.Sprintf("r%d", i) }).optional(),
	text(rollout, istio+".virtualServices.0.routes.0", 1, 253),
	fieldCase{kind: rollout, path: istio + ".services"}.
		refusing(map[string]any{"stable": "one", "canary": "two"}, "exactly one of destinationRule and services must be set").
		optional(),
	fieldCase{kind: rollout, path: istio + ".destinationRule", accept: []any{map[string]any{"name": "n"}}}.
		refusing(nil, "exactly one of destinationRule and services must be set"),
	text(rollout, istio+".destinationRule.name", 1, 253).required(),
	text(rollout, istio+".destinationRule.stableSubset", 1, 63).optional().
		refusing("canary", "stableSubset and canarySubset must differ"),
	text(rollout, istio+".destinationRule.canarySubset", 1, 63).optional().
		refusing("stable", "stableSubset and canarySubset must differ"),
	text(rollout, istio+".services.stable", 1, 63).with(byServices...).required().
		refusing("two", "stable and canary must be different Services"),
	text(rollout, istio+".services.canary", 1, 63).with(byServices...).required(),
	fieldCase{kind: rollout, path: gateway}.optional().refusing(gatewayTraffic(), oneOf),
	keyed(rollout, gateway+".routes", 1, 10, named).with(byGateway...).required().accepting([]any{
		map[string]any{"name": "a"}, map[string]any{"name": "a", "kind": "GRPCRoute"},
	}),
	word(rollout, gateway+".routes.0.kind", "HTTPRoute", "GRPCRoute").with(byGateway...).optional(),
	text(rollout, gateway+".routes.0.name", 1, 253).with(byGateway...).required(),
	keyed(rollout, gateway+".routes.0.rules", 0, 16, func(i int) any { return fmt.Sprintf("r%d", i) }).with(byGateway...).optional(),
	text(rollout, gateway+".routes.0.rules.0", 1, 253).with(byGateway...),
	object(rollout, gateway+".services").with(byGateway...),
	text(rollout, gateway+".services.stable", 1, 63).with(byGateway...).required().
		refusing("two", "stable and canary must be different Services"),
	text(rollout, gateway+".services.canary", 1, 63).with(byGateway...).required(),
	fieldCase{kind: rollout, path: "spec.analysis"}.optional(),
	fieldCase{kind: rollout, path: "spec.afterPromotion", accept: []any{
		nil, map[string]any{"bake": "1m"}, map[string]any{"keepPrevious": "1m"}, map[string]any{"bake": "1m", "keepPrevious": "1m"},
	}}.
		refusing(map[string]any{}, "at least one of bake and keepPrevious must be set").
		refusing(map[string]any{"bake": "2m", "keepPrevious": "1m"}, "keepPrevious must not be shorter than bake: a rollback needs the previous revision's pods").
		with(change{"spec.alerts.0.during", nil}),
	span(rollout, "spec.afterPromotion.bake", 0, 168*time.Hour, "bake must be between 0s and 168h").
		with(change{"spec.afterPromotion.keepPrevious", "168h"}),
	span(rollout, "spec.afterPromotion.keepPrevious", 0, 168*time.Hour, "keepPrevious must be between 0s and 168h").
		with(change{"spec.afterPromotion.bake", "0s"}).with(change{"spec.alerts.0.during", nil}),
	fieldCase{kind: rollout, path: "spec.paused", accept: []any{true, false, nil}}.
		refusing("yes", "must be of type boolean"),
	span(rollout, "spec.progressDeadline", time.Second, 24*time.Hour, "progressDeadline must be between 1s and 24h"),
	number(rollout, "spec.minReadySeconds", 0, 3600).optional(),
	number(rollout, "spec.revisionHistoryLimit", 0, 50).optional(),
	word(rollout, "spec.deletionPolicy", "Orphan", "Delete").optional(),
}, concat(metricCases(rollout, "spec.analysis.metrics"), comparisonCases(rollout, "spec.analysis.metrics"),
	policyCases(rollout, "spec.analysis."), rolloutStatusCases)...)

func step(name string) any { return map[string]any{"name": name, "weight": int64(1)} }

var rolloutStatusCases = append([]fieldCase{
	keyed(rollout, "status.conditions", 0, 16, condition),
	counter(rollout, "status.observedGeneration"),
	counter(rollout, "status.replicas"),
	text(rollout, "status.selector", 0, 4096),
	counter(rollout, "status.attempt"),
	number(rollout, "status.step.index", 0, 50).required(),
	text(rollout, "status.step.name", 0, 63).required(),
	number(rollout, "status.step.weight", 0, 100),
	moment(rollout, "status.step.enteredAt").required(),
	moment(rollout, "status.step.inForceSince").optional(),
	counter(rollout, "status.step.progress"),
	moment(rollout, "status.step.progressAt").optional(),
	text(rollout, "status.abort.reason", 0, 64).required(),
	text(rollout, "status.abort.message", 0, 1024),
	moment(rollout, "status.abort.at").required(),
	text(rollout, "status.abort.step", 0, 63),
	text(rollout, "status.afterPromotion.previous", 0, 63).required(),
	counter(rollout, "status.afterPromotion.proven").required(),
	moment(rollout, "status.afterPromotion.promotedAt").required(),
	moment(rollout, "status.afterPromotion.bakedAt").optional(),
	keyed(rollout, "status.draining", 0, 64, func(i int) any {
		return map[string]any{"revision": fmt.Sprintf("r%d", i), "since": "2026-01-02T15:04:05.000000Z"}
	}),
	text(rollout, "status.draining.0.revision", 0, 63).required(),
	moment(rollout, "status.draining.0.since").required(),
	keyed(rollout, "status.appliedActions", 0, 64, func(i int) any { return fmt.Sprintf("uid%d", i) }),
	list(rollout, "status.history", 0, 20, func(int) any {
		return map[string]any{"at": "2026-01-02T15:04:05.000000Z", "type": "Started"}
	}),
}, concat(
	revisionCases("status.stable"), revisionCases("status.canary"),
	transitionCases("status.lastTransition"), transitionCases("status.history.0"),
)...)

func revisionCases(at string) []fieldCase {
	return []fieldCase{
		text(rollout, at+".revision", 0, 63).required(),
		text(rollout, at+".replicaSet", 0, 253),
		counter(rollout, at+".replicas"),
		counter(rollout, at+".available"),
		counter(rollout, at+".proven"),
		number(rollout, at+".weight", 0, 100),
	}
}

func transitionCases(at string) []fieldCase {
	return []fieldCase{
		moment(rollout, at+".at").required(),
		word(rollout, at+".type", "Deployed", "Started", "StepEntered", "Promoted", "Aborted", "Retried",
			"Superseded", "RolledBack", "Paused").required(),
		text(rollout, at+".revision", 0, 63),
		text(rollout, at+".step", 0, 63),
		text(rollout, at+".reason", 0, 64),
		text(rollout, at+".message", 0, 1024),
	}
}

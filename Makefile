# Everything is built from the Go module proxy and cached outside of this folder:
# programs in ${SLUICE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/sluice}, the rest where go keeps it.

GO ?= go
# The operator's image, for deploy.
IMAGE ?= sluice:latest
# Of krew: the release, where its archives will be, and for which platforms to build.
VERSION ?= v0.0.0
URI ?= https://github.com/sluice-dev/sluice/releases/download/$(VERSION)
PLATFORMS ?=
# More arguments of "go test", for test and e2e, and of bench-analysis: make test ARGS='-run TestDefaults ./api/...'
ARGS ?=
# Of soak: how many releases, and the seed of what happens in them.
ROUNDS ?= 50
SEED ?= 1

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try

.PHONY: demo
demo: build ## Release a good version and two bad ones on a local cluster, and watch. Writes build/demo.json.
	@echo "==> demo: a whole cluster on this machine; the first time its programs are built (about 25 minutes on two cores)"
	@$(GO) run ./internal/localcluster/cmd/build >/dev/null
	@bin/playground demo

.PHONY: playground
playground: build ## Boot the local cluster with a demo service, and keep it until Ctrl-C.
	@echo "==> playground: a whole cluster on this machine; the first time its programs are built (about 25 minutes on two cores)"
	@$(GO) run ./internal/localcluster/cmd/build >/dev/null
	@bin/playground up

##@ Develop

.PHONY: build
build: ## Build the commands into bin/.
	@echo "==> building bin/: $(notdir $(wildcard cmd/*))"
	@mkdir -p bin
	@$(GO) build -o bin/ ./cmd/...

.PHONY: generate
generate: ## Write generated files: deep copies, apply configurations, CustomResourceDefinitions, the reference of kubectl sluice.
	@echo "==> generating from api/ and cmd/kubectl-sluice"
	@internal/tools/generate.sh

.PHONY: test
test: ## Run unit tests, and tests against a real API server (built the first time, about 10 minutes).
	@echo "==> test: finding etcd, kube-apiserver, kustomize and CustomResourceDefinitions"
	@internal/tools/ensure.sh kustomize >/dev/null; \
	KUBEBUILDER_ASSETS=$$($(GO) run ./internal/localcluster/cmd/build -assets); \
	SLUICE_ISTIO_CRDS=$$(internal/tools/istio-crds.sh); \
	SLUICE_GATEWAY_CRDS=$$(internal/tools/gateway-crds.sh); \
	export KUBEBUILDER_ASSETS SLUICE_ISTIO_CRDS SLUICE_GATEWAY_CRDS; \
	echo "==> test: go test $(or $(ARGS),./...)"; \
	$(GO) test -timeout 20m $(or $(ARGS),./...)

.PHONY: e2e
e2e: build ## Run the end-to-end suites on a local cluster, under live traffic.
	@echo "==> e2e: finding the local cluster's programs"
	@$(GO) run ./internal/localcluster/cmd/build -all >/dev/null
	@echo "==> e2e: go test -tags e2e ./internal/localcluster/... ./e2e/..."
	@SLUICE_GATEWAY_CRDS=$$(internal/tools/gateway-crds.sh) $(GO) test -tags e2e -count=1 -timeout 40m -v -p 1 ./internal/localcluster/... ./e2e/... $(ARGS)

.PHONY: soak
soak: build ## Release 50 times back to back under load, half of it aborted or superseded, with restarts (8 minutes): ROUNDS=50 SEED=1.
	@echo "==> soak: finding the local cluster's programs"
	@$(GO) run ./internal/localcluster/cmd/build -all >/dev/null
	@echo "==> soak: $(ROUNDS) rounds, seed $(SEED)"
	@SLUICE_SOAK_ROUNDS=$(ROUNDS) SLUICE_SOAK_SEED=$(SEED) $(GO) test -tags e2e -count=1 -timeout 0 -v ./e2e -ginkgo.v -ginkgo.focus Soak

.PHONY: bench
bench: build ## Measure on a local cluster: reaction times, fleets, idle cost, restarts.
	@echo "==> bench: finding the local cluster's programs"
	@$(GO) run ./internal/localcluster/cmd/build >/dev/null
	@echo "==> bench: measuring"
	@$(GO) run ./e2e/bench

.PHONY: bench-analysis
bench-analysis: ## Measure the statistical judge on simulated releases. Writes build/analysis-*.
	@echo "==> bench-analysis: 2,000 releases for each cell; fewer and some: ARGS='-reps 200 -only errors -cells x20'"
	@$(GO) run ./analysis/benchmark $(ARGS)

.PHONY: lint
lint: ## Run golangci-lint with the Kubernetes API linter (built the first time, about 4 minutes).
	@echo "==> lint"
	@"$$(internal/tools/ensure.sh golangci-lint)" run --allow-serial-runners

.PHONY: fmt
fmt: ## Format the code.
	@echo "==> formatting"
	@"$$(internal/tools/ensure.sh golangci-lint)" fmt

.PHONY: krew
krew: ## Build archives and the manifest from which krew installs kubectl sluice: VERSION=v0.1.0 URI=https://... PLATFORMS='linux/amd64 darwin/arm64'.
	@internal/tools/krew.sh "$(VERSION)" "$(URI)" $(PLATFORMS)

.PHONY: verify
verify: ## Check that generated files are current, every go.mod is tidy, and go vet is content.
	@internal/tools/verify.sh

.PHONY: clean
clean: ## Remove what was built in this folder; caches outside of it stay.
	@echo "==> removing bin/ and build/"
	@rm -rf bin build

##@ Install

.PHONY: deploy
deploy: ## Install into the current cluster, from IMAGE (default sluice:latest).
	@echo "==> deploying $(IMAGE) to the cluster of $$(kubectl config current-context)"
	@kustomize=$$(internal/tools/ensure.sh kustomize); \
	rm -rf build/deploy && mkdir -p build/deploy; \
	(cd build/deploy && "$$kustomize" create --resources ../../config/default && "$$kustomize" edit set image sluice=$(IMAGE)); \
	"$$kustomize" build build/deploy | kubectl apply --server-side -f -

.PHONY: undeploy
undeploy: ## Delete every Rollout (pods that serve stay), then Sluice, from the current cluster.
	@echo "==> giving routing back: deleting all Rollouts of the cluster of $$(kubectl config current-context)"
	@kubectl delete rollouts.sluice.dev --all --all-namespaces --ignore-not-found
	@echo "==> deleting Sluice"
	@kustomize=$$(internal/tools/ensure.sh kustomize); \
	"$$kustomize" build config/default | kubectl delete --ignore-not-found -f -

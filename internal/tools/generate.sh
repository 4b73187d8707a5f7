#!/usr/bin/env bash
# Writes everything that is generated: deep copies, apply configurations and
# CustomResourceDefinitions from the types in api/, and the reference of the plugin's
# commands from the commands.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
controller_gen=$(internal/tools/ensure.sh controller-gen)
"$controller_gen" object crd applyconfiguration paths=./api/... \
  output:crd:dir=config/crd output:object:dir=api/v1alpha1
reference=$(go run ./cmd/kubectl-sluice reference)
printf '%s\n' "$reference" >docs/kubectl-sluice.md

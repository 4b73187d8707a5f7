#!/usr/bin/env bash
# Writes everything that is generated: deep copies, apply configurations and
# CustomResourceDefinitions, all from the types in api/.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
controller_gen=$(internal/tools/ensure.sh controller-gen)
"$controller_gen" object crd applyconfiguration paths=./api/... \
  output:crd:dir=config/crd output:object:dir=api/v1alpha1

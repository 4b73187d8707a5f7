#!/usr/bin/env bash
# Prints the folder of the Gateway API's CustomResourceDefinitions (the standard
# channel), from the module that Sluice takes its types from. It is downloaded when
# it is not in the module cache.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export GOWORK=off GOFLAGS=-mod=readonly
dir=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
if [ -z "$dir" ]; then
  echo "downloading the Gateway API's module, once" >&2
  go mod download sigs.k8s.io/gateway-api
  dir=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
fi
crds=$dir/config/crd/standard
[ -d "$crds" ] || { echo "the Gateway API's module has no $crds" >&2; exit 1; }
echo "$crds"

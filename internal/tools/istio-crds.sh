#!/usr/bin/env bash
# Prints the path of Istio's CustomResourceDefinitions, from the version of Istio
# that the local cluster runs. They come with Istio's module, which is downloaded
# when it is not in the module cache.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../localcluster/tools/istio"
export GOWORK=off GOFLAGS=-mod=readonly
dir=$(go list -m -f '{{.Dir}}' istio.io/istio)
if [ -z "$dir" ]; then
  echo "downloading Istio's module, once" >&2
  go mod download istio.io/istio
  dir=$(go list -m -f '{{.Dir}}' istio.io/istio)
fi
crds=$dir/manifests/charts/base/files/crd-all.gen.yaml
[ -f "$crds" ] || { echo "Istio's module has no $crds" >&2; exit 1; }
echo "$crds"

#!/usr/bin/env bash
# Fails unless generated files are current, every go.mod is tidy and go vet is
# content. It compares with the files as they are, committed or not.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
failed=0

generated() { # a line for each generated file
  { find api -name 'zz_generated*' -o -path '*/applyconfiguration/*' -name '*.go'; ls config/crd/sluice.dev_* docs/kubectl-sluice.md; } |
    LC_ALL=C sort | xargs cksum
}

echo "==> generated files"
before=$(generated)
internal/tools/generate.sh
after=$(generated)
if [ "$before" = "$after" ]; then
  echo "current"
else
  diff <(echo "$before") <(echo "$after") || true
  echo "were not current, and are now: look at them and commit"
  failed=1
fi

for module in . internal/tools/*/ internal/localcluster/tools/etcd/; do
  [ -f "$module/go.mod" ] || continue
  echo "==> go mod tidy in $module"
  if (cd "$module" && GOWORK=off go mod tidy -diff); then
    echo "tidy"
  else
    echo "not tidy: run go mod tidy there"
    failed=1
  fi
done

for tags in "" e2e; do
  echo "==> go vet ${tags:+-tags $tags}"
  if go vet -tags "$tags" ./...; then
    echo "nothing to say"
  else
    failed=1
  fi
done

if [ $failed -eq 0 ]; then echo "verify: ok"; else echo "verify: FAILED"; fi
exit $failed

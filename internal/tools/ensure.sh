#!/usr/bin/env bash
# Prints the path of a pinned tool, building it once into a cache outside the
# tree when it is missing.
#
#   internal/tools/ensure.sh controller-gen|golangci-lint|kustomize
#
# A module under internal/tools pins each of them. The cache is
# ${SLUICE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/sluice}; a changed pin, Go version
# or platform gives another folder in it.
set -euo pipefail

name=$1
case $name in
controller-gen) module=codegen package=sigs.k8s.io/controller-tools/cmd/controller-gen ;;
golangci-lint) module=lint package=. ;;
kustomize) module=kustomize package=sigs.k8s.io/kustomize/kustomize/v5 ;;
*)
  echo "unknown tool $name" >&2
  exit 2
  ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/$module"

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key=$({ go env GOVERSION GOOS GOARCH; echo "$package"; cat go.mod go.sum; cat ./*.go 2>/dev/null || true; } | digest | cut -c1-16)
dir=${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}/bin/$key
bin=$dir/$name
if [ -x "$bin" ]; then
  echo "$bin"
  exit 0
fi

mkdir -p "$dir"
if command -v flock >/dev/null; then
  exec 9>"$dir/.$name.lock"
  flock 9
  if [ -x "$bin" ]; then # another build of it was quicker
    echo "$bin"
    exit 0
  fi
fi

tmp=$bin.$$.tmp log=$bin.$$.log pid=
cleanup() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
  rm -f "$tmp" "$log"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { echo "$name: $*" >&2; }
say "building it once, as pinned in internal/tools/$module"
started=$SECONDS
CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly \
  go build -v -trimpath -buildvcs=false -ldflags='-s -w' -o "$tmp" "$package" >"$log" 2>&1 9>&- &
pid=$!
next=$((SECONDS + 15))
while kill -0 "$pid" 2>/dev/null; do
  sleep 1
  if [ "$SECONDS" -ge "$next" ]; then
    say "$(wc -l <"$log" | tr -d ' ') packages compiled or downloaded in $((SECONDS - started))s"
    next=$((SECONDS + 15))
  fi
done
if ! wait "$pid"; then
  pid=
  say "the build failed:"
  tail -n 40 "$log" >&2
  exit 1
fi
pid=
mv "$tmp" "$bin"
say "built in $((SECONDS - started))s"
echo "$bin"

#!/usr/bin/env bash
# Builds the plugin for some platforms and writes what krew installs it from to
# build/krew: an archive for each, and the manifest with their checksums.
#
#   internal/tools/krew.sh VERSION URI [OS/ARCH...]
#
# VERSION is a semantic version with a v in front; URI is where the archives will be.
# Without platforms it is this machine's. Try it with
#   kubectl krew install --manifest=build/krew/sluice.yaml --archive=build/krew/ARCHIVE
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$1 uri=$2
shift 2
if [[ ! $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "krew wants a semantic version such as v0.1.0, not $version" >&2
  exit 2
fi
platforms=("$@")
if [ ${#platforms[@]} -eq 0 ]; then
  platforms=("$(go env GOOS)/$(go env GOARCH)")
fi

digest() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

out=build/krew
rm -rf "$out"
mkdir -p "$out"
entries=
for platform in "${platforms[@]}"; do
  os=${platform%/*} arch=${platform#*/}
  bin=kubectl-sluice
  [ "$os" != windows ] || bin=kubectl-sluice.exe
  archive=kubectl-sluice_${os}_${arch}.tar.gz
  echo "==> $archive"
  mkdir "$out/files"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -ldflags='-s -w' -o "$out/files/$bin" ./cmd/kubectl-sluice
  cp LICENSE "$out/files/"
  tar -C "$out/files" -czf "$out/$archive" "$bin" LICENSE
  rm -r "$out/files"
  entries+="
  - selector: {matchLabels: {os: $os, arch: $arch}}
    uri: $uri/$archive
    sha256: $(digest "$out/$archive")
    bin: $bin
    files:
    - {from: $bin, to: .}
    - {from: LICENSE, to: .}"
done
manifest=$(<config/krew/sluice.yaml)
manifest=${manifest/version: VERSION/version: $version}
printf '%s\n' "${manifest/ \[\]/$entries}" | sed '1,2d' >"$out/sluice.yaml"
echo "==> $out/sluice.yaml"

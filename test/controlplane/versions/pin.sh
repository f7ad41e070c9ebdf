#!/usr/bin/env bash
# Pins the control plane of another release of Kubernetes: `pin.sh 1.33.13` writes v1.33.mod and v1.33.sum.
#
# What the release asks for is what is built, as with ../go.mod: its staging modules in their releases of the same number,
# everything else, etcd included, in the version of its own go.mod.
set -euo pipefail
release=$1
minor=${release%.*}
staging=v0.${minor#1.}.${release##*.}
cd "$(dirname "$0")/.."
mod=versions/v$minor.mod
upstream=$(go mod download -json "k8s.io/kubernetes@v$release" | sed -n 's/^.*"GoMod": "\(.*\)".*$/\1/p')
{
  echo "// The control plane of Kubernetes $release, by pin.sh: \`make test-versions\` builds and tries it."
  sed -n '/^module /p; /^tool (/,/^)/p' go.mod
  grep '^go ' "$upstream"
  echo "require ("
  echo "k8s.io/kubernetes v$release"
  for module in api apimachinery cloud-provider component-base; do echo "k8s.io/$module $staging"; done
  sed -nE 's/^	(go\.etcd\.io[^ ]* [^ ]*).*$/\1/p' "$upstream"
  echo ")"
  echo "replace ("
  # Samples are not released with every patch, and nothing asks for them.
  sed -nE "/sample-/d; s,^	?(replace )?(k8s.io/[a-z-]+) => \./staging/.*$,\2 => \2 $staging,p" "$upstream"
  echo ")"
} >"$mod"
: >"${mod%.mod}.sum"
go mod tidy -modfile="$mod"

#!/usr/bin/env bash
# What README promises of a machine with Go, git and make and nothing else, tried on one: a minimal Debian made by debootstrap, with a
# clone of the commit that is checked out here, this machine's Go, and its caches of modules and builds.
#
#   fresh.sh SUITE TARGET...        fresh.sh trixie demo test
#
# It needs root and debootstrap. The system is removed at the end; what was made for the user's cache directory stays.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: fresh.sh SUITE TARGET..." >&2; exit 2; }
suite=$1 && shift
[ "$(id -u)" = 0 ] || { echo "SKIPPED: a fresh machine: it misses root" >&2; exit 0; }
command -v debootstrap >/dev/null || { echo "SKIPPED: a fresh machine: it misses debootstrap (apt-get install debootstrap)" >&2; exit 0; }
checkout=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/epitaph
mkdir -p "$cache"

# inside is run in namespaces of its own: with them go the mounts and every process.
inside() {
  root=$1 && shift
  mount --bind "$root" "$root" # containers want a root that is mounted
  for dir in /sys /dev; do mount --rbind "$dir" "$root$dir"; done
  mount -t proc proc "$root/proc" # of the process IDs that are seen here
  mount -t tmpfs tmpfs "$root/run"
  for dir in "$(go env GOROOT)" "$(go env GOMODCACHE)" "$(go env GOCACHE)" "$cache"; do
    mkdir -p "$root$dir" && mount --bind "$dir" "$root$dir"
  done
  chroot "$root" /usr/bin/env -i HOME="$HOME" PATH="$(go env GOROOT)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    GOPROXY="$(go env GOPROXY)" GOFLAGS="$(go env GOFLAGS)" GOTOOLCHAIN="$(go env GOTOOLCHAIN)" \
    GOMODCACHE="$(go env GOMODCACHE)" GOCACHE="$(go env GOCACHE)" XDG_CACHE_HOME="$(dirname "$cache")" \
    make -C /epitaph "$@"
}

if [ "${1:-}" = --inside ]; then
  shift && inside "$@"
  exit
fi
work=$(mktemp -d "$cache/fresh-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
echo "making a fresh $suite in $work"
debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$work/system" >"$work/log" ||
  { tail -20 "$work/log" >&2; exit 1; }
# What this machine needs to reach others, that one needs too.
cp --dereference /etc/resolv.conf "$work/system/etc/resolv.conf"
mkdir -p "$work/system/usr/local/share/ca-certificates"
find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$work/system/usr/local/share/ca-certificates" {} +
chroot "$work/system" update-ca-certificates >>"$work/log" 2>&1
for tool in cc gcc dbus-daemon chromium containerd qemu-system-x86_64; do
  if chroot "$work/system" sh -c "command -v $tool" >/dev/null; then echo "a fresh machine has $tool" >&2; exit 1; fi
done
git clone -q "$checkout" "$work/system/epitaph"
start=$SECONDS status=0
unshare --mount --pid --fork --kill-child --propagation private "$0" "$suite" --inside "$work/system" "$@" || status=$?
echo "fresh $suite, make $*: exit $status after $((SECONDS - start)) s"
exit $status

#!/bin/sh
# Run a command in a Debian 13 of its own: its root file system and /run on this machine's kernel, network and cgroups,
# with a copy of this tree in /src. As root.
#
#   tests/debian13/run.sh 'make check test'
#
# The root lies in build/debian13 and is made again when this file changes. It comes from the mirror that DEBIAN_MIRROR
# names, or else from the one this machine has its own packages from.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/debian13
root=$out/root
command=${1:-make check test}

# What it takes to have a checkout and to say `make`; all else, mount(8) too, is for deploy/packages.txt to name.
packages=ca-certificates,make,git

host_mirror() { # The first repository of this machine that says it is Debian; nothing where there is none.
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

make_root() {
  rm -rf --one-file-system "$root"
  echo "making a Debian 13 root file system"
  mirror=${DEBIAN_MIRROR:-$(host_mirror)}
  # shellcheck disable=SC2086  # without a mirror mmdebstrap takes Debian's
  mmdebstrap --quiet --variant=apt --include=$packages trixie "$root" $mirror
  mkdir -p "$root/src"
}

# The virtual environment stays, and make brings it up to date; all other files are those of today.
copy_tree() {
  find "$root/src" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
  (cd "$top" && git ls-files --cached --others --exclude-standard | while read -r file; do test ! -e "$file" || echo "$file"; done |
    tar -cf - -T -) | tar -xf - -C "$root/src"
}

# There is no repository: the release before this one comes along, for tests of upgrades.
copy_previous() {
  commit=$(cat "$top/tests/upgrade/PREVIOUS")
  mkdir -p "$root/src/build/previous"
  git -C "$top" archive --output "$root/src/build/previous/source-$commit.tar" "$commit" pyproject.toml README.md LICENSE shoal manager agent cli engine console
}

copy_settings() { # How this machine reaches package registries.
  for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    test ! -e "$file" || cp -L "$file" "$root$file"
  done
}

mkdir -p "$out"
exec 9>"$out/lock"
flock --nonblock 9 || { echo "$0: another one runs in $root" >&2; exit 1; }
stamp=$(sha256sum < "$0")
if [ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]; then
  make_root
  echo "$stamp" > "$out/stamp"
fi
copy_tree
copy_previous
copy_settings
# On disk, not in memory: all tests together write some ten GB.
clear_tmp() { rm -rf --one-file-system "$root/tmp" && mkdir -m 1777 "$root/tmp"; }
clear_tmp

# setns(2) puts a thread at the root of its mount namespace: a chroot would let containers and their helpers out of it.
code=0
# shellcheck disable=SC2016  # expanded inside
unshare --mount --propagation private sh -euc '
  root=$1 command=$2
  mount --bind "$root" "$root"
  for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  cp /bin/busybox "$root/run/"
  cd "$root"
  mkdir -p .machine
  pivot_root . .machine
  /run/busybox umount -l /.machine
  rm /run/busybox
  cd /src
  exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" \
    ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} sh -c "$command"' sh "$root" "$command" || code=$?
clear_tmp
exit "$code"

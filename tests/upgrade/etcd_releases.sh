#!/bin/sh
# Get the etcds of Debian 12 (3.4) and Debian 13 (3.5) to build/etcd/SUITE/usr/bin/etcd, whatever this machine runs. Does
# nothing when they are there. They come from the mirror that DEBIAN_MIRROR names, or else from the one that this machine
# has its own packages from.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/etcd
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

host_mirror() { # The first repository of this machine that says it is Debian; Debian's own where there is none.
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' |
    awk '$1 == "Debian" && $2 == "Debian" { print $3; found = 1; exit } END { if (!found) print "http://deb.debian.org/debian" }'
}

apt() { # An apt with lists and settings of its own.
  apt-get -qq -o Dir::State::lists="$here/lists" -o Dir::Cache="$here/cache" -o Dir::Etc::sourcelist="$here/sources.list" \
    -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root "$@"
}

get() {
  here=$out/$1
  test ! -x "$here/usr/bin/etcd" || return 0
  rm -rf "$here"
  mkdir -p "$here/lists/partial" "$here/cache/archives/partial"
  echo "deb [signed-by=$keyring] ${DEBIAN_MIRROR:-$(host_mirror)} $1 main" > "$here/sources.list"
  apt update
  (cd "$here" && apt download etcd-server)
  dpkg-deb --extract "$here"/etcd-server_*.deb "$here/unpacked"
  rm -rf "$here/lists" "$here/cache"
  mkdir -p "$here/usr/bin"
  mv "$here/unpacked/usr/bin/etcd" "$here/usr/bin/etcd"
  rm -rf "$here/unpacked"
}

mkdir -p "$out"
exec 9> "$out/lock"
flock 9
for suite in bookworm trixie; do get "$suite"; done

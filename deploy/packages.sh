#!/bin/sh
# Install the missing packages of a list (a file) without starting their services: Shoal runs its own etcd and registry,
# and a second one would occupy the default ports. Set PACKAGES=installed to skip this where packages have other names.
set -eu
list=$1
test "${PACKAGES:-}" != installed || exit 0
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
  echo "apt-get not found; packages cannot be installed automatically." >&2
  echo "Install the packages listed in $list manually, then run this again with PACKAGES=installed." >&2
  exit 1
}
missing=""
for package in $(sed 's/#.*//' "$list"); do
  program=${package%%:*}
  if [ "$program" != "$package" ]; then  # PROGRAM:PACKAGE|PACKAGE, where a person may have brought the program
    command -v "$program" >/dev/null && continue
    package=${package#*:}
  fi
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing packages; install them as root: apt-get install$missing" >&2; exit 1; }
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT INT TERM
  printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing$missing"
apt-get update -qq
chosen=""
for package in $missing; do
  while [ "${package%%|*}" != "$package" ] && ! apt-cache show "${package%%|*}" >/dev/null 2>&1; do
    package=${package#*|}  # the first alternative that this release has
  done
  chosen="$chosen ${package%%|*}"
done
# shellcheck disable=SC2086  # a list of words is meant
apt-get install -y -qq --no-install-recommends $chosen >/dev/null

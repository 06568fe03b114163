#!/bin/sh
# Install the packages that the file named lists, those that are missing only, without starting their services:
# Shoal starts its own etcd and registry, and a second one on the default ports would be in the way.
# PACKAGES=installed in the environment says that they are there, whatever they are called here.
set -eu
list=$1
test "${PACKAGES:-}" != installed || exit 0
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
  echo "packages are installed with apt-get, which this system does not have." >&2
  echo "Install by hand what $list lists, then run this again with PACKAGES=installed." >&2
  exit 1
}
missing=""
for package in $(sed 's/#.*//' "$list"); do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "these packages are missing, and only root can install them: apt-get install$missing" >&2; exit 1; }
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT INT TERM
  printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing$missing"
apt-get update -qq
# shellcheck disable=SC2086  # a list of words is meant
apt-get install -y -qq --no-install-recommends $missing >/dev/null

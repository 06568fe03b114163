#!/bin/sh
# Install or upgrade Shoal on a host (Debian 12 or later) from a checkout of this repository. Run it as root.
# Containers keep running during an upgrade.
#
#   deploy/install.sh manager [--advertise ADDRESS] [--join HOST:7442 --token TOKEN]
#   deploy/install.sh agent --join HOST:7442 --token TOKEN [--advertise ADDRESS]     # to upgrade: without options
#   deploy/install.sh registry [--address ADDRESS:5000]
#   deploy/install.sh engine [--context FILE] [--group GROUP] [--socket PATH]
#   deploy/install.sh console [--context FILE] [--listen HOST:PORT] [--names NAMES]
#   deploy/install.sh remove [--purge]
#
# `remove` stops all containers of this host and uninstalls Shoal. Volumes, the cluster's state and the registry's images
# are kept, unless you add --purge.
#
# Ports to open:
#   manager   7440/tcp from users, agents and managers (API, mutual TLS), 7442/tcp from agents and managers (join);
#             7443/tcp from managers, if there are several (etcd, mutual TLS)
#   agent     7441/tcp from managers and agents (logs, exec, volume moves; mutual TLS), 4789/udp from agents (VXLAN); with encrypted
#             networks 51830/udp and 51831/udp from them (WireGuard), or IP protocol 50 with 51832/udp and 51833/udp (ESP)
#   registry  5000/tcp from managers, agents and clients that push images
#   metrics   none: 7450 to 7453/tcp on loopback; deploy/monitoring/README.md has how to open them to Prometheus
#   engine    none: it serves Docker's Engine API on a Unix socket, /run/docker.sock for the group docker; FILE is of `shoal context
#             export`, and not needed on a manager's host
#   console   7444/tcp from browsers (TLS); NAMES are further names that they have for this host, comma-separated
set -eu

prefix=/opt/shoal
top=$(cd "$(dirname "$0")/.." && pwd)

fail() { echo "install.sh: $*" >&2; exit 2; }
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }

packages() {
  case $1 in
    manager) echo python3 python3-venv ca-certificates etcd-server ;;
    agent) echo python3 python3-venv ca-certificates iproute2 util-linux mount libnftables1 crun conmon runc tini apparmor ;;
    registry) echo docker-registry ;;
    engine|console) echo python3 python3-venv ca-certificates ;;
  esac
}

install_packages() {
  list=$(mktemp)
  packages "$1" | tr ' ' '\n' > "$list"
  sh "$top/deploy/packages.sh" "$list"
  rm -f "$list"
}

install_venv() {
  test -x "$prefix/venv/bin/python" || python3 -m venv "$prefix/venv"
  "$prefix/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$top"
  cp "$top/README.md" "$prefix/"
  for program in shoal shoal-manager shoal-agent shoal-engine shoal-console; do ln -sf "$prefix/venv/bin/$program" "/usr/local/bin/$program"; done
}

enable() {
  cp "$top/deploy/systemd/$1.service" /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --quiet "$1"
  systemctl restart "$1"
}

setting() { # NAME VALUE FILE: one line of an environment file, readable by root only
  (umask 077; touch "$3")
  sed -i "/^$1=/d" "$3"
  printf '%s=%s\n' "$1" "$2" >> "$3"
}

install_manager() {
  install_packages manager
  install_venv
  mkdir -p /etc/shoal
  test -z "$advertise" || setting SHOAL_MANAGER_ADVERTISE_ADDRESS "$advertise" /etc/shoal/manager.env
  if test -n "$join$token"; then
    test -n "$join" || fail "--join HOST:7442 is required; get it with \`shoal cluster join-token --manager\` on a manager"
    test -n "$token" || fail "--token is required; create one with \`shoal cluster join-token --manager\` on a manager"
    (umask 077; printf '%s\n' "$token" > /etc/shoal/manager-token)
    setting SHOAL_MANAGER_JOIN "$join" /etc/shoal/manager.env
    setting SHOAL_MANAGER_TOKEN_FILE /etc/shoal/manager-token /etc/shoal/manager.env
  fi
  enable shoal-manager
  shoal context inspect default > /dev/null 2>&1 || shoal context create --admin /var/lib/shoal/manager/admin default > /dev/null || true
  echo "The manager is running. To add a host, run: shoal cluster join-token"
}

install_agent() {
  if test -n "$join$token" || test ! -e /etc/shoal/agent.env; then # an upgrade needs neither
    test -n "$join" || fail "--join HOST:7442 is required; get it with \`shoal cluster join-token\` on a manager"
    test -n "$token" || fail "--token is required; create one with \`shoal cluster join-token\` on a manager"
  fi
  install_packages agent
  install_venv
  mkdir -p /etc/shoal
  if test -n "$token"; then
    (umask 077; printf '%s\n' "$token" > /etc/shoal/join-token)
    setting SHOAL_AGENT_JOIN "$join" /etc/shoal/agent.env
    setting SHOAL_AGENT_TOKEN_FILE /etc/shoal/join-token /etc/shoal/agent.env
  fi
  test -z "$advertise" || setting SHOAL_AGENT_ADVERTISE_ADDRESS "$advertise" /etc/shoal/agent.env
  enable shoal-agent
  case $(systemctl show --property StatusText --value shoal-agent) in
    waiting:*) echo "The agent is running but has not joined the cluster yet: $(systemctl show --property StatusText --value shoal-agent)" ;;
    *) echo "The agent is running. To list nodes, run where you have a context: shoal node ls" ;;
  esac
}

install_registry() {
  install_packages registry
  systemctl disable --now docker-registry 2>/dev/null || true
  test -e /etc/shoal/registry/config.yml || install -D -m 644 "$top/deploy/registry/config.yml" /etc/shoal/registry/config.yml
  sed -i "s/^  addr: .*/  addr: $address/" /etc/shoal/registry/config.yml
  cp "$top/deploy/registry/shoal-registry.service" /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --quiet shoal-registry
  systemctl restart shoal-registry
  echo "The registry is running on $address without TLS and authentication; see deploy/registry/README.md."
}

check_context() { # ROLE: an engine's or a console's, which is a manager's own unless a file is given
  test -n "$context" || test -d "/var/lib/shoal/manager/$1" || fail "--context FILE is required; write it with \`shoal context export\`"
  test -z "$context" || test -r "$context" || fail "$context cannot be read"
}

install_context() { # ROLE
  install -d -m 700 "/var/lib/shoal/$1"
  SHOAL_CONFIG=/var/lib/shoal/$1
  export SHOAL_CONFIG
  if test -n "$context"; then # a file that is given takes the place of what was there
    test ! -d "/var/lib/shoal/$1/contexts/default" || shoal context rm --force default
    shoal context import default "$context"
  elif test ! -d "/var/lib/shoal/$1/contexts/default"; then
    shoal context create --admin "/var/lib/shoal/manager/$1" default # of that role
  fi
}

install_console() {
  check_context console
  install_packages console
  install_venv
  mkdir -p /etc/shoal
  install_context console
  test -z "$listen" || setting SHOAL_CONSOLE_LISTEN "$listen" /etc/shoal/console.env
  test -z "$names" || setting SHOAL_CONSOLE_NAMES "$names" /etc/shoal/console.env
  enable shoal-console
  echo "The console is running. To sign in, run where you have a context: shoal console token"
}

install_engine() {
  check_context engine
  install_packages engine
  install_venv
  mkdir -p /etc/shoal
  install_context engine
  getent group "$group" > /dev/null || groupadd --system "$group"
  cp "$top/deploy/systemd/shoal-engine.socket" /etc/systemd/system/
  sed -i "s|^ListenStream=.*|ListenStream=$socket|; s|^SocketGroup=.*|SocketGroup=$group|" /etc/systemd/system/shoal-engine.socket
  cp "$top/deploy/systemd/shoal-engine.service" /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --quiet --now shoal-engine.socket
  enable shoal-engine
  echo "The engine is running. To use it, run: docker -H unix://$socket ps"
}

remove() {
  systemctl disable --now shoal-engine.socket 2>/dev/null || true
  rm -f /etc/systemd/system/shoal-engine.socket
  for unit in shoal-console shoal-engine shoal-agent shoal-manager shoal-registry; do
    systemctl disable --now "$unit" 2>/dev/null || true
    rm -f "/etc/systemd/system/$unit.service"
  done
  rm -rf /var/lib/shoal/engine /var/lib/shoal/console
  test ! -x "$prefix/venv/bin/shoal-agent" || "$prefix/venv/bin/shoal-agent" reset --yes
  printf shoal-default 2>/dev/null > /sys/kernel/security/apparmor/.remove || true
  systemctl daemon-reload
  rm -f /usr/local/bin/shoal /usr/local/bin/shoal-manager /usr/local/bin/shoal-agent /usr/local/bin/shoal-engine /usr/local/bin/shoal-console
  rm -rf "$prefix" /etc/shoal/agent.env /etc/shoal/engine.env /etc/shoal/console.env /etc/shoal/join-token /var/lib/shoal/agent/images
  test -z "$purge" || purge
  echo "Shoal was removed. $(kept)"
}

purge() { # Any of these may be a disk of its own, which is emptied and stays mounted. /var/lib/private is DynamicUser's.
  for place in /var/lib/shoal/agent/volumes /var/lib/shoal/agent /var/lib/shoal/manager /var/lib/shoal \
    /var/lib/private/shoal-registry /var/lib/shoal-registry /etc/shoal; do
    test ! -d "$place" || find "$place/" -xdev -mindepth 1 -delete 2>/dev/null || true
    rm -rf --one-file-system "$place" 2>/dev/null || true
  done
}

kept() {
  found=""
  keep() { if test -n "$(ls -A "$1" 2>/dev/null)"; then found="$found$(printf '\n  %s  %s' "$1" "$2")"; fi; }
  keep /var/lib/shoal/agent/volumes "volume data, in the directory _data of each volume"
  keep /var/lib/shoal/manager "cluster state and keys"
  keep /var/lib/shoal-registry "registry images"
  keep /etc/shoal "settings"
  if test -n "$found"; then echo "Kept (delete with 'deploy/install.sh remove --purge'):$found"; else echo "No data was kept."; fi
}

role=${1:-}
test $# -eq 0 || shift
advertise="" join="" token="" purge="" address="127.0.0.1:5000" context="" group="docker" socket="/run/docker.sock" listen="" names=""
while test $# -gt 0; do
  if test "$role $1" = "remove --purge"; then purge=yes; shift; continue; fi
  test $# -ge 2 || fail "option $1 requires a value"
  case $1 in
    --advertise) advertise=$2 ;;
    --join) join=$2 ;;
    --token) token=$2 ;;
    --address) address=$2 ;;
    --context) context=$2 ;;
    --group) group=$2 ;;
    --socket) socket=$2 ;;
    --listen) listen=$2 ;;
    --names) names=$2 ;;
    *) fail "unknown option $1; see $0 --help" ;;
  esac
  shift 2
done
case $role in
  -h|--help|help) usage; exit 0 ;;
  manager|agent|registry|engine|console|remove) test "$(id -u)" = 0 || fail "must be run as root"; ;;
  *) usage; exit 2 ;;
esac
case $role in
  manager) install_manager ;;
  agent) install_agent ;;
  registry) install_registry ;;
  engine) install_engine ;;
  console) install_console ;;
  remove) remove ;;
esac

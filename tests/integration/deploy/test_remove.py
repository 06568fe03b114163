"""`deploy/install.sh remove` in a mount namespace where all that it touches is a copy, or empty."""

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[3]
AGENT = Path(sys.executable).parent / "shoal-agent"

HOST = f"""
set -eu
mount --make-rprivate /
for place in /opt /var/lib /usr/local/bin /root; do mount -t tmpfs tmpfs $place; done
mkdir /opt/upper /opt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/opt/upper,workdir=/opt/work /etc
printf '#!/bin/sh\\n' > /usr/local/bin/systemctl
chmod 755 /usr/local/bin/systemctl
mkdir -p /opt/shoal/venv/bin /etc/shoal /var/lib/private/shoal-registry
ln -s private/shoal-registry /var/lib/shoal-registry
printf '#!/bin/sh\\nexec {AGENT} "$@"\\n' > /opt/shoal/venv/bin/shoal-agent
chmod 755 /opt/shoal/venv/bin/shoal-agent
cd /var/lib && mkdir -p shoal/manager/etcd shoal/agent/images shoal/agent/journal shoal/agent/volumes/data/_data
echo precious > shoal/agent/volumes/data/_data/file
echo precious > private/shoal-registry/blob
echo setting > /etc/shoal/manager.env
"""
AFTER = "find /var/lib /etc/shoal /opt/shoal -type f 2>/dev/null | sort"


def on_a_host(*commands: str) -> str:
    script = "\n".join([HOST, *commands])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=TOP
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_data_stays_unless_asked_and_that_is_said() -> None:
    said = on_a_host(f"sh {TOP}/deploy/install.sh remove", AFTER, "ls /var/lib/shoal/agent /usr/local/bin")
    text, _, left = said.partition("/etc/shoal/manager.env\n")
    for kept in ("/var/lib/shoal/agent/volumes", "/var/lib/shoal/manager", "/var/lib/shoal-registry", "/etc/shoal"):
        assert f"\n  {kept}  " in text
    assert "remove --purge" in text
    assert left.split() == [
        "/var/lib/private/shoal-registry/blob", "/var/lib/shoal/agent/volumes/data/_data/file",
        "/usr/local/bin:", "systemctl", "/var/lib/shoal/agent:", "volumes",
    ]  # fmt: skip


def test_all_goes_when_asked() -> None:
    said = on_a_host(f"sh {TOP}/deploy/install.sh remove", f"sh {TOP}/deploy/install.sh remove --purge", AFTER)
    assert said.endswith("Shoal was removed. No data was kept.\n")


def test_a_disk_for_the_data_is_emptied_and_stays_mounted() -> None:
    said = on_a_host(
        "mount -t tmpfs tmpfs /var/lib/shoal/agent/volumes",
        "cd /var/lib/shoal/agent/volumes; mkdir -p data/_data; echo precious > data/_data/file; cd /",
        f"sh {TOP}/deploy/install.sh remove",
        "test -e /var/lib/shoal/agent/volumes/data/_data/file",
        f"sh {TOP}/deploy/install.sh remove --purge",
        AFTER,
        "mountpoint -q /var/lib/shoal/agent/volumes",
    )
    assert said.endswith("Shoal was removed. No data was kept.\n")


def test_other_commands_do_not_take_the_option() -> None:
    command = ["sh", str(TOP / "deploy/install.sh"), "manager", "--purge"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--purge" in done.stderr

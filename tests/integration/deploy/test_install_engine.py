"""`deploy/install.sh engine` and `console` in a mount namespace where all that it touches is a copy, or empty."""

import subprocess
import sys
from pathlib import Path

import pytest

from shoal.contexts.context_archive import export_context
from shoal.contexts.context_store import ContextStore
from shoal.identity.identity import Identity

TOP = Path(__file__).parents[3]
SHOAL = Path(sys.executable).parent / "shoal"

HOST = f"""
set -eu
mount --make-rprivate /
for place in /opt /var/lib /usr/local/bin /root; do mount -t tmpfs tmpfs $place; done
mkdir /opt/upper /opt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/opt/upper,workdir=/opt/work /etc
printf '#!/bin/sh\\necho "$@" >> /opt/systemctl\\n' > /usr/local/bin/systemctl
mkdir -p /opt/shoal/venv/bin
printf '#!/bin/sh\\n' > /opt/shoal/venv/bin/python
printf '#!/bin/sh\\nexec {SHOAL} "$@"\\n' > /opt/shoal/venv/bin/shoal
chmod 755 /usr/local/bin/systemctl /opt/shoal/venv/bin/*
PATH=/usr/local/bin:$PATH PACKAGES=installed
export PATH PACKAGES
install="sh {TOP}/deploy/install.sh"
"""


def on_a_host(*commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", "\n".join([HOST, *commands])],
        capture_output=True, text=True, timeout=120, check=False, cwd=TOP,
    )  # fmt: skip


@pytest.fixture
def context(tmp_path: Path) -> Path:
    identity = Identity(certificate=b"certificate", key=b"key", ca=b"authority")
    export_context(ContextStore(tmp_path / "shoal").create("prod", identity, ["h1:7443"]), tmp_path / "prod.tar")
    return tmp_path / "prod.tar"


def test_its_socket_and_its_context_are_made(context: Path) -> None:
    done = on_a_host(
        f"$install engine --context {context} --group adm --socket /run/other.sock",
        f"$install engine --context {context} --group adm --socket /run/other.sock",
        "echo; stat -c '%a %n' /var/lib/shoal/engine /var/lib/shoal/engine/contexts/default/key.pem",
        "grep -E '^(ListenStream|SocketGroup)' /etc/systemd/system/shoal-engine.socket",
        "ls /etc/systemd/system/shoal-engine.service",
        "readlink /usr/local/bin/shoal-engine; cat /opt/systemctl",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said, _, made = done.stdout.partition("\n\n")
    assert said.endswith("The engine is running. To use it, run: docker -H unix:///run/other.sock ps")
    once = ["daemon-reload", "enable --quiet --now shoal-engine.socket", "daemon-reload", "enable --quiet shoal-engine"]
    assert made.splitlines() == [
        "700 /var/lib/shoal/engine",
        "600 /var/lib/shoal/engine/contexts/default/key.pem",
        "ListenStream=/run/other.sock",
        "SocketGroup=adm",
        "/etc/systemd/system/shoal-engine.service",
        "/opt/shoal/venv/bin/shoal-engine",
        *([*once, "restart shoal-engine"] * 2),
    ]


def test_it_goes_with_the_rest(context: Path) -> None:
    done = on_a_host(
        f"$install engine --context {context} > /dev/null",
        "$install remove",
        "find /etc/systemd/system /usr/local/bin /var/lib/shoal -name '*engine*'",
    )
    assert (done.returncode, done.stdout) == (0, "Shoal was removed. No data was kept.\n"), done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [("", "--context FILE is required"), ("--context /nowhere.tar", "/nowhere.tar cannot be read")],
)
def test_without_a_context_nothing_is_installed(options: str, reason: str) -> None:
    done = on_a_host(
        f"$install engine {options} || code=$?", "find /var/lib /etc/systemd/system -name '*shoal*'; exit $code"
    )
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_context_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prod.tar").write_text("no archive")
    done = on_a_host(f"$install engine --context {tmp_path}/prod.tar")
    assert done.returncode != 0
    assert "The engine is running" not in done.stdout


def test_a_console_has_its_settings_and_its_context_for_itself_alone(context: Path) -> None:
    done = on_a_host(
        f"$install console --context {context} --listen 10.0.0.5:443 --names console.example.com",
        "echo; stat -c '%a %n' /var/lib/shoal/console /var/lib/shoal/console/contexts/default/key.pem",
        "stat -c '%a' /etc/shoal/console.env; cat /etc/shoal/console.env /opt/systemctl",
        "$install remove; find /etc/systemd/system /usr/local/bin /var/lib/shoal /etc/shoal -name '*console*'",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said, _, made = done.stdout.partition("\n\n")
    assert said.endswith("shoal console token")
    assert made.splitlines() == [
        "700 /var/lib/shoal/console",
        "600 /var/lib/shoal/console/contexts/default/key.pem",
        "600",
        "SHOAL_CONSOLE_LISTEN=10.0.0.5:443",
        "SHOAL_CONSOLE_NAMES=console.example.com",
        "daemon-reload",
        "enable --quiet shoal-console",
        "restart shoal-console",
        "Shoal was removed. No data was kept.",
    ]

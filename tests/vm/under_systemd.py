"""Installation by deploy/install.sh on a machine that systemd runs: a manager and an agent on one host."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.vm.checking import Check, run_checks
from tests.vm.cluster import COMMAND_SECONDS, until

ADDRESS = "10.77.0.1"
INSTALL_SECONDS = 3600.0
"""For what pip takes some seconds for: in an emulated machine beside other work."""
UNITS = ("shoal-manager", "shoal-agent")
# The machine has no network, and all that is needed; pip takes "0" for "no isolation".
OFFLINE = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1"}


def run(*command: str, seconds: float = INSTALL_SECONDS) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=OFFLINE)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = listing("node")
    return found


def listing(what: str) -> Any:
    """What `shoal … ls` displays; nothing when it fails, or takes longer than an emulated machine should."""
    command = ["/usr/local/bin/shoal", what, "ls", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return []
    return json.loads(done.stdout) if done.returncode == 0 else []


def has_profile() -> bool:
    return "shoal-default (enforce)" in Path("/sys/kernel/security/apparmor/profiles").read_text()


def ready() -> bool:
    return [node["status"] for node in nodes()] == ["ready"]


def active() -> bool:
    done = subprocess.run(["systemctl", "is-active", *UNITS], capture_output=True, text=True, check=False)
    return done.stdout.split() == ["active"] * len(UNITS)


def check_systemd_runs_the_machine() -> None:
    assert Path("/proc/1/comm").read_text().strip() == "systemd"
    run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    for line in ("link set lan0 up", "link set lan1 up", f"addr add {ADDRESS}/24 dev lan0"):
        run("ip", *line.split())


def check_install_manager() -> None:
    assert "The manager is running" in run("sh", "deploy/install.sh", "manager", "--advertise", ADDRESS)


def check_install_agent() -> None:
    token = run("/usr/local/bin/shoal", "cluster", "join-token", "-q").strip()
    options = ("--join", f"{ADDRESS}:7442", "--token", token, "--advertise", ADDRESS)
    assert "The agent is running" in run("sh", "deploy/install.sh", "agent", *options)
    assert Path("/etc/shoal/join-token").stat().st_mode & 0o077 == 0
    until(ready, "the node is ready")
    assert has_profile()


def check_agent_restarts() -> None:
    (before,) = nodes()
    run("systemctl", "restart", "shoal-agent")
    until(lambda: active() and ready(), "the node is ready again")
    assert nodes()[0]["id"] == before["id"]


def check_manager_restarts() -> None:
    (before,) = nodes()
    run("systemctl", "restart", "shoal-manager")
    until(lambda: active() and ready(), "the node is ready again")
    assert nodes()[0]["id"] == before["id"]


def check_killed_programs_come_back() -> None:
    for unit in UNITS:
        run("systemctl", "kill", "--signal=KILL", "--kill-who=main", unit)
    until(lambda: active() and ready(), "both are back")


def check_installing_again_upgrades() -> None:
    (before,) = nodes()
    run("sh", "deploy/install.sh", "manager", "--advertise", ADDRESS)
    until(lambda: active() and ready(), "the node is ready again")
    assert nodes()[0]["id"] == before["id"]


def check_remove() -> None:
    assert "Shoal was removed" in run("sh", "deploy/install.sh", "remove")
    assert not Path("/usr/local/bin/shoal").exists()
    assert "shoal" not in run("ip", "link")
    assert not has_profile()
    assert Path("/var/lib/shoal/manager").exists()
    assert "No data was kept" in run("sh", "deploy/install.sh", "remove", "--purge")
    assert not any(Path("/var/lib/shoal").glob("*")), "a file system of its own here, which stays"


CHECKS: tuple[Check, ...] = (
    check_systemd_runs_the_machine,
    check_install_manager,
    check_install_agent,
    check_agent_restarts,
    check_manager_restarts,
    check_killed_programs_come_back,
    check_installing_again_upgrades,
    check_remove,
)


def print_journal() -> None:
    said = subprocess.run(
        ["journalctl", "-b", "--no-pager", "-n", "60", "-o", "cat"], capture_output=True, text=True, check=False
    )
    print(said.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(1 if run_checks(CHECKS, on_failure=print_journal) else 0)

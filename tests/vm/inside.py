"""Runs inside the virtual machine: groups of checks on a real Debian kernel with cgroup version 2.

`main` is the main job. Prints a line for each check, and `N passed, N failed` at the end.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.vm import confinement, encryption, esp, faults, managers, operations, second, two
from tests.vm.checking import Check, run_checks
from tests.vm.cluster import (
    COMMAND_SECONDS,
    CONFIG,
    HELLO,
    LOGS,
    PLAYGROUND,
    SHOAL,
    WAIT_SECONDS,
    pid_of,
    rows,
    running,
    shoal,
)

CGROUPS = Path("/sys/fs/cgroup")


def cgroup_of(pid: int) -> Path:
    """On version 2 there is one line, `0::/path` (cgroups(7))."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return CGROUPS / line.removeprefix("0::/")


def check_version_2() -> None:
    assert (CGROUPS / "cgroup.controllers").exists()


def check_playground() -> None:
    PLAYGROUND.up()
    for version in "12":
        shoal("image", "push", "-q", f"images/hello-{version}.tar", f"{HELLO}:{version}")


def check_create_with_limits() -> None:
    shoal("network", "create", "front")
    shoal(
        *("service", "create", "--name", "web", "--replicas", "2", "--network", "front", "--publish"),
        *("mode=host,target=80,published=8080", "--limit-memory", "64M", "--limit-cpu", "0.5", f"{HELLO}:1"),
    )
    for row in running("web"):
        group = cgroup_of(pid_of(row["id"]))
        assert (group / "memory.max").read_text().strip() == str(64 << 20)
        assert (group / "cpu.max").read_text().split()[0] == "50000"


def check_http_on_both_hosts() -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for number in (11, 12):
        with opener.open(f"http://198.18.0.{number}:8080/", timeout=COMMAND_SECONDS) as answer:
            assert "version: 1" in answer.read().decode()


def check_ping_between_hosts() -> None:
    first, second = running("web")
    enter = ["nsenter", f"--target={pid_of(first['id'])}", "--net", "--mount", "--root"]
    ping = [*enter, "/bin/ping", "-c1", "-W5", second["addresses"][0]]
    subprocess.run(ping, check=True, capture_output=True, timeout=COMMAND_SECONDS)


def execute(*words: str, code: int = 0) -> str:
    """`shoal exec …`, which writes to descriptors, so in a process of its own; what it wrote to both."""
    done = subprocess.run(
        [SHOAL, "exec", *words], input="in\n", capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def check_programs_in_containers() -> None:
    for row in running("web"):
        assert execute(row["id"], "cat", "/proc/self/cgroup") == "0::/\n"
        execute("-d", row["id"], "sleep", "1234")
        (pid,) = (
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if b"1234" in path.read_bytes()
        )
        assert cgroup_of(pid) == cgroup_of(pid_of(row["id"]))
        os.kill(pid, signal.SIGKILL)
    assert execute("-t", "web.1", "tty").split() == ["/dev/pts/0"]
    assert execute("-i", "web", "sh", "-c", "cat >&2; exit 3", code=3) == "in\n"


def check_scale_update_remove() -> None:
    shoal("service", "update", "--publish-rm", "80", "web")
    shoal("service", "scale", "web=6")
    assert len(running("web")) == 6
    shoal("service", "update", "--image", f"{HELLO}:2", "web")
    assert {row["image"] for row in running("web")} == {f"{HELLO}:2"}
    shoal("service", "rm", "web")


def check_memory_kill_is_reported() -> None:
    grow = "x=a; while :; do x=$x$x; done"
    shoal(
        *("service", "create", "-d", "--name", "greedy", "--restart-condition", "none"),
        *("--limit-memory", "16M", f"{HELLO}:1", "sh", "-c", grow),
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        failed = [row for row in rows("service", "ps", "greedy") if row["state"] == "failed"]
        if failed:
            assert "memory" in failed[0]["reason"], failed
            return
        time.sleep(0.5)
    raise AssertionError(f"not killed: {rows('service', 'ps', 'greedy')}")


def check_nothing_is_left() -> None:
    shoal("playground", "down")
    assert not (CGROUPS / "shoal").exists()
    assert "shoal" not in Path("/proc/mounts").read_text()
    assert not list(Path("/run/netns").iterdir())


MAIN: tuple[Check, ...] = (
    check_create_with_limits,
    check_http_on_both_hosts,
    check_ping_between_hosts,
    check_programs_in_containers,
    check_scale_update_remove,
    check_memory_kill_is_reported,
)
GROUPS: dict[str, tuple[Check, ...]] = {
    "main": MAIN,
    "confinement": confinement.CHECKS,
    "encryption": encryption.CHECKS,
    "esp": esp.CHECKS,
    "faults": faults.CHECKS,
}


def main(groups: list[str]) -> None:
    os.environ.update(HOME="/run", SHOAL_CONFIG=str(CONFIG), SHOAL_VERIFY="0")
    if "faults" not in groups:  # where nodes that are away are the matter
        # An emulated machine may take a minute to start an agent again, which is no reason to miss its node.
        os.environ["SHOAL_MANAGER_HEARTBEAT_SECONDS"] = "30"
    if groups == ["second"]:
        second.main()
    if groups == ["two"]:
        sys.exit(
            1 if run_checks((check_version_2, *two.CHECKS, check_nothing_is_left), on_failure=two.print_logs) else 0
        )
    if groups == ["managers"]:
        sys.exit(1 if run_checks((check_version_2, *managers.CHECKS), on_failure=managers.print_logs) else 0)
    if groups == ["operations"]:
        sys.exit(1 if run_checks((check_version_2, *operations.CHECKS), on_failure=operations.print_logs) else 0)
    chosen = [check for group in groups for check in GROUPS[group]]
    failed = run_checks((check_version_2, check_playground, *chosen, check_nothing_is_left), on_failure=print_logs)
    sys.exit(1 if failed else 0)


def print_logs() -> None:
    for log in sorted(LOGS.glob("[hm]*.log")):
        print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","))

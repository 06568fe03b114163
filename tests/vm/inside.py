"""Runs inside the virtual machine: the main job on a real Debian kernel with cgroup version 2.

Prints a line for each check, and `N passed, N failed` at the end.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHOAL = str(Path(sys.executable).parent / "shoal")
HELLO = "registry:5000/hello"
CGROUPS = Path("/sys/fs/cgroup")


def shoal(*arguments: str) -> str:
    """`shoal …`, which has to succeed."""
    done = subprocess.run([SHOAL, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"shoal {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shoal(*arguments, "--format", "json"))
    return found


def running(service: str) -> list[dict[str, Any]]:
    return [row for row in rows("service", "ps", service) if row["state"] == "running"]


def pid_of(task: str) -> int:
    return int(rows("task", "inspect", task)[0]["status"]["pid"])


def cgroup_of(pid: int) -> Path:
    """On version 2 there is one line, `0::/path` (cgroups(7))."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return CGROUPS / line.removeprefix("0::/")


def check_version_2() -> None:
    assert (CGROUPS / "cgroup.controllers").exists()


def check_playground() -> None:
    shoal("playground", "up", "--hosts", "2")
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
        with opener.open(f"http://198.18.0.{number}:8080/", timeout=30) as answer:
            assert "version: 1" in answer.read().decode()


def check_ping_between_hosts() -> None:
    first, second = running("web")
    enter = ["nsenter", f"--target={pid_of(first['id'])}", "--net", "--mount", "--root"]
    ping = [*enter, "/bin/ping", "-c1", "-W5", second["addresses"][0]]
    subprocess.run(ping, check=True, capture_output=True, timeout=30)


def check_scale_update_remove() -> None:
    shoal("service", "update", "--publish-rm", "80", "web")
    shoal("service", "scale", "web=6")
    assert len(running("web")) == 6
    shoal("service", "update", "--image", f"{HELLO}:2", "web")
    assert {row["image"] for row in running("web")} == {f"{HELLO}:2"}
    shoal("service", "rm", "web")


def check_memory_kill_is_told() -> None:
    grow = "x=a; while :; do x=$x$x; done"
    shoal(
        *("service", "create", "-d", "--name", "greedy", "--restart-condition", "none"),
        *("--limit-memory", "16M", f"{HELLO}:1", "sh", "-c", grow),
    )
    deadline = time.monotonic() + 120
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


CHECKS: tuple[Callable[[], None], ...] = (
    check_version_2,
    check_playground,
    check_create_with_limits,
    check_http_on_both_hosts,
    check_ping_between_hosts,
    check_scale_update_remove,
    check_memory_kill_is_told,
    check_nothing_is_left,
)


def main() -> None:
    os.environ["HOME"] = "/run"
    failed = 0
    for check in CHECKS:
        started = time.monotonic()
        try:
            check()
            verdict = "ok"
        except Exception as error:  # a failed check must not hide the ones after it
            failed += 1
            verdict = f"FAILED: {error!r}"
        print(f"{check.__name__}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    if failed:
        for log in sorted(Path("/var/lib/shoal-playground").glob("*/logs/*.log")):
            print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]), flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed", flush=True)


if __name__ == "__main__":
    main()

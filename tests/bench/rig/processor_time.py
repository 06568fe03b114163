"""Processor time of everything that one side of a comparison does: on a busy machine firmer than seconds.

A cgroup is made for each side; what this process starts while it is `inside` belongs to it, with all its descendants.
Containers are moved elsewhere by their runtimes, to a cgroup that is counted too.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.runtime.kernel.cgroup_layout import parse_layout

CLOSE_SECONDS = 10.0


class Account:
    """Processor time of one side. `close` is for when all its processes have ended."""

    def __init__(self, name: str) -> None:
        layout = parse_layout(Path("/proc/self/mountinfo").read_text())
        mount = layout.controllers.get("cpuacct", layout.unified)
        assert mount is not None, "this host has no cgroups"
        self._mount = mount
        self._home = mount / _own_cgroup(Path("/proc/self/cgroup").read_text()).lstrip("/")
        self._own = mount / f"shoal-account-{name}-{os.getpid()}"
        self._counted = [self._own]
        self._own.mkdir()

    def count(self, cgroup: str) -> None:
        """Count a cgroup by its absolute name, whether it exists yet or not: below it are the side's containers."""
        self._counted.append(self._mount / cgroup.lstrip("/"))

    @contextmanager
    def inside(self) -> Generator[None]:
        """What this process starts meanwhile is counted, and this process itself."""
        self._own.joinpath("cgroup.procs").write_text("0")
        try:
            yield
        finally:
            self._home.joinpath("cgroup.procs").write_text("0")

    def seconds(self) -> float:
        """Used so far, on all processors together."""
        return sum(map(_used, self._counted))

    def close(self) -> None:
        """Remove the cgroup, as soon as the last process is gone."""
        deadline = time.monotonic() + CLOSE_SECONDS
        while (self._own / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._own.rmdir()


def _own_cgroup(text: str) -> str:
    """The name in /proc/<pid>/cgroup (cgroups(7)) of the hierarchy that counts processor time."""
    by_controller = {
        controller: name
        for line in text.splitlines()
        for _, controllers, name in [line.split(":", 2)]
        for controller in controllers.split(",")
    }
    return by_controller.get("cpuacct", by_controller.get("", "/"))


def _used(cgroup: Path) -> float:
    try:
        if (cgroup / "cpuacct.usage").exists():
            return int((cgroup / "cpuacct.usage").read_text()) / 1e9
        fields = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6
    except FileNotFoundError:
        return 0.0

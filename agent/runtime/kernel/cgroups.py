"""Reads, kills and removes the cgroups of containers, on version 1 and version 2."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.usage_counters import read_counters
from shoal.api.v1.streams_pb2 import UsageCounters

FREEZE_SECONDS = 5.0
"""For processes in calls that cannot be interrupted, such as to a file server that does not answer."""

_FREEZE_AGAIN_SECONDS = 0.02
"""Version 1 never finishes if a process forks at the wrong moment; another attempt may."""


@dataclass(frozen=True)
class ContainerStats:
    """Resource usage of a container.

    Attributes:
        cpu_ns: CPU time since its start, nanoseconds.
        memory_bytes: charged memory less reclaimable page cache (inactive files), as in `docker stats`.
        pids: processes and threads now.
    """

    cpu_ns: int
    memory_bytes: int
    pids: int


class Cgroups:
    """The cgroups below one parent, each named by its task.

    Args:
        layout: of this host.
        parent: absolute name, "/shoal/<node id>".
    """

    def __init__(self, *, layout: CgroupLayout, parent: str) -> None:
        self._layout = layout
        self._parent = parent

    def name(self, task_id: str) -> str:
        """Absolute cgroup name of a task's container."""
        return f"{self._parent}/{task_id}"

    def tasks(self) -> frozenset[str]:
        """Tasks that have a cgroup in any hierarchy."""
        return frozenset(
            entry.name
            for directory in self._layout.directories(self._parent)
            if directory.is_dir()
            for entry in os.scandir(directory)
            if entry.is_dir(follow_symlinks=False)
        )

    def oom_kills(self, task_id: str) -> int:
        """Number of processes that the kernel killed because of the memory limit; 0 if the cgroup is gone."""
        file = "memory.oom_control" if self._layout.version == 1 else "memory.events"
        return _keyed(self._read("memory", task_id, file), "oom_kill")

    def stats(self, task_id: str) -> ContainerStats | None:
        """The usage of a container; None if it has no cgroup."""
        if self._layout.version == 1:
            return self._stats_v1(task_id)
        cpu = self._read("cpu", task_id, "cpu.stat")
        if not cpu:
            return None
        memory = _number(self._read("memory", task_id, "memory.current"))
        cache = _keyed(self._read("memory", task_id, "memory.stat"), "inactive_file")
        pids = _number(self._read("pids", task_id, "pids.current"))
        return ContainerStats(_keyed(cpu, "usage_usec") * 1000, max(0, memory - cache), pids)

    def _stats_v1(self, task_id: str) -> ContainerStats | None:
        cpu = self._read("cpuacct", task_id, "cpuacct.usage")
        if not cpu:
            return None
        memory = _number(self._read("memory", task_id, "memory.usage_in_bytes"))
        cache = _keyed(self._read("memory", task_id, "memory.stat"), "total_inactive_file")
        return ContainerStats(
            _number(cpu), max(0, memory - cache), _number(self._read("pids", task_id, "pids.current"))
        )

    def counters(self, task_id: str) -> UsageCounters:
        """What the kernel has counted of a container, without its links; zeros if it has no cgroup."""
        return read_counters(lambda controller, file: self._read(controller, task_id, file), self._layout.version)

    def remove_cpu_quota(self, task_id: str) -> None:
        """Let it use as much processor time as there is. No error if the cgroup is gone."""
        directory = self._layout.directory("cpu", self.name(task_id))
        name, text = ("cpu.cfs_quota_us", "-1") if self._layout.version == 1 else ("cpu.max", "max")
        if directory is not None and directory.joinpath(name).exists():
            directory.joinpath(name).write_text(text)

    def is_frozen(self, task_id: str) -> bool:
        """Whether its processes are frozen, or about to be; not so if the cgroup is gone."""
        if self._layout.version == 1:
            return self._read("freezer", task_id, "freezer.state").strip() in ("FROZEN", "FREEZING")
        return self._read("freezer", task_id, "cgroup.freeze").strip() == "1"

    def freeze(self, task_id: str) -> bool:
        """Freeze all its processes; False if the kernel could not within `FREEZE_SECONDS`, then they continue.

        Raises:
            OSError: the host has no freezer, or the cgroup is gone.
        """
        self._write_freezer(task_id, frozen=True)
        started = tried = time.monotonic()
        while not self._is_settled(task_id):
            now = time.monotonic()
            if now > started + FREEZE_SECONDS:
                self.thaw(task_id)
                return False
            if self._layout.version == 1 and now > tried + _FREEZE_AGAIN_SECONDS:
                self.thaw(task_id)
                time.sleep(0.001)
                self._write_freezer(task_id, frozen=True)
                tried = now
            time.sleep(0.001)
        return True

    def thaw(self, task_id: str) -> None:
        """Let its processes continue. No error if they are not frozen, or the cgroup is gone."""
        if self.is_frozen(task_id):
            with suppress(FileNotFoundError):
                self._write_freezer(task_id, frozen=False)

    def _is_settled(self, task_id: str) -> bool:
        if self._layout.version == 1:
            return self._read("freezer", task_id, "freezer.state").strip() == "FROZEN"
        return _keyed(self._read("freezer", task_id, "cgroup.events"), "frozen") == 1

    def _write_freezer(self, task_id: str, *, frozen: bool) -> None:
        directory = self._layout.directory("freezer", self.name(task_id))
        if directory is None:
            raise OSError(errno.EOPNOTSUPP, "this host has no freezer cgroup")
        if self._layout.version == 1:
            directory.joinpath("freezer.state").write_text("FROZEN" if frozen else "THAWED")
        else:
            directory.joinpath("cgroup.freeze").write_text("1" if frozen else "0")

    def processes(self, task_id: str) -> frozenset[int]:
        """Processes in the container's cgroup and in its child cgroups."""
        found: set[int] = set()
        for top in self._layout.directories(self.name(task_id)):
            for directory in _below(top):
                found.update(int(line) for line in _text(directory / "cgroup.procs").split())
        return frozenset(found - {0})

    def kill(self, task_id: str) -> frozenset[int]:
        """Kill every process in the cgroup, frozen or not; returns those that it found, so that the caller can check
        again."""
        found = self.processes(task_id)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.thaw(task_id)  # on version 1 a frozen process does not even die
        return found

    def remove(self, task_id: str) -> bool:
        """Remove the cgroup in every hierarchy, deepest first; False if one is still busy."""
        return self._remove_all(self.name(task_id))

    def remove_parent(self) -> None:
        """Remove the parent, and its own parents if they are empty."""
        name = self._parent
        while name.strip("/") and self._remove_all(name, only_empty=True):
            name = name.rpartition("/")[0]

    def _remove_all(self, name: str, *, only_empty: bool = False) -> bool:
        gone = True
        for top in self._layout.directories(name):
            for directory in [top] if only_empty else reversed(list(_below(top))):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    gone = False
        return gone

    def _read(self, controller: str, task_id: str, file: str) -> str:
        directory = self._layout.directory(controller, self.name(task_id))
        return _text(directory / file) if directory is not None else ""


def _below(top: Path) -> Iterator[Path]:
    """`top` and all directories below, parents first; nothing if it does not exist."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                waiting.extend(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        yield path


def _text(path: Path) -> str:
    """Content of a cgroup file; empty if the cgroup is gone."""
    try:
        return path.read_text()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return ""
        raise


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0


def _keyed(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0

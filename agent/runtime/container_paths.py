"""Paths of a container's files, and the record by which a restarted agent recovers it."""

import json
import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from agent.runtime.kernel.linux import spread_subdirectories

TMPFS_SOURCE = "shoal-runtime"
"""Identifies the tmpfs that is mounted on the run directory."""

KEPT_MARK = "container"
"""A file in the bundle of a task that uses a container's kept root file system, from before it is mounted."""

_BASE_DIRECTORIES = ("dev", "etc", "proc", "sys")
_BASE_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")


@dataclass(frozen=True)
class ContainerPaths:
    """Paths below the two directories.

    Attributes:
        run: on a tmpfs of its own: bundles, the OCI runtime's state, exit files. Lost at a reboot, as containers are.
        state: on disk: what containers write, logs, compiled filters.

    Nothing of a task outlives it but its log. What is kept of a container, whose runs are tasks, is in `kept`, which
    nothing that removes tasks ever touches.
    """

    run: Path
    state: Path

    @cached_property
    def bundles(self) -> Path:
        """One directory per container."""
        return self.run / "bundles"

    @cached_property
    def exits(self) -> Path:
        """Where conmon writes exit codes, one file per container."""
        return self.run / "exits"

    @cached_property
    def logs_root(self) -> Path:
        """One directory per container, grouped as in `uppers`."""
        return self.state / "logs"

    @cached_property
    def uppers(self) -> Path:
        """Upper and work directories of overlays, one directory per container, in groups that are spread over the
        disk."""
        return self.state / "upper"

    @cached_property
    def kept(self) -> Path:
        """What is kept of containers, one directory per container, grouped as in `uppers`."""
        return self.state / "containers"

    @cached_property
    def drafts(self) -> Path:
        """Such directories that are not complete yet."""
        return self.state / "drafts"

    @cached_property
    def base(self) -> Path:
        """The lowest layer of every root file system: mount points for a container's own mounts."""
        return self.state / "base"

    @cached_property
    def trash(self) -> Path:
        """Files to be deleted in the background."""
        return self.state / "trash"

    @cached_property
    def filters(self) -> Path:
        """Compiled seccomp filters."""
        return self.state / "seccomp"

    def bundle(self, task_id: str) -> Path:
        """The OCI bundle."""
        return self.bundles / task_id

    def upper(self, task_id: str) -> Path:
        """Holds `u`, the overlay's upper directory, `w`, its work directory, and `v`, volumes without a name."""
        return self.uppers / task_id[-1] / task_id

    def tasks_with_upper(self) -> frozenset[str]:
        """Tasks that have such a directory."""
        return _grouped(self.uppers)

    def kept_root(self, container_id: str) -> Path:
        """As `upper`, and `logs`, the one log over all runs, and `root.json`; see `kept_roots.py`."""
        return self.kept / container_id[-1] / container_id

    def containers_with_root(self) -> frozenset[str]:
        """Containers that have such a directory."""
        return _grouped(self.kept)

    def upper_of(self, task_id: str, container_id: str) -> Path:
        """The container's if it has an id of its own (not empty), otherwise the task's."""
        return self.kept_root(container_id) if container_id else self.upper(task_id)

    def logs_of(self, task_id: str, container_id: str) -> Path:
        """The log directory; as `upper_of`."""
        return self.kept_root(container_id) / "logs" if container_id else self.logs(task_id)

    def logs(self, task_id: str) -> Path:
        """Holds `log` and the files `log-1`, `log-2`, …, of which the last is the same: see `log_files.py`."""
        return self.logs_root / task_id[-1] / task_id

    def tasks_with_logs(self) -> frozenset[str]:
        """Tasks that have such a directory."""
        return _grouped(self.logs_root)

    def runtime_root(self, program: str) -> Path:
        """State directory of one OCI runtime, "crun" or "runc"."""
        return self.run / program

    @cached_property
    def programs(self) -> Path:
        """Links to the in-memory copies of programs that are executed instead of the files on disk."""
        return self.run / "programs"

    def create(self) -> None:
        """Create all directories."""
        for path in (self.bundles, self.exits, self.programs, self.runtime_root("crun"), self.runtime_root("runc")):
            path.mkdir(parents=True, exist_ok=True)
        for path in (self.logs_root, self.uppers, self.kept, self.drafts, self.trash, self.filters):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.logs_root, self.uppers, self.kept):
            spread_subdirectories(path)

    def create_base(self) -> None:
        """Create the lowest layer. The image's own files and directories hide it."""
        for name in _BASE_DIRECTORIES:
            self.base.joinpath(name).mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in _BASE_FILES:
            self.base.joinpath(name).touch(mode=0o644)


@dataclass(frozen=True)
class OciProgram:
    """An OCI runtime: its name, "crun" or "runc", and its path."""

    name: str
    path: Path


def _grouped(root: Path) -> frozenset[str]:
    return frozenset(entry.name for group in os.scandir(root) for entry in os.scandir(group))


@dataclass(frozen=True)
class ContainerRecord:
    """Written into a bundle before the container's program starts.

    Attributes:
        program: the OCI runtime that created it.
        pid: of the first process, and `pid_started` its start time in clock ticks since boot (proc(5), stat, field
            22), so that another process with the same number is not mistaken for it. The same for conmon.
        log_bytes, log_files: the user's limits of a log file's size and of their number: the product limits the log.
            Both are 0 if no log is kept.
        container_id: of the container whose root file system and log it uses; empty: the task's own.
        layers: directories of its image's layers, the topmost first.
    """

    task_id: str
    program: str
    pid: int
    pid_started: int
    conmon_pid: int
    conmon_started: int
    started_ms: int
    log_bytes: int
    log_files: int
    container_id: str = ""
    layers: tuple[str, ...] = ()


def write_record(bundle: Path, record: ContainerRecord) -> None:
    """Write the record atomically."""
    draft = bundle / "record.half"
    draft.write_text(json.dumps(vars(record)))
    draft.rename(bundle / "record.json")


def read_record(bundle: Path) -> ContainerRecord | None:
    """The record; None if there is none: the start was not completed. Fields of newer versions are ignored,
    and those that an older one did not write have their defaults."""
    try:
        stored = json.loads((bundle / "record.json").read_bytes())
    except FileNotFoundError:
        return None
    stored["layers"] = tuple(stored.get("layers", ()))
    return ContainerRecord(**{each.name: stored[each.name] for each in fields(ContainerRecord) if each.name in stored})

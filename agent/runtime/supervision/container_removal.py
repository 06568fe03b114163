"""Removes everything of a container from what is found on the host: processes, runtime state, cgroup, bundle, upper
directory, logs."""

import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from agent.runtime.container_paths import KEPT_MARK, ContainerPaths, read_record
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.processes import open_pidfd, process_start_time, reap, wait_pidfd
from shoal.errors import Unavailable
from shoal.fault_points.injection import fault
from shoal.tree_removal import delete_trees

_KILL_SECONDS = 10.0
_TRIES_OF_KEPT = 3
_log = logging.getLogger(__name__)


def remove_container(paths: ContainerPaths, cgroups: Cgroups, task_id: str, *, keep_logs: bool) -> None:
    """Remove a container, optionally keeping its logs. Idempotent; blocks while processes die.

    The task's upper directory is moved to the trash, which is emptied in the background. What is kept of a container is
    not a task's, and stays.

    Raises:
        Unavailable: a process cannot be killed or the cgroup stays busy; a later call may succeed.
    """
    bundle = paths.bundle(task_id)
    if bundle.exists():
        _kill_supervision(paths, cgroups, task_id)
        fault("agent.remove.supervision")
    _empty_cgroup(cgroups, task_id)
    fault("agent.remove.cgroup")
    for program in ("crun", "runc"):
        _delete(paths.runtime_root(program) / task_id)
    paths.exits.joinpath(task_id).unlink(missing_ok=True)
    fault("agent.remove.runtime-state")
    upper = paths.upper(task_id)
    if upper.exists():
        _move_to_trash(upper, paths.trash / f"{task_id}.{time.monotonic_ns()}")
    fault("agent.remove.upper")
    if not keep_logs:
        _delete(paths.logs(task_id))
    _delete(bundle)
    fault("agent.remove.bundle")


def remove_remains(paths: ContainerPaths, cgroups: Cgroups, task_id: str) -> None:
    """As `remove_container`, of one that is not complete. What cannot be removed now is logged: it keeps no other one
    from running; a start of its task tries again, as does the agent's next process."""
    is_kept = paths.bundle(task_id).joinpath(KEPT_MARK).exists()  # a slow disk may take its time to unmount it
    for left in reversed(range(_TRIES_OF_KEPT if is_kept else 1)):
        try:
            return remove_container(paths, cgroups, task_id, keep_logs=True)
        except (OSError, Unavailable) as error:
            if not left:
                _log.error("could not remove all that is left of task %s: %s", task_id, error)
    return None


def supervision_processes(paths: ContainerPaths) -> dict[int, str]:
    """conmon and OCI runtime processes of this agent's bundles, with the task's id."""
    prefix = os.fsencode(paths.bundles) + b"/"
    return {pid: task_id for pid, words in _command_lines() for task_id in _task_of(words, prefix)}


def _task_of(words: list[bytes], prefix: bytes) -> Iterator[str]:
    if Path(os.fsdecode(words[0])).name not in ("conmon", "crun", "runc"):
        return
    for word in words[1:]:
        if word.startswith(prefix):
            yield os.fsdecode(word[len(prefix) :].split(b"/")[0])
            return


def _command_lines() -> Iterator[tuple[int, list[bytes]]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                yield int(entry.name), Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue


def _kill_supervision(paths: ContainerPaths, cgroups: Cgroups, task_id: str) -> None:
    """Kill the container first: conmon then exits by itself. Without a record, kill all processes of the bundle."""
    record = read_record(paths.bundle(task_id))
    if record is None:
        _reap_conmon(paths.bundle(task_id) / "conmon.pid")
        for pid, owner in supervision_processes(paths).items():
            started = process_start_time(pid)
            if owner == task_id and started is not None:
                _kill(pid, started)
        _await_unmounted(paths, task_id)
        return
    cgroups.thaw(task_id)
    _kill(record.pid, record.pid_started)
    cgroups.kill(task_id)
    has_exited = _kill(record.conmon_pid, record.conmon_started, grace=1.0)
    if record.container_id and not has_exited:
        # It holds the overlay's last mount; the next run must not mount the same upper directory before that is gone.
        raise Unavailable(f"task {task_id}: its root file system is still being unmounted")


def _await_unmounted(paths: ContainerPaths, task_id: str) -> None:
    """Of a start that was not completed, on a container's kept root file system: conmon holds the overlay's last mount.

    Its command line is empty while it exits, so only its number tells of it.
    """
    bundle = paths.bundle(task_id)
    if not bundle.joinpath(KEPT_MARK).exists():
        return
    try:
        pid = int((bundle / "conmon.pid").read_text())
        is_conmon = Path(f"/proc/{pid}/comm").read_text().strip() == "conmon"
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    started = process_start_time(pid)
    pidfd = open_pidfd(pid, started) if is_conmon and started is not None else None
    if pidfd is None:
        return
    try:
        if not wait_pidfd(pidfd, _KILL_SECONDS):
            raise Unavailable(f"task {task_id}: its root file system is still being unmounted")
    finally:
        os.close(pidfd)


def _reap_conmon(pid_file: Path) -> None:
    """After a failed creation conmon exits by itself, as an orphan and so a child of this process: reap it."""
    try:
        pid = int(pid_file.read_text())
        child = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (FileNotFoundError, ValueError, ChildProcessError):
        return
    started = process_start_time(pid)
    if child is not None:
        os.waitpid(pid, 0)
    elif started is not None:
        _kill(pid, started, grace=1.0)


def _kill(pid: int, started: int, *, grace: float = 0.0) -> bool:
    """Kill exactly this process, after `grace` seconds in which it may exit by itself; wait for its exit.

    Whether it has exited. Its parent may not have reaped it yet: that takes as long as an init process likes.
    """
    pidfd = open_pidfd(pid, started)
    if pidfd is None:
        return True
    try:
        if grace and wait_pidfd(pidfd, grace):
            return True
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return wait_pidfd(pidfd, _KILL_SECONDS)
    except ProcessLookupError:
        return True
    finally:
        reap(pidfd)
        os.close(pidfd)


def _empty_cgroup(cgroups: Cgroups, task_id: str) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while not cgroups.remove(task_id):
        for pid in cgroups.kill(task_id):
            _reap_child(pid)
        if time.monotonic() > deadline:
            raise Unavailable(f"task {task_id}: could not kill processes {sorted(cgroups.processes(task_id))}")
        time.sleep(0.002)


def _reap_child(pid: int) -> None:
    """A killed process of the container is a child of this process if its supervisor has exited: reap it."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _move_to_trash(path: Path, into: Path) -> None:
    """On a full disk there may be no space for the new name: then the directory is deleted at once, which frees
    space."""
    try:
        path.rename(into)
    except OSError:
        delete_trees(path)


def _delete(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def has_more_than_logs(paths: ContainerPaths, cgroups: Cgroups, task_id: str) -> bool:
    """Whether anything except its log is left of a task."""
    left = (paths.bundle(task_id), paths.upper(task_id))
    return any(path.exists() for path in left) or task_id in cgroups.tasks()

"""Detects container exits by pidfd in the event loop: no thread and no timer per container."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.processes import open_pidfd, reap, wait_pidfd
from agent.runtime.supervision.exit_files import ExitFiles
from agent.worker.container_runtime import Exit

_log = logging.getLogger(__name__)

LOST_EXIT_CODE = 255
UNSUPERVISED = "its supervisor (conmon) was killed; output since then and the exit code are lost"
_CONMON_SECONDS = 5.0
_GRACE_SECONDS = 5.0
"""From SIGTERM to SIGKILL, for a container whose supervisor was killed."""


@dataclass
class _Watched:
    """A container and the pidfds of its two processes; None once that process has exited."""

    record: ContainerRecord
    first: int | None
    conmon: int | None
    code: int | None = None
    timer: asyncio.TimerHandle | None = None
    unsupervised: bool = False


class ExitWatcher:
    """Reports each container's exit exactly once.

    The exit is reported when conmon has exited too, so that the log is complete and the exit file written; of a
    container whose root file system is kept, when the exit file is there: see `exit_files.py`. A container
    whose conmon was killed has no log and no standard output any more: it is stopped (SIGTERM, five seconds later
    SIGKILL) and reported with exit code 255 and a message, whatever its program's exit code. If both have exited
    without an exit file, the code comes from waitpid(2), for which this process is a child subreaper, else it is 255.

    Args:
        on_exit: called from the event loop.
    """

    def __init__(
        self,
        *,
        paths: ContainerPaths,
        cgroups: Cgroups,
        clock: Callable[[], int],
        on_exit: Callable[[str, Exit], None],
    ) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._clock = clock
        self._on_exit = on_exit
        self._watched: dict[str, _Watched] = {}
        self._exit_files = ExitFiles(paths.exits)

    def add(self, record: ContainerRecord) -> Exit | None:
        """Watch a container; or return its exit if both processes have exited already, which is then not reported.

        Between the exit of the first process and the exit file there is a moment in which only conmon is running.
        """
        first = open_pidfd(record.pid, record.pid_started)
        conmon = open_pidfd(record.conmon_pid, record.conmon_started)
        if _has_ended(first) and _has_ended(conmon):
            return self._outcome(record, _reap_and_close(first, conmon))
        watched = _Watched(record, first, conmon)
        self._watched[record.task_id] = watched
        loop = asyncio.get_running_loop()
        if first is not None:
            loop.add_reader(first, self._first_ended, watched)
        if conmon is not None:
            loop.add_reader(conmon, self._conmon_ended, watched)
        if first is None:
            self._bound_wait(watched)
        elif conmon is None:
            self._stop_unsupervised(watched)
        return None

    def send_signal(self, task_id: str, number: int) -> None:
        """Signal the first process. No error if it has exited."""
        watched = self._watched.get(task_id)
        if watched is not None and watched.first is not None:
            try:
                signal.pidfd_send_signal(watched.first, number)
            except ProcessLookupError:
                return

    def is_running(self, task_id: str) -> bool:
        """Whether its exit has not been reported yet."""
        return task_id in self._watched

    def close(self) -> None:
        """Stop watching; the containers keep running."""
        for watched in self._watched.values():
            self._release(watched)
        self._watched.clear()
        self._exit_files.close()

    def _first_ended(self, watched: _Watched) -> None:
        assert watched.first is not None
        # Returns the code only if conmon has exited and this process has inherited its child.
        watched.code = reap(watched.first)
        _close(watched.first)
        watched.first = None
        if watched.timer is not None:
            watched.timer.cancel()
        if watched.conmon is None:
            self._report(watched)
        else:
            self._bound_wait(watched)

    def _bound_wait(self, watched: _Watched) -> None:
        """conmon exits soon after its container; one that hangs must not delay the report forever."""
        watched.timer = asyncio.get_running_loop().call_later(_CONMON_SECONDS, self._report, watched)
        if watched.record.container_id:
            self._exit_files.expect(watched.record.task_id, lambda: self._report(watched))

    def _conmon_ended(self, watched: _Watched) -> None:
        assert watched.conmon is not None
        reap(watched.conmon)
        _close(watched.conmon)
        watched.conmon = None
        if watched.first is None:
            self._report(watched)
        else:
            self._stop_unsupervised(watched)

    def _stop_unsupervised(self, watched: _Watched) -> None:
        """Stop an unsupervised container: its output is lost, and writing output may kill it anyway."""
        assert watched.first is not None
        if wait_pidfd(watched.first, 0) or self._exit_file(watched.record.task_id).exists():
            return  # conmon has completed; the exit of the first process is about to be reported
        _log.warning("task %s: %s; stopping it", watched.record.task_id, UNSUPERVISED)
        watched.unsupervised = True
        self.send_signal(watched.record.task_id, signal.SIGTERM)
        watched.timer = asyncio.get_running_loop().call_later(
            _GRACE_SECONDS, self.send_signal, watched.record.task_id, signal.SIGKILL
        )

    def _report(self, watched: _Watched) -> None:
        if self._watched.pop(watched.record.task_id, None) is None:
            return
        self._release(watched)
        self._exit_files.forget(watched.record.task_id)
        end = self._outcome(watched.record, watched.code)
        if watched.unsupervised and not end.oom_killed:
            end = Exit(LOST_EXIT_CODE, False, end.at_ms, UNSUPERVISED)
        self._on_exit(watched.record.task_id, end)

    def _outcome(self, record: ContainerRecord, waited: int | None) -> Exit:
        file = self._exit_file(record.task_id)
        try:
            code, at_ms = int(file.read_text()), file.stat().st_mtime_ns // 1_000_000
        except (FileNotFoundError, ValueError):
            code, at_ms = LOST_EXIT_CODE if waited is None else waited, self._clock()
        lost = waited is None and code == LOST_EXIT_CODE and not file.exists()
        oom_killed = code != 0 and self._cgroups.oom_kills(record.task_id) > 0
        message = "its supervisor (conmon) was killed; the exit code is lost" if lost else ""
        return Exit(code, oom_killed, at_ms, "killed by the kernel: memory limit exceeded" if oom_killed else message)

    def _exit_file(self, task_id: str) -> Path:
        return self._paths.exits / task_id

    def _release(self, watched: _Watched) -> None:
        for descriptor in (watched.first, watched.conmon):
            if descriptor is not None:
                _close(descriptor)
        watched.first = watched.conmon = None
        if watched.timer is not None:
            watched.timer.cancel()


def _has_ended(pidfd: int | None) -> bool:
    """Whether the process has exited, reaped or not."""
    return pidfd is None or wait_pidfd(pidfd, 0)


def _reap_and_close(first: int | None, conmon: int | None) -> int | None:
    """The exit code of the first process if it was a child of this process."""
    code = reap(first) if first is not None else None
    if conmon is not None:
        reap(conmon)
    for pidfd in (first, conmon):
        if pidfd is not None:
            os.close(pidfd)
    return code


def _close(descriptor: int) -> None:
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)

"""Follows conmon's log rotation for all containers, in one thread driven by inotify."""

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from agent.runtime.kernel.rename_watch import RenameWatch
from agent.runtime.logs.log_files import CURRENT, LogFileLimits
from agent.runtime.logs.rotated_log import RotatedLog
from agent.runtime.supervision.conmon import reopen_log

_log = logging.getLogger(__name__)

_SCAN_SECONDS = 1.0
"""Interval of scanning all logs: for events that the kernel dropped, and conmons of earlier versions of the agent."""

_TRIES = 3
_PAUSE_SECONDS = 0.003
"""Delay after each round, so that a log at full speed costs the agent a few percent of a processor at most."""


_DONE: Future[None] = Future()
_DONE.set_result(None)


@dataclass
class _FollowedLog:
    log: RotatedLog
    bundle: Path
    watch: int | None
    has_failed: bool = False


class LogFollower:
    """Keeps the logs of running containers within their limits, and complete as far as it can follow."""

    def __init__(self) -> None:
        self._renames = RenameWatch(CURRENT)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._followed: dict[str, _FollowedLog] = {}
        self._by_watch: dict[int, _FollowedLog] = {}
        self._retries: dict[str, Callable[[], None]] = {}
        self._removals: dict[str, Future[None] | None] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following; the files stay, and conmon continues alone."""
        self._submit(self._close)
        self._thread.join()
        self._renames.close()
        os.close(self._wake)

    def add(self, task_id: str, directory: Path, sizes: LogFileLimits, *, bundle: Path) -> None:
        """Follow a log from now on.

        The thread is not woken at each start: the kernel wakes it as soon as there is something to follow, and it scans
        within a second anyway.
        """
        self._removals[task_id] = None
        watch: int | None = None
        with contextlib.suppress(OSError):  # the host's limit of watches is reached: scanning must suffice
            watch = self._renames.watch(directory)

        def add() -> None:
            try:
                added = self._followed[task_id] = _FollowedLog(RotatedLog(directory, sizes), bundle, watch)
            except FileNotFoundError:  # the task was removed meanwhile, or has no log
                return
            except OSError as error:
                _log.warning("not following the log in %s yet: %s", directory, error)
                self._retries[task_id] = add
                return
            if watch is not None:
                self._by_watch[watch] = added
            self._catch_up(added)

        self._commands.put(add)

    def remove(self, task_id: str) -> Future[None]:
        """Stop following a log; the future is done once nothing is created in its directory any more.

        It is called at a container's exit and at its removal: the second call does not wake the thread. Like `add`, it
        belongs to one thread.
        """
        if (known := self._removals.get(task_id, _DONE)) is not None:
            return known
        done = self._removals[task_id] = Future()

        def drop() -> None:
            self._retries.pop(task_id, None)
            try:
                if (dropped := self._followed.pop(task_id, None)) is not None:
                    self._unfollow(dropped)
            finally:
                self._removals.pop(task_id, None)
                done.set_result(None)  # the removal of a container waits for it

        self._submit(drop)
        return done

    def _unfollow(self, dropped: _FollowedLog) -> None:
        self._catch_up(dropped)
        if dropped.watch is not None:
            self._by_watch.pop(dropped.watch, None)
            self._renames.unwatch(dropped.watch)

    def _submit(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        os.eventfd_write(self._wake, 1)

    def _close(self) -> None:
        self._closing = True

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._renames, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        scanned = time.monotonic()
        while not self._closing:
            poll.poll(_SCAN_SECONDS * 1000)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            had_events = False
            with _errors_logged():
                had_events = self._read_events()
            while not self._commands.empty():
                with _errors_logged():
                    self._commands.get()()
            if time.monotonic() - scanned >= _SCAN_SECONDS:
                with _errors_logged():
                    self._scan_all()
                scanned = time.monotonic()
            if had_events:
                time.sleep(_PAUSE_SECONDS)

    def _read_events(self) -> bool:
        """Process the kernel's events; whether there were any."""
        events = self._renames.read()
        if events is None:
            for followed in self._followed.values():
                self._catch_up(followed)
            return True
        for watch, rotations in events.items():
            named = self._by_watch.get(watch)
            if named is not None and rotations:
                self._link_current(named, rotations)
        return bool(events)

    def _catch_up(self, followed: _FollowedLog) -> None:
        """Follow a log by its files, and skip the kernel's events for it: each file must be counted once."""
        for _ in range(_TRIES):
            self._link_current(followed, None)
            self._link_others(followed)
            if followed.log.is_linked():
                return

    def _link_others(self, known: _FollowedLog) -> None:
        for watch, rotations in (self._renames.read() or {}).items():
            other = self._by_watch.get(watch)
            if other is not None and other is not known and rotations:
                self._link_current(other, rotations)

    def _scan_all(self) -> None:
        for followed in self._followed.values():
            with _first_error_logged(followed):
                size = followed.log.size()
                # For conmons without a size limit, and those whose file an earlier version of the agent has removed.
                if (size is None and followed.log.directory.is_dir()) or (size or 0) > followed.log.sizes.bytes:
                    reopen_log(followed.bundle)
            if followed.watch is None:
                self._link_current(followed, None)
        late, self._retries = self._retries, {}
        for add in late.values():
            add()

    def _link_current(self, followed: _FollowedLog, rotations: int | None) -> None:
        with _first_error_logged(followed):
            followed.log.link_current(rotations)
            followed.has_failed = False


@contextlib.contextmanager
def _first_error_logged(followed: _FollowedLog) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not followed.has_failed:
            _log.warning("lines may be missing from the log in %s: %s", followed.log.directory, error)
        followed.has_failed = True


@contextlib.contextmanager
def _errors_logged() -> Iterator[None]:
    """An error of one log must not affect others: the thread follows all of them, and removals of tasks wait for it."""
    try:
        yield
    except Exception:
        _log.exception("error while following container logs")
        time.sleep(_SCAN_SECONDS)  # it may occur again at once

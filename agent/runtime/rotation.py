"""Follows conmon from file to file of all logs, in one thread that the kernel wakes."""

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

from agent.runtime.conmon import reopen_log
from agent.runtime.inotify import Renames
from agent.runtime.kept_log import KeptLog
from agent.runtime.log_pieces import CURRENT, PieceSizes

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""Between looks at all logs: for what the kernel could not tell, and conmons of earlier versions of the agent."""

_TRIES = 3
_PAUSE_SECONDS = 0.003
"""After each round, so that a log at full speed costs the agent a few percent of a processor at most."""


_DONE: Future[None] = Future()
_DONE.set_result(None)


@dataclass
class _Followed:
    log: KeptLog
    bundle: Path
    watch: int | None
    troubled: bool = False


class LogKeeper:
    """Keeps the logs of running containers below their bounds, and whole as far as it can follow."""

    def __init__(self) -> None:
        self._renames = Renames(CURRENT)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._followed: dict[str, _Followed] = {}
        self._by_watch: dict[int, _Followed] = {}
        self._late: dict[str, Callable[[], None]] = {}
        self._ends: dict[str, Future[None] | None] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The files stay; conmon goes on alone."""
        self._order(self._close)
        self._thread.join()
        self._renames.close()
        os.close(self._wake)

    def add(self, task_id: str, directory: Path, sizes: PieceSizes, *, bundle: Path) -> None:
        """Follow a log from now on.

        The thread is not woken for that, at each start: the kernel does as soon as there is something to follow, and it
        looks within a second anyway.
        """
        self._ends[task_id] = None
        watch: int | None = None
        with contextlib.suppress(OSError):  # the host's bound of watches is met: looking has to do
            watch = self._renames.watch(directory)

        def add() -> None:
            try:
                added = self._followed[task_id] = _Followed(KeptLog(directory, sizes), bundle, watch)
            except FileNotFoundError:  # the task was removed meanwhile, or keeps no log
                return
            except OSError as error:
                _log.warning("the log in %s is not followed yet: %s", directory, error)
                self._late[task_id] = add
                return
            if watch is not None:
                self._by_watch[watch] = added
            self._catch_up(added)

        self._orders.put(add)

    def drop(self, task_id: str) -> Future[None]:
        """Follow it no more; done when nothing is going to be made in its directory any more.

        A container ends and is removed: the second call wakes nobody. Like `add`, it belongs to one thread.
        """
        if (known := self._ends.get(task_id, _DONE)) is not None:
            return known
        done = self._ends[task_id] = Future()

        def drop() -> None:
            self._late.pop(task_id, None)
            try:
                if (dropped := self._followed.pop(task_id, None)) is not None:
                    self._leave(dropped)
            finally:
                self._ends.pop(task_id, None)
                done.set_result(None)  # who removes a container waits for it

        self._order(drop)
        return done

    def _leave(self, dropped: _Followed) -> None:
        self._catch_up(dropped)
        if dropped.watch is not None:
            self._by_watch.pop(dropped.watch, None)
            self._renames.forget(dropped.watch)

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.put(order)
        os.eventfd_write(self._wake, 1)

    def _close(self) -> None:
        self._closing = True

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._renames, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        looked = time.monotonic()
        while not self._closing:
            poll.poll(_LOOK_SECONDS * 1000)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            has_news = False
            with _surviving():
                has_news = self._note_told()
            while not self._orders.empty():
                with _surviving():
                    self._orders.get()()
            if time.monotonic() - looked >= _LOOK_SECONDS:
                with _surviving():
                    self._look_at_all()
                looked = time.monotonic()
            if has_news:
                time.sleep(_PAUSE_SECONDS)

    def _note_told(self) -> bool:
        """Follow where the kernel says so; whether it said anything."""
        told = self._renames.read()
        if told is None:
            for followed in self._followed.values():
                self._catch_up(followed)
            return True
        for watch, rotations in told.items():
            named = self._by_watch.get(watch)
            if named is not None and rotations:
                self._note(named, rotations)
        return bool(told)

    def _catch_up(self, followed: _Followed) -> None:
        """Follow by what the files say, and pass over what the kernel tells of that: it counts each file once."""
        for _ in range(_TRIES):
            self._note(followed, None)
            self._note_others(followed)
            if followed.log.is_named():
                return

    def _note_others(self, known: _Followed) -> None:
        for watch, rotations in (self._renames.read() or {}).items():
            other = self._by_watch.get(watch)
            if other is not None and other is not known and rotations:
                self._note(other, rotations)

    def _look_at_all(self) -> None:
        for followed in self._followed.values():
            with _tried(followed):
                size = followed.log.size()
                # conmons that know no bound are told, as are those whose file an earlier version had taken away.
                if (size is None and followed.log.directory.is_dir()) or (size or 0) > followed.log.sizes.bytes:
                    reopen_log(followed.bundle)
            if followed.watch is None:
                self._note(followed, None)
        late, self._late = self._late, {}
        for add in late.values():
            add()

    def _note(self, followed: _Followed, rotations: int | None) -> None:
        with _tried(followed):
            followed.log.note(rotations)
            followed.troubled = False


@contextlib.contextmanager
def _tried(followed: _Followed) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not followed.troubled:
            _log.warning("the log in %s is not kept whole: %s", followed.log.directory, error)
        followed.troubled = True


@contextlib.contextmanager
def _surviving() -> Iterator[None]:
    """One log's trouble is not the others': the thread keeps all of them, and whoever removes a task waits for it."""
    try:
        yield
    except Exception:
        _log.exception("the logs of containers are not all followed")
        time.sleep(_LOOK_SECONDS)  # it may come again at once

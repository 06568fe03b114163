"""Keeps the kernel's cgroup attach lock in its fast path while containers start.

Moving a process to another cgroup takes a lock that excludes every fork on the host, and is optimized for forks: after
a quiet period, the first one to take it waits 8 to 15 ms for all processors, and blocks all others meanwhile
(kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c). crun would wait like this for nearly every container.
For some 10 ms after its release the lock is cheap to take. So it is taken as soon as a start is expected, in a thread
of
its own and during other work, and again every few milliseconds until no container is starting: by moving this process
to the cgroup that it is already in.
"""

import logging
import os
import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from agent.runtime.kernel.cgroup_layout import CgroupLayout

PERIOD_SECONDS = 0.005
LINGER_SECONDS = 0.05
"""Time after the last start: the next one often follows soon."""

_OWN = Path("/proc/self/cgroup")
_log = logging.getLogger(__name__)


class StartLock(Protocol):
    """Prepares the kernel for container starts."""

    def expect_start(self) -> None:
        """Announce an upcoming start."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """While a container starts."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class NoStartLock:
    """Does nothing: crun waits for the kernel's lock."""

    def expect_start(self) -> None:
        """Nothing to prepare."""

    def hold(self) -> AbstractContextManager[None]:
        """Nothing to hold."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to stop."""


class CgroupAttachLock:
    """Takes the lock repeatedly during `hold`, and for a moment afterwards. Thread-safe.

    If this host does not allow it, nothing is done: starts are slower.
    """

    def __init__(self, layout: CgroupLayout) -> None:
        self._layout = layout
        self._users = 0
        self._until = 0.0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="attach lock", daemon=True)
        self._thread.start()

    def expect_start(self) -> None:
        """Announce an upcoming start."""
        with self._changed:
            self._until = time.monotonic() + LINGER_SECONDS
            self._changed.notify()

    @contextmanager
    def hold(self) -> Generator[None]:
        """Keep the lock in its fast path while a container starts."""
        with self._changed:
            self._users += 1
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._until = time.monotonic() + LINGER_SECONDS

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait_until_needed():
                self._acquire_while_needed()
        except OSError as error:
            _log.info("cgroup lock optimization is off, container starts take some milliseconds longer: %s", error)

    def _wait_until_needed(self) -> bool:
        """Wait until the lock is needed; False after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._needed())
            return not self._closed

    def _needed(self) -> bool:
        return self._users > 0 or time.monotonic() < self._until

    def _acquire_while_needed(self) -> None:
        """The own cgroup is read again for each burst of starts: an administrator may move this process."""
        file = own_cgroup_procs(self._layout, _OWN.read_text(errors="surrogateescape"))
        if file is None:
            raise FileNotFoundError(f"no mounted cgroup hierarchy found in {_OWN}")
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            while self._needed() and not self._closed:
                os.write(descriptor, b"0")
                time.sleep(PERIOD_SECONDS)
        finally:
            os.close(descriptor)


def own_cgroup_procs(layout: CgroupLayout, own: str) -> Path | None:
    """`cgroup.procs` of a process's cgroup, in the first hierarchy of /proc/<pid>/cgroup that is mounted.

    None if no hierarchy is mounted. Source: cgroups(7). Pure.
    """
    for line in own.splitlines():
        _, controllers, name = line.split(":", 2)
        mount = layout.controllers.get(controllers.split(",")[0]) if controllers else layout.unified
        if mount is not None:
            return mount / name.lstrip("/") / "cgroup.procs"
    return None

"""Keeps the kernel's cgroup attach lock in its fast path while containers start.

Whoever moves a process to another cgroup takes a lock against every fork on the host, made so that forks are cheap:
after a while of quiet, the first to take it waits 8 to 15 ms for all processors, and holds up all others meanwhile
(kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c). crun would wait so for nearly every container. For some
10 ms after it was let go the lock is free to take. So it is taken once as soon as a start is in sight, in a thread
of its own and while there is other work, and again every few milliseconds until no container starts any more: by
moving this process to the cgroup in which it is.
"""

import logging
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.runtime.kernel.cgroup_layout import CgroupLayout

PERIOD_SECONDS = 0.005
LINGER_SECONDS = 0.05
"""After the last start: the next one often comes soon."""

_OWN = Path("/proc/self/cgroup")
_log = logging.getLogger(__name__)


class CgroupAttachLock:
    """Takes the lock again and again while it is `hold`, and for a moment afterwards. Safe from any thread.

    Where this host does not allow it, nothing is done: starts are slower by the wait.
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
        """A start is in sight."""
        with self._changed:
            self._until = time.monotonic() + LINGER_SECONDS
            self._changed.notify()

    @contextmanager
    def hold(self) -> Generator[None]:
        """While a container starts."""
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
        """End the thread."""
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
        """Wait until it is wanted; False when there is nothing to do any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._needed())
            return not self._closed

    def _needed(self) -> bool:
        return self._users > 0 or time.monotonic() < self._until

    def _acquire_while_needed(self) -> None:
        """Where this process is, is read anew for each run of starts: a host's administrator may move it."""
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
    """`cgroup.procs` of the cgroup in which a process is, in the first hierarchy of /proc/<pid>/cgroup that is mounted.

    None where there is none. Source: cgroups(7). Pure.
    """
    for line in own.splitlines():
        _, controllers, name = line.split(":", 2)
        mount = layout.controllers.get(controllers.split(",")[0]) if controllers else layout.unified
        if mount is not None:
            return mount / name.lstrip("/") / "cgroup.procs"
    return None

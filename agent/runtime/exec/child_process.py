"""A child process, awaited in the event loop."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from itertools import islice

from agent.runtime.kernel.processes import descendants, reap, wait_pidfd

_MAX_KILLED = 10_000
"""Limit of descendants to kill: the others are in the container, and end with it."""

_GRACE_SECONDS = 1.0
"""Time for a process to exit by itself after the one that it waits for was killed."""


@dataclass(frozen=True)
class ChildProcess:
    """A child of this process; nothing else waits for it while its container exists.

    Attributes:
        pidfd: closed by `terminate`.
    """

    pid: int
    pidfd: int

    async def wait(self) -> None:
        """Wait for its exit."""
        await wait_readable(self.pidfd)

    async def terminate(self) -> int:
        """Kill it and its descendants if it is still running; returns its exit code, or 128 + the signal's number."""
        if not wait_pidfd(self.pidfd, 0):
            # In a thread: there may be thousands, and /proc is read for each.
            await asyncio.to_thread(self.kill_descendants)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self.wait()
            kill(self.pid)
            await self.wait()
        code = reap(self.pidfd)
        os.close(self.pidfd)
        # None: already reaped by the removal of its container.
        return code if code is not None else 128 + signal.SIGKILL

    def kill_descendants(self) -> None:
        """Kill all current descendants."""
        for pid in list(islice(descendants(self.pid), _MAX_KILLED)):
            kill(pid)

    def kill(self) -> None:
        """Kill it with its descendants, without waiting. For processes that are not passed to `terminate`.

        It is stopped first: otherwise it would see its children die, and could start others, or exit by itself.
        """
        _send(self.pid, signal.SIGSTOP)
        self.kill_descendants()
        kill(self.pid)


async def wait_readable(descriptor: int) -> None:
    """Wait until a descriptor is readable: for a pidfd, until its process has exited."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def kill(pid: int) -> None:
    """Kill a process that may have exited."""
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

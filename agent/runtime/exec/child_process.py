"""A child process, awaited in the event loop."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from itertools import islice

from agent.runtime.kernel.processes import descendants
from agent.runtime.supervision.container_removal import reap, wait_pidfd

_MAX_KILLED = 10_000
"""Descendants looked for: the others are in the container and end with it, as its bound of processes is theirs."""

_GRACE_SECONDS = 1.0
"""For a process to end by itself once the one that it waits for was killed."""


@dataclass(frozen=True)
class ChildProcess:
    """A child of this process, that nobody else waits for while its container lasts.

    Attributes:
        pidfd: closed by `terminate`.
    """

    pid: int
    pidfd: int

    async def wait(self) -> None:
        """Returns when it has ended."""
        await wait_readable(self.pidfd)

    async def terminate(self) -> int:
        """Kill it and what it started where it still runs; its exit code, 128 + the number of the signal, if any."""
        if not wait_pidfd(self.pidfd, 0):
            # Apart from the event loop: there may be thousands, and /proc is read for each.
            await asyncio.to_thread(self.kill_descendants)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self.wait()
            kill(self.pid)
            await self.wait()
        code = reap(self.pidfd)
        os.close(self.pidfd)
        # Whoever removes a container kills and waits for what is in it.
        return code if code is not None else 128 + signal.SIGKILL

    def kill_descendants(self) -> None:
        """All that are its descendants now."""
        for pid in list(islice(descendants(self.pid), _MAX_KILLED)):
            kill(pid)

    def kill(self) -> None:
        """With what it started. For one that `terminate` was not called of.

        It is stopped first: it would see its children end, and could start others, or end in another way than killed.
        """
        _send(self.pid, signal.SIGSTOP)
        self.kill_descendants()
        kill(self.pid)


async def wait_readable(descriptor: int) -> None:
    """A pidfd is readable when its process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def kill(pid: int) -> None:
    """SIGKILL, to one that may have ended."""
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

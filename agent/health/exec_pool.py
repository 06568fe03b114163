"""Runs health check programs with bounded concurrency; slow containers do not delay others.

A program starts in a slot. If it does not exit within a second, it is slow: it releases the slot and continues without
one, and the next programs of its container start in separate slots for slow containers. So a hanging container delays
others only once, and by a part of a second. A container has one program at a time, and no further one while a program
cannot be killed (a process in uninterruptible sleep, proc(5), state D).
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from shoal.errors import Unavailable

SLOTS = 32
"""Concurrent starts: each takes some 20 ms of a processor."""

SLOW_SLOTS = 16
SLOW_AFTER_SECONDS = 1.0
KILL_SECONDS = 5.0
"""Time for a killed program to exit."""


@dataclass(frozen=True)
class ExecResult:
    """Result of a program in a container: its exit code and the end of its output."""

    code: int
    output: bytes


class ExecRunner(Protocol):
    """Runs programs in containers."""

    async def execute(self, task_id: str, command: tuple[str, ...]) -> ExecResult:
        """Run a program as the container's user; on cancellation, it and its descendants are killed.

        Raises:
            NotFound: the container is not running. Unavailable: the host failed.
        """
        ...


class ExecPool:
    """Runs all health check programs of one agent."""

    def __init__(self, programs: ExecRunner) -> None:
        self._programs = programs
        self._slots = asyncio.Semaphore(SLOTS)
        self._slow_slots = asyncio.Semaphore(SLOW_SLOTS)
        self._slow: set[str] = set()
        self._unkillable: dict[str, asyncio.Task[ExecResult]] = {}

    async def exec(self, task_id: str, command: tuple[str, ...], seconds: float) -> ExecResult:
        """Run a program. Waiting for a slot does not count towards the timeout.

        Raises:
            TimeoutError: it did not exit within `seconds`, and was killed.
            Unavailable: an earlier program cannot be killed, or as `ExecRunner.execute`. NotFound: likewise.
        """
        if task_id in self._unkillable:
            raise Unavailable("the program of a previous check could not be killed")
        running: asyncio.Task[ExecResult] | None = None
        try:
            async with self._slow_slots if task_id in self._slow else self._slots:
                running = asyncio.create_task(self._programs.execute(task_id, command), name=f"check of {task_id}")
                await asyncio.wait([running], timeout=min(seconds, SLOW_AFTER_SECONDS))
            if await self._wait_for_exit(task_id, running, seconds - SLOW_AFTER_SECONDS):
                return running.result()
        finally:
            if running is not None and not running.done():
                await self._kill(task_id, running)
        raise TimeoutError

    def forget(self, task_id: str) -> None:
        """The container is not checked any more."""
        self._slow.discard(task_id)

    async def _wait_for_exit(self, task_id: str, running: asyncio.Task[ExecResult], seconds: float) -> bool:
        """Wait for the rest of the time, without a slot."""
        if running.done():
            self._slow.discard(task_id)
        else:
            self._slow.add(task_id)
            await asyncio.wait([running], timeout=max(0.0, seconds))
        return running.done()

    async def _kill(self, task_id: str, running: asyncio.Task[ExecResult]) -> None:
        """Kill a program; remember it as long as it is alive."""

        def gone(ended: asyncio.Task[ExecResult]) -> None:
            self._unkillable.pop(task_id, None)
            if not ended.cancelled():
                ended.exception()  # nothing awaits it any more

        running.cancel()
        self._unkillable[task_id] = running
        running.add_done_callback(gone)
        await asyncio.wait([running], timeout=KILL_SECONDS)

"""Runs health check programs with bounded concurrency; slow containers do not delay others.

A program gets a slot to start in. One that does not end within a second hangs, or is slow: it gives the slot back and
goes on without, and the next ones of its container start in slots of their own, apart from those of the quick. So the
others wait for a container that hangs once, and for a part of a second. A container has one program at a time, and none
more while one cannot be killed (a process in an uninterruptible sleep, proc(5), state D).
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from shoal.errors import Unavailable

SLOTS = 32
"""Programs that start at the same time: each costs some 20 ms of a processor."""

SLOW_SLOTS = 16
SLOW_AFTER_SECONDS = 1.0
KILL_SECONDS = 5.0
"""For a program that was killed to be gone."""


@dataclass(frozen=True)
class ExecResult:
    """How a program ended that was run in a container: its exit code and the end of what it wrote."""

    code: int
    output: bytes


class ExecRunner(Protocol):
    """Running programs in containers."""

    async def execute(self, task_id: str, command: tuple[str, ...]) -> ExecResult:
        """Run a program in the container as the container's user; when cancelled, it and what it started is killed.

        Raises:
            NotFound: the container does not run. Unavailable: the host refused.
        """
        ...


class ExecPool:
    """All programs of health checks of one agent."""

    def __init__(self, programs: ExecRunner) -> None:
        self._programs = programs
        self._slots = asyncio.Semaphore(SLOTS)
        self._slow_slots = asyncio.Semaphore(SLOW_SLOTS)
        self._slow: set[str] = set()
        self._unkillable: dict[str, asyncio.Task[ExecResult]] = {}

    async def exec(self, task_id: str, command: tuple[str, ...], seconds: float) -> ExecResult:
        """Run one. Waiting for a slot does not count.

        Raises:
            TimeoutError: it did not end within `seconds`, and was killed.
            Unavailable: that of an earlier check cannot be killed, or as `ExecRunner.execute`. NotFound: as that.
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
        """The container is checked no more."""
        self._slow.discard(task_id)

    async def _wait_for_exit(self, task_id: str, running: asyncio.Task[ExecResult], seconds: float) -> bool:
        """In the rest of the time, without a slot."""
        if running.done():
            self._slow.discard(task_id)
        else:
            self._slow.add(task_id)
            await asyncio.wait([running], timeout=max(0.0, seconds))
        return running.done()

    async def _kill(self, task_id: str, running: asyncio.Task[ExecResult]) -> None:
        """Kill it; remember it while it lives on."""

        def gone(ended: asyncio.Task[ExecResult]) -> None:
            self._unkillable.pop(task_id, None)
            if not ended.cancelled():
                ended.exception()  # nobody asks any more

        running.cancel()
        self._unkillable[task_id] = running
        running.add_done_callback(gone)
        await asyncio.wait([running], timeout=KILL_SECONDS)

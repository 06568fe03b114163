"""Programs of health checks, so run that one container's do not hold up another's.

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

SLOTS_OF_SLOW = 16
SLOW_SECONDS = 1.0
KILL_SECONDS = 5.0
"""For a program that was killed to be gone."""


@dataclass(frozen=True)
class Execution:
    """How a program ended that was run in a container: its exit code and the end of what it wrote."""

    code: int
    output: bytes


class Programs(Protocol):
    """Running programs in containers."""

    async def execute(self, task_id: str, words: tuple[str, ...]) -> Execution:
        """Run a program in the container as the container's user; when cancelled, it and what it started is killed.

        Raises:
            NotFound: the container does not run. Unavailable: the host refused.
        """
        ...


class Executions:
    """All programs of health checks of one agent."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._slots = asyncio.Semaphore(SLOTS)
        self._slots_of_slow = asyncio.Semaphore(SLOTS_OF_SLOW)
        self._slow: set[str] = set()
        self._left: dict[str, asyncio.Task[Execution]] = {}

    async def run(self, task_id: str, words: tuple[str, ...], seconds: float) -> Execution:
        """Run one. Waiting for a slot does not count.

        Raises:
            TimeoutError: it did not end within `seconds`, and was killed.
            Unavailable: that of an earlier check cannot be killed, or as `Programs.execute`. NotFound: as that.
        """
        if task_id in self._left:
            raise Unavailable("the program of an earlier check cannot be killed")
        running: asyncio.Task[Execution] | None = None
        try:
            async with self._slots_of_slow if task_id in self._slow else self._slots:
                running = asyncio.create_task(self._programs.execute(task_id, words), name=f"check of {task_id}")
                await asyncio.wait([running], timeout=min(seconds, SLOW_SECONDS))
            if await self._has_ended(task_id, running, seconds - SLOW_SECONDS):
                return running.result()
        finally:
            if running is not None and not running.done():
                await self._end(task_id, running)
        raise TimeoutError

    def forget(self, task_id: str) -> None:
        """The container is checked no more."""
        self._slow.discard(task_id)

    async def _has_ended(self, task_id: str, running: asyncio.Task[Execution], seconds: float) -> bool:
        """In the rest of the time, without a slot."""
        if running.done():
            self._slow.discard(task_id)
        else:
            self._slow.add(task_id)
            await asyncio.wait([running], timeout=max(0.0, seconds))
        return running.done()

    async def _end(self, task_id: str, running: asyncio.Task[Execution]) -> None:
        """Kill it; remember it while it lives on."""

        def gone(ended: asyncio.Task[Execution]) -> None:
            self._left.pop(task_id, None)
            if not ended.cancelled():
                ended.exception()  # nobody asks any more

        running.cancel()
        self._left[task_id] = running
        running.add_done_callback(gone)
        await asyncio.wait([running], timeout=KILL_SECONDS)

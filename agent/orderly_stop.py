"""From SIGTERM to the end of the agent."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any


class OrderlyStop:
    """Runs the agent until it is told to stop, and lets it take leave before that."""

    def __init__(self) -> None:
        self._announce: Callable[[], Awaitable[None]] | None = None
        self._stopping: asyncio.Task[None] | None = None

    def announce_with(self, announce: Callable[[], Awaitable[None]]) -> None:
        """From now on call this first. It bounds its own time."""
        self._announce = announce

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run until completion, or until SIGTERM or SIGINT; a second signal does not wait for the announcement."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, task)
        with suppress(asyncio.CancelledError):
            await work()

    def _stop(self, task: asyncio.Task[Any]) -> None:
        if self._announce is None or self._stopping is not None:
            task.cancel()
            return
        self._stopping = asyncio.create_task(self._announce_and_cancel(self._announce, task), name="announcement")

    @staticmethod
    async def _announce_and_cancel(announce: Callable[[], Awaitable[None]], task: asyncio.Task[Any]) -> None:
        try:
            await announce()
        finally:
            task.cancel()

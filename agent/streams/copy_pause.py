"""Pauses containers while their files are read as of one moment."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from agent.runtime.rootfs.root_locks import ShardedLocks
from shoal.errors import NotFound, Refused


class Pausing(Protocol):
    """Pauses tasks and reports it; `agent.worker.worker.Worker` is one."""

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """Raises NotFound, Refused, Unavailable."""
        ...


class CopyPause:
    """Pauses of one agent. If the agent dies meanwhile, its next process lets the container continue.

    Args:
        task_of: the task of a running container, by the id of either; raises NotFound if it is not running.
    """

    def __init__(self, *, task_of: Callable[[str], str], tasks: Pausing) -> None:
        self._task_of = task_of
        self._tasks = tasks
        self._users: Counter[str] = Counter()
        self._locks = ShardedLocks()

    @asynccontextmanager
    async def during(self, own_id: str) -> AsyncGenerator[None]:
        """Its processes do nothing until the end of the context, then they continue; unless its user had paused it.

        Nothing happens to a container that is not running. A signal lets it continue earlier.

        Raises:
            Unavailable: it cannot be paused.
        """
        try:
            task_id = self._task_of(own_id)
        except NotFound:
            yield
            return
        is_ours = await self._pause(task_id)
        try:
            yield
        finally:
            if is_ours:
                await asyncio.shield(self._resume(task_id))

    async def _pause(self, task_id: str) -> bool:
        """Whether it continues when all who have asked for it are done; else its user resumes it, or it has exited."""
        async with self._locks.of(task_id):
            if task_id not in self._users:
                try:
                    await self._tasks.set_paused(task_id, True, briefly=True)
                except (NotFound, Refused):
                    return False
                except BaseException:  # a cancellation among them: it may be paused by now
                    await self._set_resumed(task_id)
                    raise
            self._users[task_id] += 1
            return True

    async def _resume(self, task_id: str) -> None:
        async with self._locks.of(task_id):
            self._users -= Counter((task_id,))
            if task_id not in self._users:
                await self._set_resumed(task_id)

    async def _set_resumed(self, task_id: str) -> None:
        with suppress(NotFound, Refused):  # it has exited, or a signal has resumed it
            await self._tasks.set_paused(task_id, False)

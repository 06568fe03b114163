"""Before its stop signal: no client is led to a task any more, and those that were have their answers.

Nothing of it is kept: after a restart of the agent it begins again. Each wait is bounded, so that neither a node that
does not answer nor a connection that nobody closes keeps a task from ending.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from agent.worker.seams import Exit, Running, Sockets
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup

WITHDRAWAL_SECONDS = 5.0
"""Longest wait for the managers' word that every node has withdrawn the task."""
QUIET_SECONDS = 1.0
"""Longest wait, after that, for the connections that clients have open to end."""
POLL_SECONDS = 0.02

_log = logging.getLogger(__name__)


class Drain:
    """One task's.

    Args:
        look: what the container of a process has open; raises Unavailable.
    """

    def __init__(self, look: Callable[[int], Awaitable[Sockets]]) -> None:
        self._look = look
        self._done = False

    def is_due(self, task: Task, state: int) -> bool:
        """Whether clients may still be led to it: it served, and others know an address of it."""
        return not self._done and state == TaskState.RUNNING and len(task.addresses) > 0

    async def run(
        self, wake: asyncio.Event, pid: int, task: Callable[[], Task], found: Callable[[], Running | Exit | None]
    ) -> None:
        """Wait until every node has withdrawn it and its clients are gone, or until it has ended.

        Args:
            wake: set whenever one of the following two may have changed.
            task: as the managers want it now.
            found: what the host has of it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAWAL_SECONDS):
                while not task().drained and isinstance(found(), Running):
                    await wake.wait()
                    wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                while isinstance(found(), Running) and await self._has_clients(pid):  # noqa: ASYNC110  (nothing tells)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True

    async def _has_clients(self, pid: int) -> bool:
        try:
            return (await self._look(pid)).clients > 0
        except Unavailable as error:
            _log.warning("It is not known which connections are open, so none is waited for: %s", error)
            return False


async def either(work: Coroutine[None, None, None], watch: Coroutine[None, None, None]) -> None:
    """Run both until the first has come to its end, and give the other up."""
    async with TaskGroup() as group:
        tasks = [group.create_task(work), group.create_task(watch)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

"""Connection draining before the stop signal: no new connections, and open ones may complete.

In this order: the ports that it publishes on this node are withdrawn; every node that is not away tells that it has
withdrawn the task; answers with its address that clients keep grow old; connections that clients have open end. Nothing
of it is kept: after a restart of the agent it begins again. Each wait is bounded, so that neither a node that does not
answer nor a connection that nobody closes keeps a task from ending.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress

from agent.worker.interfaces import Exit, Networks, Running
from agent.worker.shutdown.stop_policy import DrainPolicy
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup

WITHDRAWAL_SECONDS = 30.0
"""Longest wait for the managers' word that every node has withdrawn the task. A silent node is DOWN after 7 s and is
waited for no more; this is for one that lives and cannot change its datapath, and for managers that are away."""
POLL_SECONDS = 0.02

_log = logging.getLogger(__name__)


class ConnectionDrain:
    """One task's.

    Args:
        wake: set whenever what is wanted of the task, or what the host has of it, may have changed.
    """

    def __init__(self, networks: Networks, wake: asyncio.Event) -> None:
        self._networks = networks
        self._wake = wake
        self._done = False

    def is_due(self, task: Task, state: int) -> bool:
        """Whether clients may still be led to it: it served, and others know an address or a port of it."""
        return not self._done and state == TaskState.RUNNING and len(task.addresses) + len(task.ports) > 0

    async def run(
        self, policy: DrainPolicy, pid: int, task: Callable[[], Task], observed: Callable[[], Running | Exit | None]
    ) -> None:
        """Wait until no node leads clients to it and those that it has are gone, or until it has ended.

        Args:
            task: as the managers want it now.
            observed: what the host has of it.
        """
        await self._withdraw(task())
        await self._wait_while(
            WITHDRAWAL_SECONDS, lambda: _receives_traffic(task()) and isinstance(observed(), Running)
        )
        if policy.uses_dnsrr and task().addresses:
            await self._wait_while(self._networks.dns_ttl_seconds, lambda: isinstance(observed(), Running))
        with suppress(TimeoutError):
            async with asyncio.timeout(policy.timeout_seconds):
                while isinstance(observed(), Running) and await self._has_connections(pid):  # noqa: ASYNC110  (nothing tells)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True

    async def _wait_while(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Wait until it does not hold, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while condition():
                    await self._wake.wait()
                    self._wake.clear()

    async def _withdraw(self, task: Task) -> None:
        if not task.ports:
            return
        try:
            await self._networks.withdraw(task.id)
        except Unavailable as error:
            _log.warning("new connections may still reach ports of task %s until it has stopped: %s", task.id, error)

    async def _has_connections(self, pid: int) -> bool:
        try:
            return (await self._networks.sockets(pid)).connections > 0
        except Unavailable as error:
            _log.warning("cannot count open connections, not waiting for them: %s", error)
            return False


def _receives_traffic(task: Task) -> bool:
    """Whether other nodes may lead to it: those know of it that share a network with it."""
    return len(task.addresses) > 0 and not task.withdrawn


async def race(work: Coroutine[None, None, None], watch: Coroutine[None, None, None]) -> None:
    """Run both until the first has come to its end, and give the other up."""
    async with TaskGroup() as group:
        tasks = [group.create_task(work), group.create_task(watch)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

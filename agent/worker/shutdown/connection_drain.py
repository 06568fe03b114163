"""Connection draining before the stop signal: no new connections, and open ones may complete.

In this order: the ports that the task publishes on this node are withdrawn; every reachable node confirms that it has
withdrawn the task; DNS responses that clients have cached expire; open connections end. Progress is not persisted:
after a restart of the agent the drain starts again. Each wait is bounded, so that neither an unresponsive node nor an
open connection can keep a task from stopping.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from agent.worker.container_runtime import Exit, Running
from agent.worker.interfaces import Networks
from agent.worker.shutdown.stop_policy import DrainPolicy
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Unavailable

WITHDRAWAL_SECONDS = 30.0
"""Longest wait for the confirmation that every node has withdrawn the task. An unresponsive node is DOWN after 7 s and
is ignored from then on; this timeout is for nodes that cannot change their datapath, and for unreachable managers."""
POLL_SECONDS = 0.02

_log = logging.getLogger(__name__)


class ConnectionDrain:
    """The connection drain of one task.

    Args:
        wake: set whenever the task's assignment or its container may have changed.
    """

    def __init__(self, networks: Networks, wake: asyncio.Event) -> None:
        self._networks = networks
        self._wake = wake
        self._done = False

    def is_due(self, task: Task, state: int) -> bool:
        """Whether the task may receive connections: it is running, and has addresses or published ports. Containers of
        one's own are stopped at once, as their users know it of Docker."""
        may_receive = len(task.addresses) + len(task.ports) > 0 and not task.container_id
        return may_receive and not self._done and state == TaskState.RUNNING

    async def run(
        self, policy: DrainPolicy, pid: int, task: Callable[[], Task], observed: Callable[[], Running | Exit | None]
    ) -> None:
        """Wait until no node routes connections to the task and open ones have ended, or until its container has
        exited.

        Args:
            task: its current assignment.
            observed: its container on the host.
        """
        await self._withdraw(task())
        await self._wait_while(
            WITHDRAWAL_SECONDS, lambda: _receives_traffic(task()) and isinstance(observed(), Running)
        )
        if policy.uses_dnsrr and task().addresses:
            await self._wait_while(self._networks.dns_ttl_seconds, lambda: isinstance(observed(), Running))
        with suppress(TimeoutError):
            async with asyncio.timeout(policy.timeout_seconds):
                while isinstance(observed(), Running) and await self._has_connections(pid):  # noqa: ASYNC110  (no event)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True

    async def _wait_while(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Wait while the condition holds, for a limited time."""
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
    """Whether other nodes may route connections to it, through a network that they share."""
    return len(task.addresses) > 0 and not task.withdrawn

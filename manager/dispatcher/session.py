"""One agent's session as the manager sees it: what was sent, and what waits to be sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from manager.dispatcher.needs import Needs, diff, is_empty, snapshot
from shoal.api.v1.dispatcher_pb2 import ManagerMessage
from shoal.errors import ShoalError


class AgentSession:
    """Gathers wake-ups while a message is on its way, so that a burst of changes is one increment.

    An idle session sends at once; nothing waits for a timer.
    """

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self._sent: Needs | None = None
        self._stale = True
        self._acknowledged = 0
        self._told = 0
        self._over = False
        self._reason: ShoalError | None = None
        self._wake = asyncio.Event()
        self._wake.set()

    def touch(self) -> None:
        """What the node needs may have changed."""
        self._stale = True
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """Batches up to this sequence are in etcd."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._wake.set()

    def end(self, reason: ShoalError | None) -> None:
        """End it: with an error for the agent, or (None) since the agent left. The first reason counts."""
        if not self._over:
            self._over, self._reason = True, reason
            self._wake.set()

    async def messages(self, needs: Callable[[str], tuple[Needs, int]]) -> AsyncGenerator[ManagerMessage]:
        """A snapshot, then increments and acknowledgements, until the end.

        Args:
            needs: what a node needs, and the store's revision of that.
        Raises:
            ShoalError: the reason given to `end`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._over:
                break
            if self._acknowledged > self._told:
                self._told = self._acknowledged
                yield ManagerMessage(status_ack=self._told)
            if self._stale and (message := self._assignments(*needs(self.node_id))) is not None:
                yield message
        if self._reason is not None:
            raise self._reason

    def _assignments(self, needs: Needs, revision: int) -> ManagerMessage | None:
        self._stale = False
        was, self._sent = self._sent, needs
        if was is None:
            return ManagerMessage(assignments=snapshot(needs, revision))
        increment = diff(was, needs, revision)
        return None if is_empty(increment) else ManagerMessage(assignments=increment)

"""Reads no more of a node than its budget has, and writes no more for it."""

import asyncio
from collections.abc import AsyncIterator, Callable

from manager.dispatcher.node_budget import NodeBudgets
from manager.dispatcher.session import AgentSession
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import AgentMessage

STEP_SECONDS = 0.5
_RECORDS = frozenset({"volumes", "network", "description"})
"""Kinds of messages that are a record, or a part of one."""


class Meter:
    """Of all nodes that have sessions here.

    Args:
        heard: told that a node is there while its messages wait: the silence is ours.
    """

    def __init__(self, *, view: View, heard: Callable[[str], None]) -> None:
        self._view = view
        self._heard = heard
        self._budgets = NodeBudgets(view.nodes)

    def opening(self, node_id: str) -> None:
        """A session is to be opened. Raises Busy: the node has had too much."""
        now = _now()
        self._budgets.of(node_id, now).opening(now)

    def opened(self, node_id: str, size: int) -> None:
        """A session begins with a description of so many bytes, which is written."""
        now = _now()
        self._budgets.of(node_id, now).spend(2 * size, now, records=1)

    async def messages(
        self, session: AgentSession, requests: AsyncIterator[AgentMessage]
    ) -> AsyncIterator[AgentMessage]:
        """The messages of a session, each when there is room for it.

        Raises:
            Exhausted: the node goes on asking more than it may.
        """
        node_id = session.node_id
        async for message in requests:
            self._heard(node_id)
            wait = self._spend(session, message)
            while wait > 0:
                step = min(wait, STEP_SECONDS)
                await asyncio.sleep(step)
                self._heard(node_id)
                wait -= step
            yield message

    def _spend(self, session: AgentSession, message: AgentMessage) -> float:
        now, size = _now(), message.ByteSize()
        budget = self._budgets.of(session.node_id, now)
        if message.WhichOneof("kind") in _RECORDS:
            return budget.spend(2 * size + self._recorded(session.node_id), now, records=1)
        return budget.spend(size, now, messages=0 if session.awaits(message.applied.sequence) else 1)

    def _recorded(self, node_id: str) -> int:
        """Bytes of the record that is written anew with what a message changes of it."""
        status = self._view.node_status.get(node_id)
        return status.ByteSize() if status is not None else 0


def _now() -> float:
    return asyncio.get_running_loop().time()

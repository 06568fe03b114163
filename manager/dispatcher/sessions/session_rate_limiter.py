"""Applies the rate limits of nodes to their sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable

from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.sessions.node_rate_limit import NodeRateLimits
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import AgentMessage

STEP_SECONDS = 0.5
_RECORDS = frozenset({"volumes", "network", "description"})
"""Kinds of messages that are written to a record."""


class SessionRateLimiter:
    """The rate limits of all nodes with sessions here.

    Args:
        heard: called with the node's id while its messages are delayed, so that it does not count as silent.
    """

    def __init__(self, *, view: View, heard: Callable[[str], None]) -> None:
        self._view = view
        self._heard = heard
        self._limits = NodeRateLimits(view.nodes)

    def check_open(self, node_id: str) -> None:
        """Call before a session is opened. Raises Busy: the node exceeded its rate."""
        now = _now()
        self._limits.of(node_id, now).check_open(now)

    def count_open(self, node_id: str, size: int) -> None:
        """Count the description of a new session, which is written."""
        now = _now()
        self._limits.of(node_id, now).spend(2 * size, now, records=1)

    async def messages(
        self, session: AgentSession, requests: AsyncIterator[AgentMessage]
    ) -> AsyncIterator[AgentMessage]:
        """The messages of a session, delayed to the node's rate.

        Raises:
            Exhausted: the node has exceeded its rate for too long.
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
        limit = self._limits.of(session.node_id, now)
        if message.WhichOneof("kind") in _RECORDS:
            return limit.spend(2 * size + self._record_bytes(session.node_id), now, records=1)
        return limit.spend(size, now, messages=0 if session.is_unapplied(message.applied.sequence) else 1)

    def _record_bytes(self, node_id: str) -> int:
        """Bytes of the record that is rewritten when a message changes a part of it."""
        status = self._view.node_status.get(node_id)
        return status.ByteSize() if status is not None else 0


def _now() -> float:
    return asyncio.get_running_loop().time()

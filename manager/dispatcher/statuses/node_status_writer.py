"""Writes node statuses to etcd: while one transaction is in flight, the next ones are batched.

When a manager starts, or another is lost, thousands of statuses are due within seconds; one transaction for each would
take longer on a slow disk than their nodes have to reconnect.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from manager.store.changes import PRESENT, Expect, expect, put
from manager.store.kinds import NODE, NODE_STATUS
from manager.store.record_store import BatchStore
from manager.store.transaction import batches
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, ShoalError, Unavailable

CONDITIONS = 2
"""For each record in a transaction, which may have as many conditions as operations."""

Decide = Callable[[NodeStatus | None], NodeStatus | None]
"""From the current status to the new one; None to write nothing."""


@dataclass(eq=False)
class _Request:
    node_id: str
    decide: Decide
    done: bool = False
    written: bool = False
    error: ShoalError | None = None


@dataclass
class _PendingWrite:
    """A status to write, the version that it replaces, and the requests that it serves."""

    status: NodeStatus
    version: int
    requests: list[_Request] = field(default_factory=list)


class NodeStatusWriter:
    """The first waiting request writes for all that wait.

    Args:
        fence: of the leader's term; None if this is not the leader's.
    """

    def __init__(self, *, store: BatchStore, fence: int | None = None) -> None:
        self._store = store
        self._fence = fence
        self._turn = asyncio.Lock()
        self._waiting: list[_Request] = []

    async def write(self, node_id: str, decide: Decide) -> bool:
        """Write what `decide` returns for the current status; whether anything was written.

        Raises:
            Conflict: the node was removed, or its status was written concurrently. Unavailable, Timeout: etcd is
                unavailable.
            Exhausted: the record is larger than etcd accepts.
            LeadershipLost: the term of the fence is over.
        """
        request = _Request(node_id, decide)
        self._waiting.append(request)
        try:
            async with self._turn:
                if not request.done:
                    await self._write_waiting()
        finally:
            if not request.done:  # cancelled: nothing waits for it any more, in flight or not
                request.done = True
                self._waiting = [each for each in self._waiting if each is not request]
        if request.error is not None:
            raise request.error
        return request.written

    async def _write_waiting(self) -> None:
        requests, self._waiting = self._waiting, []
        pending = self._pending_writes(requests)
        try:
            await self._write(pending)
        except ShoalError as error:
            _finish(pending, error)
        finally:
            self._waiting[:0] = [each for each in requests if not each.done]

    def _pending_writes(self, requests: list[_Request]) -> dict[str, _PendingWrite]:
        pending: dict[str, _PendingWrite] = {}
        for request in requests:
            write = pending.get(request.node_id)
            old = write.status if write is not None else self._store.tables.node_status.get(request.node_id)
            new = request.decide(old)
            if new is None:
                request.done = True
                continue
            if write is None:
                version = self._store.version_of(NODE_STATUS, request.node_id)
                write = pending[request.node_id] = _PendingWrite(new, version)
            write.status = new
            write.requests.append(request)
        return pending

    async def _write(self, pending: dict[str, _PendingWrite]) -> None:
        writes = [put(NODE_STATUS, node_id, write.status) for node_id, write in pending.items()]
        most = (self._store.max_operations - 1) // CONDITIONS  # one condition is the fence's
        for part in batches(writes, max_operations=most, max_bytes=self._store.max_bytes):
            await self._commit({write.identifier: pending[write.identifier] for write in part.writes})

    async def _commit(self, pending: dict[str, _PendingWrite]) -> None:
        """All in one transaction; if it is rejected, in halves, to find whose condition or size it was."""
        try:
            await self._store.commit(
                [put(NODE_STATUS, node_id, write.status) for node_id, write in pending.items()],
                expects=[each for node_id, write in pending.items() for each in _expects(node_id, write.version)],
                fence=self._fence,
            )
        except (Conflict, Exhausted, InvalidInput) as error:
            if len(pending) == 1 or isinstance(error, Unavailable):  # such as a full etcd
                _finish(pending, error)
                return
            half = list(pending)[: len(pending) // 2]
            await self._commit({node_id: pending[node_id] for node_id in half})
            await self._commit({node_id: write for node_id, write in pending.items() if node_id not in half})
        except ShoalError as error:
            _finish(pending, error)
        else:
            _finish(pending, None)


def _expects(node_id: str, version: int) -> tuple[Expect, Expect]:
    """The spec must exist, so that no status outlives its node; and the status must be unchanged."""
    return expect(NODE, node_id, PRESENT), expect(NODE_STATUS, node_id, version)


def _finish(pending: dict[str, _PendingWrite], error: ShoalError | None) -> None:
    for write in pending.values():
        for request in (each for each in write.requests if not each.done):
            request.done, request.written, request.error = True, error is None, error

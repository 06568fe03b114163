"""Writes node statuses to etcd: while one transaction is in flight, the next ones are batched.

When a manager starts, or another is lost, thousands of records are due within seconds; one transaction each, one after
the other, would take longer on a slow disk than their nodes have to come back.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from manager.dispatcher.records import Records
from manager.store.changes import PRESENT, Expect, expect, put
from manager.store.kinds import NODE, NODE_STATUS
from manager.store.transaction import batches
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, ShoalError, Unavailable

CONDITIONS = 2
"""Of each record in a transaction, which has as many conditions as operations."""

Decide = Callable[[NodeStatus | None], NodeStatus | None]
"""From the record as it is: what it is to be; None when nothing is to be written."""


@dataclass(eq=False)
class _Request:
    node_id: str
    decide: Decide
    done: bool = False
    written: bool = False
    error: ShoalError | None = None


@dataclass
class _PendingWrite:
    """What is to be written of one node, over which version, and for which requests."""

    status: NodeStatus
    version: int
    requests: list[_Request] = field(default_factory=list)


class NodeStatusWriter:
    """Whoever waits first writes for all who wait.

    Args:
        fence: of the term in which this writes; None: in none.
    """

    def __init__(self, *, store: Records, fence: int | None = None) -> None:
        self._store = store
        self._fence = fence
        self._turn = asyncio.Lock()
        self._waiting: list[_Request] = []

    async def write(self, node_id: str, decide: Decide) -> bool:
        """Write what is decided from the record as it is; whether anything was.

        Raises:
            Conflict: the node was removed, or someone else wrote of it just now. Unavailable, Timeout: etcd is away.
            Exhausted: the record is larger than etcd takes.
            Deposed: the term of the fence is over.
        """
        request = _Request(node_id, decide)
        self._waiting.append(request)
        try:
            async with self._turn:
                if not request.done:
                    await self._write_waiting()
        finally:
            if not request.done:  # cancelled: nobody waits for it any more, be it under way or not
                request.done = True
                self._waiting = [each for each in self._waiting if each is not request]
        if request.error is not None:
            raise request.error
        return request.written

    async def _write_waiting(self) -> None:
        taken, self._waiting = self._waiting, []
        plans = self._pending_writes(taken)
        try:
            await self._write(plans)
        except ShoalError as error:
            _finish(plans, error)
        finally:
            self._waiting[:0] = [each for each in taken if not each.done]

    def _pending_writes(self, requests: list[_Request]) -> dict[str, _PendingWrite]:
        plans: dict[str, _PendingWrite] = {}
        for request in requests:
            plan = plans.get(request.node_id)
            old = plan.status if plan is not None else self._store.tables.node_status.get(request.node_id)
            new = request.decide(old)
            if new is None:
                request.done = True
                continue
            if plan is None:
                version = self._store.version_of(NODE_STATUS, request.node_id)
                plan = plans[request.node_id] = _PendingWrite(new, version)
            plan.status = new
            plan.requests.append(request)
        return plans

    async def _write(self, plans: dict[str, _PendingWrite]) -> None:
        writes = [put(NODE_STATUS, node_id, plan.status) for node_id, plan in plans.items()]
        most = (self._store.max_operations - 1) // CONDITIONS  # one condition is the fence's
        for part in batches(writes, max_operations=most, max_bytes=self._store.max_bytes):
            await self._commit({write.identifier: plans[write.identifier] for write in part.writes})

    async def _commit(self, plans: dict[str, _PendingWrite]) -> None:
        """All in one transaction; when it is refused, in halves, until it is known whose condition or size it was."""
        try:
            await self._store.commit(
                [put(NODE_STATUS, node_id, plan.status) for node_id, plan in plans.items()],
                expects=[each for node_id, plan in plans.items() for each in _expects(node_id, plan.version)],
                fence=self._fence,
            )
        except (Conflict, Exhausted, InvalidInput) as error:
            if len(plans) == 1 or isinstance(error, Unavailable):  # which a full etcd is
                _finish(plans, error)
                return
            half = list(plans)[: len(plans) // 2]
            await self._commit({node_id: plans[node_id] for node_id in half})
            await self._commit({node_id: plan for node_id, plan in plans.items() if node_id not in half})
        except ShoalError as error:
            _finish(plans, error)
        else:
            _finish(plans, None)


def _expects(node_id: str, version: int) -> tuple[Expect, Expect]:
    """The spec must be there, so that no status outlives its node; and nobody else may have written meanwhile."""
    return expect(NODE, node_id, PRESENT), expect(NODE_STATUS, node_id, version)


def _finish(plans: dict[str, _PendingWrite], error: ShoalError | None) -> None:
    for plan in plans.values():
        for request in (each for each in plan.requests if not each.done):
            request.done, request.written, request.error = True, error is None, error

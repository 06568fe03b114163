"""Delays the stop of tasks until every node, on this and other managers, has withdrawn their endpoints."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.withdrawals.pending_withdrawals import (
    PendingWithdrawals,
    RouteState,
    Withdrawal,
    applied_through,
)
from manager.store.changes import put
from manager.store.kinds import APPLIED, TASK
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import ManagerApplied
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Conflict, Timeout, Unavailable

RETRY_SECONDS = 0.5
_log = logging.getLogger(__name__)


class WithdrawalCoordinator:
    """Runs on each manager. An agent waits for `Task.withdrawn` for a bounded time, so nothing here may block for good.

    Each manager knows what its own sessions have applied; the others read it from one record per manager, which is
    written only while a task waits for it.

    Args:
        sessions: by node id; live.
    """

    def __init__(self, *, store: RecordStore, manager_id: str, sessions: Mapping[str, AgentSession]) -> None:
        self._store = store
        self._manager_id = manager_id
        self._sessions = sessions
        self._index: AssignmentIndex | None = None
        self._pending = PendingWithdrawals()
        self._generation = 0
        self._newest = self._published = 0
        self._wake = asyncio.Event()

    def start(self, index: AssignmentIndex) -> None:
        """Use this index from now on."""
        self._index, self._pending = index, PendingWithdrawals()
        self.evaluate()

    def next_generation(self) -> int:
        """The generation of the index's next update."""
        self._generation += 1
        return self._generation

    def evaluate(self, *, all_tasks: bool = False) -> None:
        """After an update of the index: add tasks that must stop, and notify the nodes of tasks that no node routes to.

        Args:
            all_tasks: check all waiting tasks, since the state of nodes or of other managers changed.
        """
        if self._index is not None:
            new = self._pending.update(self._index.stopping, self._withdrawal)
            self._notify_nodes(
                self._pending.pop_withdrawn(list(self._pending.waiting) if all_tasks else new, self._route_state)
            )

    def node_applied(self, node_id: str) -> None:
        """A node of this manager has applied a message."""
        self._notify_nodes(self._pending.node_applied(node_id, self._route_state))

    def _notify_nodes(self, withdrawn: Iterable[str]) -> None:
        assert self._index is not None
        for task_id in withdrawn:
            if session := self._sessions.get(self._index.mark_withdrawn(task_id)):
                session.mark_dirty(self._generation, [("task", task_id)])
        self._wake.set()

    async def run(self) -> None:
        """Publish to other managers what this one's nodes have applied, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._publish_applied()
            except (Conflict, Unavailable, Timeout) as error:
                _log.info("cannot publish what the nodes have applied yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    def _withdrawal(self, task_id: str) -> Withdrawal:
        assert self._index is not None
        revision = self._store.version_of(TASK, task_id)
        self._newest = max(self._newest, revision)
        return Withdrawal(self._generation, revision, self._index.nodes_routing_to(task_id))

    def _route_state(self, node_id: str, withdrawal: Withdrawal) -> RouteState:
        if (session := self._sessions.get(node_id)) is not None:
            return RouteState.WITHDRAWN if session.has_applied(withdrawal.generation) else RouteState.POSSIBLE
        status = self._store.tables.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY:
            return RouteState.NODE_AWAY
        published = self._store.tables.applied.get(status.manager_id)
        has_applied = (
            status.manager_id != self._manager_id
            and published is not None
            and published.revision >= withdrawal.revision
        )
        return RouteState.WITHDRAWN if has_applied else RouteState.POSSIBLE

    async def _publish_applied(self) -> None:
        view = self._store.tables
        if self._newest <= self._published or not view.managers.keys() - {self._manager_id}:
            return
        revision = applied_through(self._pending.waiting.values(), self._oldest_unapplied(), self._newest)
        if revision > self._published:
            record = ManagerApplied(manager_id=self._manager_id, revision=revision)
            await self._store.commit([put(APPLIED, self._manager_id, record)])
            self._published = revision

    def _oldest_unapplied(self) -> int | None:
        """The first generation that a node of this manager may not have applied; None if there is none."""
        own = (
            node_id
            for node_id, status in self._store.tables.node_status.items()
            if status.state == NodeStatus.READY and status.manager_id == self._manager_id
        )
        sessions = [self._sessions.get(node_id) for node_id in own]
        found = [0 if session is None else session.oldest_unapplied for session in sessions]
        return min((each for each in found if each is not None), default=None)

"""Stops wait here until no node leads clients to the task: `drains` with the sessions, and with the other managers."""

import asyncio
import logging
from collections.abc import Mapping

from manager.dispatcher.catalogue import Catalogue
from manager.dispatcher.drains import Drains, Withdrawal, applied_through
from manager.dispatcher.records import Records
from manager.dispatcher.session import AgentSession
from manager.store.changes import put
from manager.store.kinds import APPLIED, TASK
from shoal.api.v1.cluster_pb2 import ManagerApplied
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Conflict, Timeout, Unavailable

RETRY_SECONDS = 0.5
_log = logging.getLogger(__name__)


class DrainKeeper:
    """One manager's. An agent waits for its word for a bounded time only, so nothing here may stop for good.

    Each manager knows of its own sessions what they have applied; the others learn it by one record a manager, written
    only while a task waits that concerns them.

    Args:
        sessions: by node id, kept up by the dispatcher.
    """

    def __init__(self, *, store: Records, manager_id: str, sessions: Mapping[str, AgentSession]) -> None:
        self._store = store
        self._manager_id = manager_id
        self._sessions = sessions
        self._catalogue: Catalogue | None = None
        self._drains = Drains()
        self._generation = 0
        self._newest = self._told = 0
        self._wake = asyncio.Event()

    def begin(self, catalogue: Catalogue) -> None:
        """Follow this catalogue from now on."""
        self._catalogue, self._drains = catalogue, Drains()
        self.look()

    def advance(self) -> int:
        """The number of the catalogue's next step."""
        self._generation += 1
        return self._generation

    def look(self) -> None:
        """After a change of the catalogue, or an answer of a node: tell the nodes of tasks that nobody leads to."""
        if self._catalogue is None:
            return
        self._drains.follow(self._catalogue.stopping, self._note)
        for task_id in self._drains.take_clear(self._is_clear):
            if session := self._sessions.get(self._catalogue.drain(task_id)):
                session.touch(self._generation, [("task", task_id)])
        self._wake.set()

    async def run(self) -> None:
        """Tell other managers how far this one's nodes are, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._tell()
            except (Conflict, Unavailable, Timeout) as error:
                _log.info("other managers are not told yet what the nodes have applied: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    def _note(self, task_id: str) -> Withdrawal:
        assert self._catalogue is not None
        revision = self._store.version_of(TASK, task_id)
        self._newest = max(self._newest, revision)
        return Withdrawal(self._generation, revision, self._catalogue.leading_to(task_id))

    def _is_clear(self, node_id: str, withdrawal: Withdrawal) -> bool:
        if (session := self._sessions.get(node_id)) is not None:
            return session.is_clear_of(withdrawal.generation)
        status = self._store.tables.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY:
            return True  # it leads nobody anywhere
        told = self._store.tables.applied.get(status.manager_id)
        return status.manager_id != self._manager_id and told is not None and told.revision >= withdrawal.revision

    async def _tell(self) -> None:
        view = self._store.tables
        if self._newest <= self._told or not view.managers.keys() - {self._manager_id}:
            return
        revision = applied_through(self._drains.waiting.values(), self._own_are_clear, self._newest)
        if revision > self._told:
            record = ManagerApplied(manager_id=self._manager_id, revision=revision)
            await self._store.commit([put(APPLIED, self._manager_id, record)])
            self._told = revision

    def _own_are_clear(self, generation: int) -> bool:
        own = (
            node_id
            for node_id, status in self._store.tables.node_status.items()
            if status.state == NodeStatus.READY and status.manager_id == self._manager_id
        )
        sessions = [self._sessions.get(node_id) for node_id in own]
        return all(session is not None and session.is_clear_of(generation) for session in sessions)

"""Stops wait here until no node leads clients to the task: `drains` with the sessions, and with the other managers."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from manager.dispatcher.catalogue import Catalogue
from manager.dispatcher.drains import Drains, Leads, Withdrawal, applied_through
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

    def look(self, *, at_all: bool = False) -> None:
        """After a change of the catalogue: note what is to stop, and tell the nodes of tasks that nobody leads to.

        Args:
            at_all: nodes came or went, or other managers told of theirs: look at all tasks that wait.
        """
        if self._catalogue is not None:
            new = self._drains.follow(self._catalogue.stopping, self._note)
            self._tell_nodes(self._drains.take_clear(list(self._drains.waiting) if at_all else new, self._leads))

    def hear(self, node_id: str) -> None:
        """A node of this manager has applied something."""
        self._tell_nodes(self._drains.note_clear(node_id, self._leads))

    def _tell_nodes(self, clear: Iterable[str]) -> None:
        assert self._catalogue is not None
        for task_id in clear:
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

    def _leads(self, node_id: str, withdrawal: Withdrawal) -> Leads:
        if (session := self._sessions.get(node_id)) is not None:
            return Leads.NEVER if session.is_clear_of(withdrawal.generation) else Leads.MAYBE
        status = self._store.tables.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY:
            return Leads.NOT_NOW
        told = self._store.tables.applied.get(status.manager_id)
        is_told = status.manager_id != self._manager_id and told is not None and told.revision >= withdrawal.revision
        return Leads.NEVER if is_told else Leads.MAYBE

    async def _tell(self) -> None:
        view = self._store.tables
        if self._newest <= self._told or not view.managers.keys() - {self._manager_id}:
            return
        revision = applied_through(self._drains.waiting.values(), self._unapplied(), self._newest)
        if revision > self._told:
            record = ManagerApplied(manager_id=self._manager_id, revision=revision)
            await self._store.commit([put(APPLIED, self._manager_id, record)])
            self._told = revision

    def _unapplied(self) -> int | None:
        """The first generation that a node of this manager may not have applied."""
        own = (
            node_id
            for node_id, status in self._store.tables.node_status.items()
            if status.state == NodeStatus.READY and status.manager_id == self._manager_id
        )
        sessions = [self._sessions.get(node_id) for node_id in own]
        found = [0 if session is None else session.oldest_unapplied for session in sessions]
        return min((each for each in found if each is not None), default=None)

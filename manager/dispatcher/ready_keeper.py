"""Keeps the records of nodes as this manager's sessions say: READY, and beside the manager that is on their host."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from manager.dispatcher.node_admission import NodeAdmission, removed
from manager.dispatcher.node_records import NodeRecords
from manager.dispatcher.records import Records
from manager.dispatcher.session import AgentSession
from manager.store import kinds
from manager.store.changes import Change
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.errors import Conflict, Exhausted, PermissionDenied, ShoalError, Timeout, Unavailable

_LOST = frozenset({NodeStatus.DOWN, NodeStatus.UNKNOWN})


class ReadyKeeper:
    """Looks at changes at once; what is to be written is written beside, so that assignments never wait for etcd.

    Args:
        sessions: by node id, kept up by the dispatcher.
        is_fresh: whether a node is heard, by its id.
    """

    def __init__(
        self,
        *,
        store: Records,
        records: NodeRecords,
        admission: NodeAdmission,
        manager_id: str,
        sessions: Mapping[str, AgentSession],
        is_fresh: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._records = records
        self._admission = admission
        self._manager_id = manager_id
        self._sessions = sessions
        self._is_fresh = is_fresh
        self._due: dict[AgentSession, None] = {}
        self._changed: dict[AgentSession, None] = {}
        self._wake = asyncio.Event()

    def look(self, changes: Iterable[Change]) -> None:
        """Changes of nodes whose session is here, and managers that came to their hosts."""
        for change in changes:
            if isinstance(change.new, Manager):
                self._look_beside(change.new)
            elif session := self._sessions.get(change.identifier):
                if change.kind.name == kinds.NODE.name and change.new is None:
                    session.end(PermissionDenied(removed(change.identifier)))
                elif isinstance(change.old, Node) and isinstance(change.new, Node):
                    if change.old.spec.identity != change.new.spec.identity:
                        self._changed[session] = None
                        self._wake.set()
                elif change.kind.name == kinds.NODE_STATUS.name:
                    self._look_at(session)

    async def run(self) -> None:
        """Write what `look` found, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            changed, self._changed = self._changed, {}
            await asyncio.gather(*map(self.write, due), *map(self._hold_against, changed))

    async def describe(self, session: AgentSession, about: NodeDescription) -> None:
        """The agent has described its node anew.

        Raises:
            ShoalError: as `NodeAdmission.admit`.
        """
        told = await self._admission.admit(session.node_id, about, session.told.peer)
        if self._sessions.get(session.node_id) is session:
            session.told = told
            await self.write(session)

    async def _hold_against(self, session: AgentSession) -> None:
        """A user has changed what the node is to others: what its agent said last may be so now, or not any more."""
        try:
            if session.told.said is not None:
                await self.describe(session, session.told.said)
        except ShoalError as error:
            session.end(error)

    async def write(self, session: AgentSession) -> None:
        """The session may be at an end by the time that etcd answers: then there is nobody to tell."""
        try:
            await self._records.ready(session.node_id, session.told)
        except (Conflict, Unavailable, Timeout, Exhausted) as error:
            # The agent begins again, and that writes it.
            session.end(Unavailable(f"the node's state could not be written: {error}"))

    def _look_beside(self, manager: Manager) -> None:
        """Nodes whose host a manager has come to get their role by it."""
        for session in self._sessions.values():
            if manager.host_address and session.told.peer == manager.host_address:
                self._renew(session)

    def _look_at(self, session: AgentSession) -> None:
        """Another manager may have written of a node whose session is here: it took it over, or believed it lost."""
        record = self._store.tables.node_status.get(session.node_id)
        if record is None:
            return
        if record.state == NodeStatus.READY and record.manager_id not in ("", self._manager_id):
            session.end(Conflict(f"node {session.node_id} has opened a session with manager {record.manager_id}"))
        elif record.state in _LOST and self._is_fresh(session.node_id):
            self._renew(session)

    def _renew(self, session: AgentSession) -> None:
        self._due[session] = None
        self._wake.set()

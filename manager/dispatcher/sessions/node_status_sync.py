"""Keeps the statuses of nodes in sync with this manager's sessions: READY, and which manager shares their host."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.sessions.node_admission import NodeAdmission, node_removed
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.store import kinds
from manager.store.changes import Change
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.errors import Conflict, Exhausted, PermissionDenied, ShoalError, Timeout, Unavailable

_LOST = frozenset({NodeStatus.DOWN, NodeStatus.UNKNOWN})


class NodeStatusSync:
    """Handles changes at once; writes are made by `run`, so that assignments never wait for etcd.

    Args:
        sessions: by node id; live.
        is_fresh: whether a node's heartbeats arrive, by its id.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        records: NodeStatusUpdates,
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

    def handle_changes(self, changes: Iterable[Change]) -> None:
        """Handle changes of nodes whose session is here, and of managers on their hosts."""
        for change in changes:
            if isinstance(change.new, Manager):
                self._update_colocated(change.new)
            elif session := self._sessions.get(change.identifier):
                if change.kind.name == kinds.NODE.name and change.new is None:
                    session.end(PermissionDenied(node_removed(change.identifier)))
                elif isinstance(change.old, Node) and isinstance(change.new, Node):
                    if change.old.spec.identity != change.new.spec.identity:
                        self._changed[session] = None
                        self._wake.set()
                elif change.kind.name == kinds.NODE_STATUS.name:
                    self._check_status(session)

    async def run(self) -> None:
        """Write what `handle_changes` found, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            changed, self._changed = self._changed, {}
            await asyncio.gather(*map(self.write, due), *map(self._recheck_identity, changed))

    async def update_description(self, session: AgentSession, description: NodeDescription) -> None:
        """The agent has sent a new description.

        Raises:
            ShoalError: as `NodeAdmission.admit`.
        """
        report = await self._admission.admit(session.node_id, description, session.report.peer_address)
        if self._sessions.get(session.node_id) is session:
            session.report = report
            await self.write(session)

    async def _recheck_identity(self, session: AgentSession) -> None:
        """A user has changed the node's identity: check the agent's last description against it."""
        try:
            if session.report.raw_description is not None:
                await self.update_description(session, session.report.raw_description)
        except ShoalError as error:
            session.end(error)

    async def write(self, session: AgentSession) -> None:
        """Write the node's status; a failure ends the session."""
        try:
            await self._records.mark_ready(session.node_id, session.report)
        except (Conflict, Unavailable, Timeout, Exhausted) as error:
            # The agent opens a new session, which writes it.
            session.end(Unavailable(f"cannot write the node's state: {error}"))

    def _update_colocated(self, manager: Manager) -> None:
        """A manager was started on the host of these nodes: update their statuses."""
        for session in self._sessions.values():
            if manager.host_address and session.report.peer_address == manager.host_address:
                self._schedule(session)

    def _check_status(self, session: AgentSession) -> None:
        """Another manager may have written the status of a node whose session is here, or marked it lost."""
        record = self._store.tables.node_status.get(session.node_id)
        if record is None:
            return
        if record.state == NodeStatus.READY and record.manager_id not in ("", self._manager_id):
            session.end(Conflict(f"node {session.node_id} is now connected to manager {record.manager_id}"))
        elif record.state in _LOST and self._is_fresh(session.node_id):
            self._schedule(session)

    def _schedule(self, session: AgentSession) -> None:
        self._due[session] = None
        self._wake.set()

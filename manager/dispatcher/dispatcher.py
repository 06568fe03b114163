"""Serves agents' sessions, and runs the background work for them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable
from contextlib import aclosing, suppress
from functools import partial
from itertools import count

from grpc import aio

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.assignments.dirty_records import RecordRef
from manager.dispatcher.assignments.file_delivery import FileDelivery
from manager.dispatcher.assignments.node_assignments import AssignmentChanges, is_empty
from manager.dispatcher.liveness.heartbeat_monitor import HeartbeatMonitor
from manager.dispatcher.liveness.heartbeats import HEARTBEAT_SECONDS, reconnect_seconds
from manager.dispatcher.liveness.restarts import RESTART_GRACE_SECONDS
from manager.dispatcher.liveness.session_attempts import Report, SessionAttempts, report_to_nobody
from manager.dispatcher.sessions import agent_input
from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.sessions.agent_stops import AgentStops
from manager.dispatcher.sessions.etcd_disconnection import EtcdDisconnection
from manager.dispatcher.sessions.first_message import read_hello
from manager.dispatcher.sessions.manager_set import manager_set
from manager.dispatcher.sessions.node_admission import NodeAdmission, node_removed
from manager.dispatcher.sessions.node_reports import NodeReports
from manager.dispatcher.sessions.node_status_sync import NodeStatusSync
from manager.dispatcher.sessions.session_openings import SessionOpenings
from manager.dispatcher.sessions.session_rate_limiter import SessionRateLimiter
from manager.dispatcher.sessions.session_rebalancer import SessionRebalancer
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.dispatcher.statuses.task_status_writer import Batch, Check, TaskStatusWriter, always_connected
from manager.dispatcher.withdrawals.withdrawal_coordinator import WithdrawalCoordinator
from manager.file_contents.content_codec import ContentCodec
from manager.interfaces import NowMs
from manager.store import kinds
from manager.store.changes import Change
from manager.store.record_store import BatchStore
from shoal.api.v1.dispatcher_pb2 import (
    AgentMessage,
    HeartbeatAck,
    ManagerMessage,
    NodeApplied,
    StatusBatch,
    Welcome,
)
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherServicer
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.errors import Busy, Conflict, Exhausted, PermissionDenied, ShoalError, Timeout, Unavailable
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller, caller_of
from shoal.rpc.host_port import peer_address
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

_MANAGER_KINDS = frozenset({kinds.MANAGER.name, kinds.REGISTERED_MANAGER.name, kinds.REMOVED_MANAGER.name})
"""Kinds of records that list the managers."""
_PEER_KINDS = frozenset({kinds.NODE_STATUS.name, kinds.APPLIED.name})
"""Kinds of records that say which nodes are ready, and what nodes of other managers have applied."""

Context = aio.ServicerContext[AgentMessage, ManagerMessage]


class Dispatcher(DispatcherServicer):
    """Serves the sessions of the agents that are connected to this manager. `run` must run while it serves.

    Args:
        manager_id: written into the status of the nodes that have their session here.
        now_ms: milliseconds since the Unix epoch.
        secrets: decrypts the secrets that a node's own tasks need.
        identify: the caller named in the certificate; a session is of that node only.
        restart_grace_seconds: how long a node is not lost whose agent has stopped in order; 0: as any other.
        check_etcd, check_etcd_recent, report_attempts: see `EtcdDisconnection`, `TaskStatusWriter`, `SessionAttempts`.
    """

    def __init__(
        self,
        *,
        store: BatchStore,
        manager_id: str,
        now_ms: NowMs,
        secrets: ContentCodec,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        restart_grace_seconds: float = RESTART_GRACE_SECONDS,
        identify: Callable[[Context], Caller] = caller_of,
        check_etcd: Check = always_connected,
        check_etcd_recent: Check = always_connected,
        report_attempts: Report = report_to_nobody,
    ) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._heartbeat_seconds = heartbeat_seconds
        self._restart_grace_seconds = restart_grace_seconds
        self._identify = identify
        self._index = AssignmentIndex(store.tables)
        self._file_delivery = FileDelivery(view=store.tables, secrets=secrets)
        self._node_statuses = NodeStatusUpdates(store=store, manager_id=manager_id, now_ms=now_ms)
        self._admission = NodeAdmission(store=store, records=self._node_statuses, now_ms=now_ms)
        self._reports = NodeReports(store=store, statuses=self._node_statuses, now_ms=now_ms)
        self._task_statuses = TaskStatusWriter(store=store, check_etcd=check_etcd_recent)
        self._heartbeats = HeartbeatMonitor(
            store=store,
            records=self._node_statuses,
            manager_id=manager_id,
            now_ms=now_ms,
            heartbeat_seconds=heartbeat_seconds,
            restart_grace_seconds=restart_grace_seconds,
            lost=self._end_lost,
        )
        self.attempts = SessionAttempts(
            view=store.tables,
            manager_id=manager_id,
            report=report_attempts,
            expect=self._heartbeats.expect,
            interval_seconds=heartbeat_seconds / 2,
        )
        self._stops = AgentStops(
            statuses=self._node_statuses, monitor=self._heartbeats, grace_seconds=restart_grace_seconds
        )
        self._sessions: dict[str, AgentSession] = {}
        self._disconnection = EtcdDisconnection(
            check=check_etcd, sessions=self._sessions, monitor=self._heartbeats, withdraw=self._task_statuses.withdraw
        )
        self._rate_limiter = SessionRateLimiter(view=store.tables, heard=self._heartbeats.heard)
        self._openings = SessionOpenings()
        self._status_sync = NodeStatusSync(
            store=store,
            records=self._node_statuses,
            admission=self._admission,
            manager_id=manager_id,
            sessions=self._sessions,
            is_fresh=self._heartbeats.is_fresh,
        )
        # Based on the time, so that numbers of sessions with another manager are never repeated here.
        self._sequences = count(now_ms() << 20)
        self._withdrawals = WithdrawalCoordinator(store=store, manager_id=manager_id, sessions=self._sessions)
        self._rebalancer = SessionRebalancer(view=store.tables, manager_id=manager_id, sessions=self._sessions)
        self._managers = manager_set(store.tables)
        self._running = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled: follow the store, commit statuses, watch heartbeats."""
        await self._store.ready()
        with self._store.follow() as batches:
            self._index = AssignmentIndex(self._store.tables)
            self._withdrawals.start(self._index)
            self._admission.load()
            self._heartbeats.start_grace()
            self._running.set()
            async with TaskGroup() as group:
                group.create_task(self._follow(batches), name="assignments")
                group.create_task(self._task_statuses.run(), name="statuses")
                group.create_task(self._heartbeats.run(), name="heartbeats")
                group.create_task(self.attempts.run(), name="attempts to open sessions")
                group.create_task(self._disconnection.run(), name="disconnection from etcd")
                group.create_task(self._status_sync.run(), name="states of nodes")
                group.create_task(self._withdrawals.run(), name="withdrawals")
                group.create_task(self._rebalancer.run(), name="session rebalancing")

    def applied(self, node_ids: Iterable[str]) -> list[NodeApplied]:
        """What the nodes among these that have their session here have applied."""
        newest = self._store.tables.revision
        held = [session for each in node_ids if (session := self._sessions.get(each)) is not None]
        revisions = {session.node_id: session.applied_revision(newest) for session in held}
        return [NodeApplied(node_id=each, revision=at, up_to_date=at == newest) for each, at in revisions.items()]

    async def Session(  # noqa: N802  # named by the protocol
        self, requests: AsyncIterator[AgentMessage], context: Context
    ) -> AsyncGenerator[ManagerMessage]:
        """One agent's session, from Hello to the end of either side.

        Raises:
            PermissionDenied: the node was removed. Conflict: the node has opened a newer session.
            InvalidInput: the agent did not begin with Hello, or sent invalid data. Unavailable: etcd is unavailable.
            Refused, AlreadyExists: the node's identity changed or is another node's; see `NodeAdmission`.
            Busy: too many agents connect at once, or this one is blocked. Exhausted: it exceeds its rate limit.
        """
        await self._running.wait()
        self._disconnection.check_open()
        node_id = self._node(self._identify(context))
        self._rate_limiter.check_open(node_id)
        description = (await read_hello(requests)).description
        self._begin_opening(node_id)
        try:
            session = await self._open(node_id, description, peer_address(context.peer()))
        except BaseException:
            self._openings.end(node_id)
            raise
        # A generator cannot keep a task group open over its yields: the reader is ended in `finally`.
        reader = asyncio.create_task(self._read(session, requests), name=f"session of {node_id}")
        try:
            yield ManagerMessage(welcome=self._welcome())
            if name := self._image_repository():
                yield ManagerMessage(image_repository=name)
            async with aclosing(session.messages(self._changes, self._file_delivery)) as messages:
                async for message in messages:
                    self._openings.end(node_id)
                    yield message
        finally:
            self._openings.end(node_id)
            reader.cancel()
            self._close(session)
            with suppress(asyncio.CancelledError):
                await reader

    def _node(self, caller: Caller) -> str:
        if caller.role is not Role.AGENT:
            raise PermissionDenied(
                f"only agents can open a session; this certificate belongs to {caller.role} {caller.name}"
            )
        if caller.name not in self._store.tables.nodes:
            raise PermissionDenied(node_removed(caller.name))
        return caller.name

    def _begin_opening(self, node_id: str) -> None:
        now = asyncio.get_running_loop().time()
        try:
            self._openings.begin(node_id, now)
        except Busy as busy:
            self._heartbeats.expect(node_id, now + busy.retry_after_seconds)
            raise

    async def _open(self, node_id: str, description: NodeDescription, peer: str) -> AgentSession:
        self._rate_limiter.count_open(node_id, description.ByteSize())
        try:
            report = await self._admission.admit(node_id, description, peer)
            await self._node_statuses.mark_ready(node_id, report)
        except (Unavailable, Timeout, asyncio.CancelledError):  # an agent does not wait for long
            self.attempts.failed(node_id)
            raise
        if older := self._sessions.get(node_id):
            older.end(Conflict(f"node {node_id} opened a new session"))
        session = self._sessions[node_id] = AgentSession(node_id, self._sequences, report)
        self._task_statuses.discard(node_id)
        self._heartbeats.opened(node_id)
        return session

    def _close(self, session: AgentSession) -> None:
        """A broken stream alone does not make a node DOWN: it is monitored until its heartbeat is overdue."""
        session.end(None)
        self._detach(session)

    def _detach(self, session: AgentSession) -> bool:
        """The session counts no more; False if another one has taken its place."""
        if self._sessions.get(session.node_id) is not session:
            return False
        del self._sessions[session.node_id]
        self._heartbeats.closed(session.node_id)
        self._task_statuses.discard(session.node_id)
        # Its node may have been marked DOWN before its session ended.
        self._withdrawals.evaluate(all_tasks=True)
        return True

    async def _read(self, session: AgentSession, requests: AsyncIterator[AgentMessage]) -> None:
        try:
            async for message in self._rate_limiter.messages(session, requests):
                if message.HasField("stop"):
                    if self._detach(session):
                        await self._stops.handle(session.node_id, message.stop)
                    return
                await self._handle(session, message)
        except aio.UsageError:
            # gRPC raises this for a stream that broke while it was read.
            _log.info("lost the connection to node %s", session.node_id)
        except ShoalError as error:
            if isinstance(error, Exhausted):
                await self._admission.record_error(session.node_id, str(error))
            session.end(error)
        finally:
            session.end(None)

    async def _handle(self, session: AgentSession, message: AgentMessage) -> None:
        match message.WhichOneof("kind"):
            case "heartbeat":
                session.send(ManagerMessage(heartbeat_ack=HeartbeatAck()))
            case "statuses" if not session.has_ended:  # its agent may know that nothing of it will be stored
                self._submit_statuses(session, message.statuses)
            case "applied":
                session.applied(message.applied.sequence)
                self._withdrawals.node_applied(session.node_id)
            case "volumes":
                await self._reports.write_volumes(session, message.volumes)
            case "images":
                await self._reports.write_images(session, message.images)
            case "orphans":
                await self._reports.write_orphans(session, message.orphans)
            case "network":
                await self._reports.write_condition(session, message.network)
            case "description":
                await self._update_description(session, message.description)

    async def _update_description(self, session: AgentSession, description: NodeDescription) -> None:
        if self._sessions.get(session.node_id) is session:  # else a newer session has reported it
            await self._status_sync.update_description(session, description)

    def _submit_statuses(self, session: AgentSession, batch: StatusBatch) -> None:
        sequence, statuses = batch.sequence, agent_input.sanitize_statuses(batch, self._now_ms())
        done = partial(session.acknowledge, sequence)
        self._task_statuses.submit(Batch(session.node_id, statuses, done, session.end))

    def _changes(self, node_id: str, dirty: Collection[RecordRef] | None) -> AssignmentChanges:
        changes = self._index.changes(node_id, dirty)
        if is_empty(changes.assignments):  # nothing is sent, so no Applied will follow
            asyncio.get_running_loop().call_soon(self._withdrawals.node_applied, node_id)
        return changes

    def _welcome(self) -> Welcome:
        return Welcome(
            heartbeat_ms=round(self._heartbeat_seconds * 1000),
            reconnect_ms=round(reconnect_seconds(len(self._store.tables.nodes)) * 1000),
            managers=manager_set(self._store.tables),
            acknowledges_heartbeats=True,
            restart_grace_ms=round(self._restart_grace_seconds * 1000),
        )

    async def _follow(self, batches: AsyncIterator[tuple[Change, ...]]) -> None:
        async for batch in batches:
            generation = self._withdrawals.next_generation()
            for node_id, dirty in self._index.update(batch).items():
                if session := self._sessions.get(node_id):
                    session.mark_dirty(generation, dirty)
            self._withdrawals.evaluate(all_tasks=any(change.kind.name in _PEER_KINDS for change in batch))
            self._status_sync.handle_changes(batch)
            self._heartbeats.handle_changes(batch)
            if any(change.kind.name in _MANAGER_KINDS for change in batch):
                self._send_managers()
            if any(change.kind.name == kinds.CLUSTER_SETTINGS.name for change in batch):
                self._send_to_all(ManagerMessage(image_repository=self._image_repository()))

    def _image_repository(self) -> str:
        settings = self._store.tables.settings
        return settings.image_repository if settings is not None else ""

    def _send_managers(self) -> None:
        """Agents keep the list for when this manager is unavailable."""
        self._rebalancer.managers_changed()
        if (managers := manager_set(self._store.tables)) != self._managers:
            self._managers = managers
            self._send_to_all(ManagerMessage(managers=managers))

    def _send_to_all(self, message: ManagerMessage) -> None:
        for session in self._sessions.values():
            session.send(message)

    def _end_lost(self, node_id: str, message: str) -> None:
        if session := self._sessions.get(node_id):
            session.end(Unavailable(f"{message}; reconnect"))

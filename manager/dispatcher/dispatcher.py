"""The servicer of agents' sessions, and the background work of a manager for its agents."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable
from contextlib import aclosing, suppress
from functools import partial
from itertools import count

from grpc import aio

from manager.dispatcher import admission
from manager.dispatcher.catalogue import Catalogue
from manager.dispatcher.drain_keeper import DrainKeeper
from manager.dispatcher.file_contents import FileContents
from manager.dispatcher.handshakes import Handshakes
from manager.dispatcher.liveness.heartbeats import HEARTBEAT_SECONDS, reconnect_seconds
from manager.dispatcher.liveness.watch import HeartbeatWatch
from manager.dispatcher.manager_set import as_messages, manager_addresses
from manager.dispatcher.marks import Mark
from manager.dispatcher.meter import Meter
from manager.dispatcher.needs import News, is_empty
from manager.dispatcher.node_admission import NodeAdmission, removed
from manager.dispatcher.node_records import NodeRecords, NowMs
from manager.dispatcher.ready_keeper import ReadyKeeper
from manager.dispatcher.records import Records
from manager.dispatcher.session import AgentSession
from manager.dispatcher.session_spread import SessionSpread
from manager.dispatcher.statuses import Batch, StatusCommitter
from manager.dispatcher.volume_records import VolumeRecords
from manager.files.contents import Contents
from manager.store import kinds
from manager.store.changes import Change
from shoal.api.v1.dispatcher_pb2 import (
    AgentMessage,
    Hello,
    ManagerMessage,
    ManagerSet,
    NodeApplied,
    StatusBatch,
    VolumeReport,
    Welcome,
)
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherServicer
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.errors import Busy, Conflict, Exhausted, InvalidInput, PermissionDenied, ShoalError, Timeout, Unavailable
from shoal.identity.roles import Caller, Role
from shoal.rpc.addresses import peer_address
from shoal.rpc.guard import caller
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

HELLO_SECONDS = 30.0
"""After which a session that has said nothing ends. Agents speak at once; a busy manager may be late to listen."""

_OF_MANAGERS = frozenset({kinds.MANAGER.name, kinds.REGISTERED_MANAGER.name})
"""Kinds of records that say which managers there are."""
_OF_OTHERS = frozenset({kinds.NODE_STATUS.name, kinds.APPLIED.name})
"""Kinds of records that say which nodes are there, and what those of other managers have applied."""

Context = aio.ServicerContext[AgentMessage, ManagerMessage]


class Dispatcher(DispatcherServicer):
    """Holds the sessions of the agents that chose this manager. `run` must run while it serves.

    Args:
        manager_id: written into the status of the nodes that have their session here.
        now_ms: milliseconds since the Unix epoch.
        secrets: opens the secrets that a node's own tasks need.
        identify: whom a call's certificate names; a session is of that node and no other.
    """

    def __init__(
        self,
        *,
        store: Records,
        manager_id: str,
        now_ms: NowMs,
        secrets: Contents,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        identify: Callable[[Context], Caller] = caller,
    ) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._heartbeat_seconds = heartbeat_seconds
        self._identify = identify
        self._catalogue = Catalogue(store.tables)
        self._files = FileContents(view=store.tables, secrets=secrets)
        self._records = NodeRecords(store=store, manager_id=manager_id, now_ms=now_ms)
        self._admission = NodeAdmission(store=store, records=self._records, now_ms=now_ms)
        self._volumes = VolumeRecords(store=store)
        self._committer = StatusCommitter(store=store)
        self._watch = HeartbeatWatch(
            store=store,
            records=self._records,
            manager_id=manager_id,
            heartbeat_seconds=heartbeat_seconds,
            lost=self._lose,
        )
        self._sessions: dict[str, AgentSession] = {}
        self._meter = Meter(view=store.tables, heard=self._watch.heard)
        self._handshakes = Handshakes()
        self._ready = ReadyKeeper(
            store=store,
            records=self._records,
            admission=self._admission,
            manager_id=manager_id,
            sessions=self._sessions,
            is_fresh=self._watch.is_fresh,
        )
        # Of the time, so that a number of an earlier manager's session is never one of ours.
        self._sequences = count(now_ms() << 20)
        self._drains = DrainKeeper(store=store, manager_id=manager_id, sessions=self._sessions)
        self._spread = SessionSpread(view=store.tables, manager_id=manager_id, sessions=self._sessions)
        self._managers = manager_addresses(store.tables)
        self._running = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled: follow the store, commit statuses, watch heartbeats."""
        await self._store.ready()
        with self._store.follow() as batches:
            self._catalogue = Catalogue(self._store.tables)
            self._drains.begin(self._catalogue)
            self._admission.begin()
            self._watch.expect_back()
            self._running.set()
            async with TaskGroup() as group:
                group.create_task(self._follow(batches), name="assignments")
                group.create_task(self._committer.run(), name="statuses")
                group.create_task(self._watch.run(), name="heartbeats")
                group.create_task(self._ready.run(), name="states of nodes")
                group.create_task(self._drains.run(), name="drains")
                group.create_task(self._spread.run(), name="spread of sessions")

    def applied(self, node_ids: Iterable[str]) -> list[NodeApplied]:
        """How far the datapaths of those of these nodes are that have their session here."""
        newest = self._store.tables.revision
        held = [session for each in node_ids if (session := self._sessions.get(each)) is not None]
        revisions = {session.node_id: session.revision(newest) for session in held}
        return [NodeApplied(node_id=each, revision=at, up_to_date=at == newest) for each, at in revisions.items()]

    async def Session(  # noqa: N802  # named by the protocol
        self, requests: AsyncIterator[AgentMessage], context: Context
    ) -> AsyncGenerator[ManagerMessage]:
        """One agent's session, from Hello to the end of either side.

        Raises:
            PermissionDenied: the node was removed. Conflict: the node has opened a newer session.
            InvalidInput: the agent did not begin with Hello, or tells what cannot be. Unavailable: etcd is away.
            Refused, AlreadyExists: the node is not what it was, or says that it is another; see `NodeAdmission`.
            Busy: too many agents come at once, or this one has asked too much. Exhausted: it asks too much.
        """
        await self._running.wait()
        node_id = self._node(self._identify(context))
        self._meter.opening(node_id)
        about = (await _hello(requests)).description
        self._begin(node_id)
        try:
            session = await self._open(node_id, about, peer_address(context.peer()))
        except BaseException:
            self._handshakes.end(node_id)
            raise
        # A generator cannot hold a task group over its yields: the reader is ended in `finally`.
        reader = asyncio.create_task(self._read(session, requests), name=f"session of {node_id}")
        try:
            yield ManagerMessage(welcome=self._welcome())
            async with aclosing(session.messages(self._news, self._files)) as messages:
                async for message in messages:
                    self._handshakes.end(node_id)
                    yield message
        finally:
            self._handshakes.end(node_id)
            reader.cancel()
            self._close(session)
            with suppress(asyncio.CancelledError):
                await reader

    def _node(self, who: Caller) -> str:
        if who.role is not Role.AGENT:
            raise PermissionDenied(f"a session is for agents; this certificate is of {who.role} {who.id}")
        if who.id not in self._store.tables.nodes:
            raise PermissionDenied(removed(who.id))
        return who.id

    def _begin(self, node_id: str) -> None:
        try:
            self._handshakes.begin(node_id, asyncio.get_running_loop().time())
        except Busy as busy:
            self._watch.sent_away(node_id, busy.retry_after_seconds)
            raise

    async def _open(self, node_id: str, about: NodeDescription, peer: str) -> AgentSession:
        self._meter.opened(node_id, about.ByteSize())
        told = await self._admission.admit(node_id, about, peer)
        await self._records.ready(node_id, told)
        if older := self._sessions.get(node_id):
            older.end(Conflict(f"node {node_id} has opened a newer session"))
        session = self._sessions[node_id] = AgentSession(node_id, self._sequences, told)
        self._committer.discard(node_id)
        self._watch.opened(node_id)
        return session

    def _close(self, session: AgentSession) -> None:
        """A broken stream alone is not DOWN: the node is watched on until it is overdue."""
        session.end(None)
        if self._sessions.get(session.node_id) is session:
            del self._sessions[session.node_id]
            self._watch.closed(session.node_id)
            self._committer.discard(session.node_id)
            # Its node may have been written DOWN before its session was at an end.
            self._drains.look(at_all=True)

    async def _read(self, session: AgentSession, requests: AsyncIterator[AgentMessage]) -> None:
        try:
            async for message in self._meter.messages(session, requests):
                if message.WhichOneof("kind") == "volumes":
                    await self._note_volumes(session, message.volumes)
                if message.WhichOneof("kind") == "network":
                    await self._note_condition(session, message.network)
                if message.WhichOneof("kind") == "description":
                    await self._describe(session, message.description)
                if message.WhichOneof("kind") == "statuses":
                    self._take(session, message.statuses)
                if message.WhichOneof("kind") == "applied":
                    session.applied(message.applied.sequence)
                    self._drains.hear(session.node_id)
        except aio.UsageError:
            # gRPC's word for a stream that broke while we were reading it.
            _log.info("the stream of node %s broke", session.node_id)
        except ShoalError as error:
            if isinstance(error, Exhausted):
                await self._admission.refuse(session.node_id, str(error))
            session.end(error)
        finally:
            session.end(None)

    async def _note_volumes(self, session: AgentSession, report: VolumeReport) -> None:
        try:
            await self._volumes.note(session.node_id, admission.volumes(report, self._now_ms()))
        except (Conflict, Unavailable, Timeout) as error:
            # The agent begins again, and tells it again.
            session.end(Unavailable(f"the node's volumes could not be written: {error}"))

    async def _note_condition(self, session: AgentSession, condition: NetworkCondition) -> None:
        try:
            await self._records.note(session.node_id, admission.condition(condition, self._now_ms()))
        except (Conflict, Unavailable, Timeout) as error:
            session.end(Unavailable(f"the condition of the node's network could not be written: {error}"))

    async def _describe(self, session: AgentSession, about: NodeDescription) -> None:
        if self._sessions.get(session.node_id) is session:  # else a newer one has told it anew
            await self._ready.describe(session, about)

    def _take(self, session: AgentSession, batch: StatusBatch) -> None:
        sequence, statuses = batch.sequence, admission.statuses(batch, self._now_ms())
        done = partial(session.acknowledge, sequence)
        self._committer.submit(Batch(session.node_id, statuses, done, session.end))

    def _news(self, node_id: str, marks: Collection[Mark] | None) -> News:
        news = self._catalogue.news(node_id, marks)
        if is_empty(news.assignments):  # so that no answer will come
            asyncio.get_running_loop().call_soon(self._drains.hear, node_id)
        return news

    def _welcome(self) -> Welcome:
        return Welcome(
            heartbeat_ms=round(self._heartbeat_seconds * 1000),
            reconnect_ms=round(reconnect_seconds(len(self._store.tables.nodes)) * 1000),
            managers=ManagerSet(managers=as_messages(manager_addresses(self._store.tables))),
        )

    async def _follow(self, batches: AsyncIterator[tuple[Change, ...]]) -> None:
        async for batch in batches:
            generation = self._drains.advance()
            for node_id, marks in self._catalogue.update(batch).items():
                if session := self._sessions.get(node_id):
                    session.touch(generation, marks)
            self._drains.look(at_all=any(change.kind.name in _OF_OTHERS for change in batch))
            self._ready.look(batch)
            if any(change.kind.name in _OF_MANAGERS for change in batch):
                self._tell_managers()

    def _tell_managers(self) -> None:
        """Agents keep the list for the day on which this manager is away."""
        self._spread.managers_changed()
        managers = manager_addresses(self._store.tables)
        if managers != self._managers:
            self._managers = managers
            told = ManagerMessage(managers=ManagerSet(managers=as_messages(managers)))
            for session in self._sessions.values():
                session.send(told)

    def _lose(self, node_id: str, message: str) -> None:
        if session := self._sessions.get(node_id):
            session.end(Unavailable(f"{message}; open the session again"))


async def _hello(requests: AsyncIterator[AgentMessage]) -> Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            async for message in requests:
                if message.WhichOneof("kind") == "hello":
                    return message.hello
                break
    except TimeoutError:
        raise Timeout(f"the session had no Hello within {HELLO_SECONDS:g} s") from None
    raise InvalidInput("a session begins with Hello")

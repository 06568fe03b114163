"""The servicer of agents' sessions, and the background work of a manager for its agents."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import count

from grpc import aio

from manager.dispatcher import admission
from manager.dispatcher.catalogue import Catalogue
from manager.dispatcher.drain_keeper import DrainKeeper
from manager.dispatcher.file_contents import FileContents
from manager.dispatcher.liveness import HEARTBEAT_SECONDS, Liveness
from manager.dispatcher.marks import Mark
from manager.dispatcher.needs import News, is_empty
from manager.dispatcher.node_records import NodeRecords, NowMs, Told
from manager.dispatcher.peers import other_underlay
from manager.dispatcher.records import Records
from manager.dispatcher.session import AgentSession
from manager.dispatcher.statuses import Batch, StatusCommitter
from manager.dispatcher.volume_records import VolumeRecords
from manager.files.contents import Contents
from manager.store import kinds
from manager.store.changes import Change
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.dispatcher_pb2 import (
    AgentMessage,
    Hello,
    ManagerMessage,
    NodeApplied,
    StatusBatch,
    VolumeReport,
    Welcome,
)
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherServicer
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription, NodeStatus
from shoal.errors import Conflict, InvalidInput, PermissionDenied, Refused, Timeout, Unavailable
from shoal.identity.roles import Caller, Role
from shoal.rpc.addresses import peer_address
from shoal.rpc.guard import caller
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

HELLO_SECONDS = 30.0
"""After which a session that has said nothing ends. Agents speak at once; a busy manager may be late to listen."""

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
        self._volumes = VolumeRecords(store=store)
        self._committer = StatusCommitter(store=store)
        self._liveness = Liveness(heartbeat_seconds)
        self._sessions: dict[str, AgentSession] = {}
        self._told: dict[str, Told] = {}
        # Of the time, so that a number of an earlier manager's session is never one of ours.
        self._sequences = count(now_ms() << 20)
        self._drains = DrainKeeper(store=store, manager_id=manager_id, sessions=self._sessions)
        self._running = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled: follow the store, commit statuses, watch heartbeats."""
        await self._store.ready()
        with self._store.follow() as batches:
            self._catalogue = Catalogue(self._store.tables)
            self._drains.begin(self._catalogue)
            self._expect_back()
            self._running.set()
            async with TaskGroup() as group:
                group.create_task(self._follow(batches), name="assignments")
                group.create_task(self._committer.run(), name="statuses")
                group.create_task(self._watch_heartbeats(), name="heartbeats")
                group.create_task(self._drains.run(), name="drains")

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
            Refused: others reach the node by another version of IP than the cluster's nodes.
        """
        await self._running.wait()
        node_id = self._node(self._identify(context))
        about = admission.description((await _hello(requests)).description, self._now_ms())
        session = await self._open(node_id, Told(about, peer_address(context.peer())))
        # A generator cannot hold a task group over its yields: the reader is ended in `finally`.
        reader = asyncio.create_task(self._read(session, requests), name=f"session of {node_id}")
        try:
            yield ManagerMessage(welcome=self._welcome())
            async with aclosing(session.messages(self._news, self._files)) as messages:
                async for message in messages:
                    yield message
        finally:
            reader.cancel()
            self._close(session)
            with suppress(asyncio.CancelledError):
                await reader

    def _node(self, who: Caller) -> str:
        if who.role is not Role.AGENT:
            raise PermissionDenied(f"a session is for agents; this certificate is of {who.role} {who.id}")
        if who.id not in self._store.tables.nodes:
            raise PermissionDenied(_removed(who.id))
        return who.id

    async def _open(self, node_id: str, told: Told) -> AgentSession:
        if reason := other_underlay(self._store.tables, node_id, told.description.address):
            raise Refused(reason)
        await self._records.ready(node_id, told)
        if older := self._sessions.get(node_id):
            older.end(Conflict(f"node {node_id} has opened a newer session"))
        session = self._sessions[node_id] = AgentSession(node_id, self._sequences)
        self._committer.discard(node_id)
        self._told[node_id] = told
        self._hear(node_id)
        return session

    def _close(self, session: AgentSession) -> None:
        """A broken stream alone is not DOWN: the node is watched on until it is overdue."""
        session.end(None)
        if self._sessions.get(session.node_id) is session:
            del self._sessions[session.node_id]
            del self._told[session.node_id]
            self._committer.discard(session.node_id)
            # Its node may have been written DOWN before its session was at an end.
            self._drains.look(at_all=True)

    async def _read(self, session: AgentSession, requests: AsyncIterator[AgentMessage]) -> None:
        try:
            async for message in requests:
                self._hear(session.node_id)
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
            about = admission.description(about, self._now_ms())
            self._told[session.node_id] = replace(self._told[session.node_id], description=about)
            await self._make_ready(session.node_id)

    def _take(self, session: AgentSession, batch: StatusBatch) -> None:
        sequence, statuses = batch.sequence, admission.statuses(batch, self._now_ms())
        self._committer.submit(Batch(session.node_id, statuses, lambda: session.acknowledge(sequence)))

    def _hear(self, node_id: str) -> None:
        self._liveness.heard(node_id, _now())

    def _news(self, node_id: str, marks: Collection[Mark] | None) -> News:
        news = self._catalogue.news(node_id, marks)
        if is_empty(news.assignments):  # so that no answer will come
            asyncio.get_running_loop().call_soon(self._drains.hear, node_id)
        return news

    def _welcome(self) -> Welcome:
        managers = self._store.tables.managers
        first = [self._manager_id] if self._manager_id in managers else []
        rest = sorted(manager_id for manager_id in managers if manager_id != self._manager_id)
        return Welcome(
            heartbeat_ms=round(self._heartbeat_seconds * 1000),
            managers=[managers[manager_id].api_address for manager_id in first + rest],
        )

    async def _follow(self, batches: AsyncIterator[tuple[Change, ...]]) -> None:
        async for batch in batches:
            generation = self._drains.advance()
            for node_id, marks in self._catalogue.update(batch).items():
                if session := self._sessions.get(node_id):
                    session.touch(generation, marks)
            self._drains.look(at_all=any(change.kind.name in _OF_OTHERS for change in batch))
            await self._mind_own_nodes(batch)
            await self._mind_managers(batch)

    async def _mind_own_nodes(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if session := self._sessions.get(change.identifier):
                if change.kind.name == kinds.NODE.name and change.new is None:
                    session.end(PermissionDenied(_removed(change.identifier)))
                elif change.kind.name == kinds.NODE_STATUS.name:
                    await self._mind(session)

    async def _mind_managers(self, changes: Iterable[Change]) -> None:
        """Nodes whose host a manager has come to get their role by it."""
        came = [change.new for change in changes if isinstance(change.new, Manager)]
        hosts = {manager.host_address for manager in came if manager.host_address}
        for node_id in [each for each, told in self._told.items() if told.peer in hosts]:
            await self._make_ready(node_id)

    async def _mind(self, session: AgentSession) -> None:
        """Another manager may have written of a node whose session is here: it took it over, or believed it lost."""
        told = self._store.tables.node_status.get(session.node_id)
        if told is None:
            return
        if told.state == NodeStatus.READY and told.manager_id not in ("", self._manager_id):
            session.end(Conflict(f"node {session.node_id} has opened a session with manager {told.manager_id}"))
        elif told.state == NodeStatus.DOWN and self._liveness.is_fresh(session.node_id, _now()):
            await self._make_ready(session.node_id)

    async def _make_ready(self, node_id: str) -> None:
        try:
            await self._records.ready(node_id, self._told[node_id])
        except (Conflict, Unavailable, Timeout) as error:
            # The agent begins again, and that writes it.
            self._sessions[node_id].end(Unavailable(f"the node's state could not be written: {error}"))

    def _expect_back(self) -> None:
        """After a restart: nodes whose session was here have the usual time to return."""
        for node_id, status in self._store.tables.node_status.items():
            if status.state == NodeStatus.READY and status.manager_id == self._manager_id:
                self._hear(node_id)

    def _overdue(self) -> list[str]:
        return self._liveness.overdue(_now())

    async def _watch_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds / 4)
            for node_id in self._overdue():
                await self._lose(node_id)

    async def _lose(self, node_id: str) -> None:
        message = f"no heartbeat for {3 * self._heartbeat_seconds:g} s"
        try:
            if await self._records.down(node_id, self._manager_id, message):
                _log.warning("node %s is DOWN: %s", node_id, message)
        except Conflict:
            _log.info("node %s was removed", node_id)
        except (Unavailable, Timeout) as error:
            _log.warning("node %s is not yet marked DOWN: %s", node_id, error)
            return
        self._liveness.forget(node_id)
        if session := self._sessions.get(node_id):
            session.end(Unavailable(f"{message}; open the session again"))


def _removed(node_id: str) -> str:
    return f"node {node_id} was removed from the cluster; run `shoal-agent reset` on it and join it anew"


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


def _now() -> float:
    return asyncio.get_running_loop().time()

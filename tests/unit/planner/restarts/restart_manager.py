"""A manager of one node's agent: the real store, writer of statuses, sessions and planner, on an etcd in memory."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

from google.protobuf.message import Message

from manager.dispatcher.assignments.dirty_records import RecordKind, RecordRef
from manager.dispatcher.assignments.file_delivery import FileDelivery
from manager.dispatcher.assignments.node_assignments import (
    AssignmentChanges,
    NodeAssignments,
    increment,
    snapshot,
    trimmed,
)
from manager.dispatcher.assignments.task_entries import TaskEntry, task_entry
from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.sessions.etcd_disconnection import EtcdDisconnection
from manager.dispatcher.statuses.node_status_updates import NodeReport
from manager.dispatcher.statuses.task_status_writer import Batch, TaskStatusWriter
from manager.file_contents.content_codec import PlainCodec
from manager.planner.loop import Planner
from manager.store import kinds
from manager.store.changes import Change, delete, put
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.dispatcher_pb2 import ManagerMessage, Welcome
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import LeadershipLost, ShoalError, Unavailable
from shoal.ids import NewId
from shoal.task_states import should_run
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.planner.restarts.restart_stream import Stream

NODE = "n"
SILENT_SECONDS, RECENT_SECONDS = 5.0, 1.5
"""As of `manager.etcd.majority`."""


class Etcd(MemoryEtcd):
    """Which may lose its majority."""

    def __init__(self) -> None:
        super().__init__()
        self._since: float | None = None

    def lose_majority(self) -> None:
        self._since = self._since if self._since is not None else asyncio.get_running_loop().time()
        self.leave()

    def regain_majority(self) -> None:
        self._since = None
        self.come_back()

    async def check(self, seconds: float) -> None:
        """Raises Unavailable: there has been no majority for so long."""
        if self._since is not None and asyncio.get_running_loop().time() - self._since >= seconds:
            raise Unavailable("etcd has no majority")


class _Monitor:
    """The node is never lost: a partition has its own rules."""

    def suspend(self) -> None:
        return None

    def resume(self) -> None:
        return None


class Manager:
    """One process. Start it once.

    Attributes:
        is_reachable: an agent can connect to it.
    """

    def __init__(self, name: str, etcd: Etcd, *, clock: Callable[[], int], new_id: NewId) -> None:
        self.name = name
        self.backend = FaultyBackend(etcd)
        self.store = Store(backend=self.backend, jitter=lambda: 0.5)
        self.is_reachable = False
        self._clock, self._new_id = clock, new_id
        recent, silent = (partial(etcd.check, seconds) for seconds in (RECENT_SECONDS, SILENT_SECONDS))
        self._writer = TaskStatusWriter(store=self.store, check_etcd=recent)
        self._sessions: dict[str, AgentSession] = {}
        withdraw = self._writer.withdraw
        self._disconnection = EtcdDisconnection(
            check=silent, sessions=self._sessions, monitor=_Monitor(), withdraw=withdraw
        )
        self._sequences = count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """It is reachable once it has loaded the records."""
        self._spawn(self.store.run())
        await self.store.ready()
        for work in (self._writer.run(), self._disconnection.run(), self._follow()):
            self._spawn(work)
        self.is_reachable = True

    async def lead(self) -> None:
        """Be elected, and plan."""
        await self.store.commit([delete(kinds.LEADER, "")])
        fence = await self.store.commit([put(kinds.LEADER, "", Leader(manager_id=self.name))])
        self._spawn(self._plan(fence))

    async def _plan(self, fence: int) -> None:
        with suppress(LeadershipLost):
            await Planner(store=self.store, clock=self._clock, new_id=self._new_id).run(fence)

    async def kill(self) -> None:
        """What etcd has received of it stays under way."""
        self.is_reachable = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raises what has ended it."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    # Sessions, as `manager.dispatcher.dispatcher.Dispatcher` has them.

    def accept(self, stream: Stream) -> None:
        """An agent opens a stream."""
        self._spawn(self._serve(stream))

    async def _serve(self, stream: Stream) -> None:
        try:
            self._disconnection.check_open()
            if await stream.to_manager.get() is None:
                return
            session = self._open()
            reading = asyncio.create_task(self._read(session, stream))
            try:
                stream.send(ManagerMessage(welcome=Welcome(heartbeat_ms=3_600_000)))
                files = FileDelivery(view=self.store.tables, secrets=PlainCodec())
                async for message in session.messages(self._changes, files):
                    stream.send(message)
            finally:
                reading.cancel()
                self._close(session)
            stream.send(None)
        except ShoalError as error:
            stream.send(error)
        except asyncio.CancelledError:
            stream.send(Unavailable("the manager was killed"))
            raise

    def _open(self) -> AgentSession:
        if (older := self._sessions.get(NODE)) is not None:
            older.end(Unavailable("a newer session of the node was opened"))
        session = AgentSession(NODE, self._sequences, NodeReport(NodeDescription()))
        self._sessions[NODE] = session
        self._writer.discard(NODE)
        return session

    def _close(self, session: AgentSession) -> None:
        if self._sessions.get(NODE) is session:
            del self._sessions[NODE]
            self._writer.discard(NODE)

    async def _read(self, session: AgentSession, stream: Stream) -> None:
        while (message := await stream.to_manager.get()) is not None:
            if message.HasField("statuses") and not session.has_ended:
                batch = message.statuses
                done = partial(session.acknowledge, batch.sequence)
                self._writer.submit(Batch(NODE, tuple(batch.statuses), done, session.end))
        session.end(None)

    async def _follow(self) -> None:
        with self.store.follow() as changes:
            async for batch in changes:
                if (session := self._sessions.get(NODE)) is not None and (dirty := set(_dirty(batch))):
                    session.mark_dirty(self.store.tables.revision, dirty)

    # Assignments.

    def _changes(self, node_id: str, dirty: Collection[RecordRef] | None) -> AssignmentChanges:
        tables = self.store.tables
        if dirty is not None:
            revisions: set[RecordRef] = {("revision", self._revision_key(key)) for _, key in dirty}
            return AssignmentChanges(increment({*dirty, *revisions}, self._record, tables.revision))
        tasks = {key: found for key in tables.tasks_on(node_id) if isinstance(found := self._record("task", key), Task)}
        keys = {self._revision_key(key) for key in tasks}
        revisions_known = {
            key: found for key in keys if isinstance(found := self._record("revision", key), ServiceRevision)
        }
        return AssignmentChanges(snapshot(NodeAssignments(tasks, revisions_known), tables.revision))

    def _record(self, kind: RecordKind, key: str) -> Message | None:
        tables = self.store.tables
        if kind == "revision":
            revision = tables.revisions.get(key)
            return trimmed(revision) if revision is not None else None
        entry = self._entry(key)
        return entry.task if entry is not None and not entry.is_removable else None

    def _entry(self, task_id: str) -> TaskEntry | None:
        tables = self.store.tables
        task = tables.tasks.get(task_id)
        if task is None or task.node_id != NODE:
            return None
        status = tables.task_status.get(task_id)
        revision = tables.revision_of(task.service_id, task.revision)
        return task_entry(task, status, revision, withdrawn=not should_run(task))

    def _revision_key(self, task_id: str) -> str:
        task = self.store.tables.tasks.get(task_id)
        return f"{task.service_id}/{task.revision}" if task is not None else ""


def _dirty(changes: Iterable[Change]) -> Iterator[RecordRef]:
    for change in changes:
        if change.kind.name in (kinds.TASK.name, kinds.TASK_STATUS.name):
            yield "task", change.identifier

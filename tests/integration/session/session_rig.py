"""Managers' dispatchers on loopback with mutual TLS over one etcd in memory, and agents that hold sessions."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from zlib import crc32

from grpc import aio

from agent.assignments.assigned_state import AssignedState
from agent.network.condition_reporter import ConditionReporter
from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from manager.dispatcher.dispatcher import Dispatcher
from manager.file_contents.content_codec import EncryptedCodec
from manager.store.changes import put
from manager.store.kinds import MANAGER, NODE, TASK
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Assignments, Hello, ManagerMessage, OrphanReport
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub, add_DispatcherServicer_to_server
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.notifier import Notifier
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from tests.fakes.csi_mounter import host_volumes
from tests.fakes.image_reports import FakeImageReports
from tests.fakes.loaded_store import loaded_store
from tests.fakes.manager_list import manager_list
from tests.fakes.memory_etcd import MemoryEtcd

CLUSTER = "c"
HEARTBEAT_SECONDS = 0.2
TIMEOUT_SECONDS = 60.0


class RecordedAssignments:
    """Applies assignments, as the worker does."""

    def __init__(self) -> None:
        self.assigned = AssignedState()
        self.messages: list[Assignments] = []
        self.known: list[TaskStatus] = []
        self.answers: asyncio.Queue[int] = asyncio.Queue()
        self.silent = False
        self.touch: list[bool] = []
        self.session: ManagerSession | None = None
        self.orphans: asyncio.Queue[OrphanReport] = asyncio.Queue()

    def set_connected(self, connected: bool) -> None:
        if self.touch[-1:] != [connected]:
            self.touch.append(connected)

    def receive(self, assignments: Assignments) -> None:
        self.messages.append(assignments)
        self.assigned.apply(assignments)
        if assignments.sequence and not self.silent:
            self.answers.put_nowait(assignments.sequence)

    async def orphan_reports(self) -> AsyncGenerator[OrphanReport]:
        while True:
            yield await self.orphans.get()

    def stored(self, status: TaskStatus) -> None:
        pass

    def not_stored(self, task_id: str) -> None:
        pass

    async def applied_sequences(self) -> AsyncGenerator[int]:
        while True:
            yield await self.answers.get()

    def statuses(self) -> list[TaskStatus]:
        return list(self.known)


class ManagerProcess:
    """One manager: its store and its dispatcher's server."""

    def __init__(self, store: Store, server: aio.Server, address: str) -> None:
        self.store = store
        self.server = server
        self.address = address

    async def dispatcher_stop(self) -> None:
        """Break all sessions, and accept none."""
        await self.server.stop(None)


def address_of(node_id: str) -> str:
    """An address of the node's own (RFC 2544's network)."""
    return str(IPv4Address(int(IPv4Address("198.18.0.0")) + crc32(node_id.encode()) % (1 << 17)))


class FixedHost:
    """A host whose description changes when a test says so."""

    def __init__(self, node_id: str) -> None:
        self._notifier = Notifier()
        self.description = NodeDescription(hostname=node_id, address=address_of(node_id))

    def current(self) -> NodeDescription:
        return self.description

    def change(self, description: NodeDescription) -> None:
        self.description = description
        self._notifier.notify()

    async def reports(self) -> AsyncGenerator[NodeDescription]:
        async for _ in self._notifier.wakeups():
            yield self.description


class SessionRig:
    """One cluster's etcd and certificate authority."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.etcd = MemoryEtcd()
        self.authority = Authority.create(CLUSTER, datetime.now(UTC))

    @asynccontextmanager
    async def manager(self, manager_id: str) -> AsyncGenerator[ManagerProcess]:
        """A manager that serves agents; at the end it is gone as by SIGKILL."""
        async with loaded_store(self.etcd) as store:
            dispatcher = Dispatcher(
                store=store,
                manager_id=manager_id,
                now_ms=lambda: time.time_ns() // 1_000_000,
                secrets=EncryptedCodec(Keyring(bytes(32))),
                heartbeat_seconds=HEARTBEAT_SECONDS,
            )
            server = make_server(MANAGER_API)
            add_DispatcherServicer_to_server(dispatcher, server)
            identity = self.authority.issue(CertificateSubject(manager_id, Role.MANAGER, CLUSTER), datetime.now(UTC))
            port = listen(server, "127.0.0.1:0", lambda: identity)
            running = asyncio.create_task(dispatcher.run())
            await server.start()
            address = f"127.0.0.1:{port}"
            await store.commit([put(MANAGER, manager_id, Manager(id=manager_id, api_address=address))])
            try:
                yield ManagerProcess(store, server, address)
                if running.done():
                    running.result()
            finally:
                await server.stop(None)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    @asynccontextmanager
    async def frozen_agent(self, node_id: str, address: str) -> AsyncGenerator[None]:
        """An agent that has said hello, and says nothing more."""
        identity = self.authority.issue(CertificateSubject(node_id, Role.AGENT, CLUSTER), datetime.now(UTC))
        async with connect_aio([address], identity) as channel:
            stream = DispatcherStub(channel).Session()
            await stream.write(AgentMessage(hello=Hello(description=FixedHost(node_id).current())))
            assert isinstance(welcome := await stream.read(), ManagerMessage) and welcome.HasField("welcome")
            try:
                yield
            finally:
                stream.cancel()

    @asynccontextmanager
    async def agent(
        self,
        node_id: str,
        addresses: list[str],
        *,
        outbox: StatusQueue | None = None,
        role: Role = Role.AGENT,
        condition: ConditionReporter | None = None,
        host: FixedHost | None = None,
        images: FakeImageReports | None = None,
    ) -> AsyncGenerator[RecordedAssignments]:
        """An agent's session, again and again until the end."""
        identity = self.authority.issue(CertificateSubject(node_id, role, CLUSTER), datetime.now(UTC))
        work = RecordedAssignments()
        session = ManagerSession(
            managers=manager_list(self.directory / f"{node_id}.json", addresses, node_id),
            connect=lambda address: connect_aio([address], identity),
            host=host or FixedHost(node_id),
            outbox=outbox or StatusQueue(),
            worker=work,
            volumes=host_volumes(self.directory / "volumes", lambda: 0),
            condition=condition or ConditionReporter(now_ms=lambda: 0),
            images=images or FakeImageReports(),
        )
        work.session = session
        running = asyncio.create_task(session.run())
        try:
            yield work
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def one_manager(rig: SessionRig, *node_ids: str) -> AsyncGenerator[ManagerProcess]:
    """A manager "m1" that knows these nodes."""
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(rig.manager("m1"))
        await manager.store.commit([put(NODE, node_id, Node(meta=Meta(id=node_id))) for node_id in node_ids])
        yield manager


def task(task_id: str, node_id: str = "n1", desired: TaskState.ValueType = TaskState.RUNNING) -> Task:
    """A task of the node."""
    return Task(
        id=task_id, service_id="s", revision=1, node_id=node_id, state=TaskState.ASSIGNED, desired_state=desired
    )


async def put_task(manager: ManagerProcess, *tasks: Task) -> None:
    """Write tasks, as the planner does."""
    await manager.store.commit([put(TASK, each.id, each) for each in tasks])

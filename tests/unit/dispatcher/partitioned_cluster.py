"""Three managers and a node in virtual time, whose links can be broken, each direction apart.

Real are the dispatchers with their monitors, the elections and leases, and the agent's list of managers and its timer;
made up are the links, and what gRPC and etcd do about a broken one within their times.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from agent.session.manager_list import ManagerList
from agent.worker.shared.manager_contact import ManagerContact
from agent.worker.shutdown.disconnection import must_stop
from manager.dispatcher.dispatcher import Context, Dispatcher
from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.etcd.majority import SILENT_SECONDS
from manager.file_contents.content_codec import PlainCodec
from manager.leadership.leader_probe import ConnectionAttempt
from manager.leadership.leadership import Leadership
from manager.store.backend import Batch, Compare, Delete, OutcomeUnknown, Page, Put, Reading, TxnResult
from manager.store.changes import put
from manager.store.kinds import NODE
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager, ManagerAddress
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Heartbeat, Hello
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import ShoalError, Unavailable
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller
from shoal.task_group import TaskGroup
from tests.fakes.memory_etcd import MemoryEtcd

MANAGERS = ("m1", "m2", "m3")
NODE_ID = "n"
KEEPALIVE_SECONDS = 5.0
"""Until either end of a connection notices that it is broken."""
CALL_SECONDS = 1.0


class Links:
    """Which ways are blocked, "n>m1" for what the node sends to m1."""

    def __init__(self) -> None:
        self.blocked: set[str] = set()

    def block(self, *ways: str) -> None:
        """Also "a-b": both directions."""
        for way in ways:
            one, _, other = way.partition("-")
            self.blocked |= {f"{one}>{other}", f"{other}>{one}"} if other else {way}

    def both(self, one: str, other: str) -> bool:
        return not {f"{one}>{other}", f"{other}>{one}"} & self.blocked

    def has_majority(self, manager: str) -> bool:
        """Whether its etcd and another one reach each other; the etcds of the others count with their managers."""
        return self.both(manager, "etcd") and any(self.both(manager, each) for each in MANAGERS if each != manager)


class LinkedBackend:
    """One manager's etcd: a memory that all share, while this one belongs to the majority. Implements `Backend`."""

    def __init__(self, etcd: MemoryEtcd, links: Links, manager: str) -> None:
        self._etcd, self._links, self._manager = etcd, links, manager
        self.max_operations, self.max_bytes = etcd.max_operations, etcd.max_bytes
        self._answered = 0.0

    async def _reach(self) -> None:
        if not self._links.has_majority(self._manager):
            await asyncio.sleep(CALL_SECONDS)
            raise Unavailable("no majority")
        self._answered = asyncio.get_running_loop().time()

    async def check(self) -> None:
        """As `Majority.check`."""
        silent = asyncio.get_running_loop().time() - self._answered
        if silent > SILENT_SECONDS:
            await self._reach()

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        await self._reach()
        return await self._etcd.range(start, end, revision=revision, limit=limit, keys_only=keys_only)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        await self._reach()
        return await self._etcd.read(keys)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        try:
            await self._reach()
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from error
        return await self._etcd.txn(compares, operations)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        await self._reach()
        async with aclosing(self._etcd.watch(start, end, revision=revision)) as batches:
            async for batch in batches:
                await self._reach()
                yield batch

    async def grant(self, ttl_seconds: int) -> int:
        await self._reach()
        return await self._etcd.grant(ttl_seconds)

    async def keep_alive(self, lease: int) -> int:
        await self._reach()
        return await self._etcd.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._reach()
        await self._etcd.revoke(lease)


class SimulatedNode:
    """A node with a task that stops when it is disconnected for `allowed_seconds`, and its agent's session."""

    def __init__(self, links: Links, dispatchers: dict[str, Dispatcher], state: Path, allowed_seconds: float) -> None:
        self._links, self._dispatchers = links, dispatchers
        initial = [ManagerAddress(id=each, api_address=each) for each in MANAGERS]
        self._managers = ManagerList(state / "managers.json", node_id=NODE_ID, initial=initial)
        self._timer = ManagerContact()
        self._revision = ServiceRevision()
        self._revision.spec.task.stop_on_disconnect_ms = round(allowed_seconds * 1000)
        self.connected_to = ""
        self.has_stopped = False
        self.ended: list[str] = []

    async def run(self) -> None:
        async with TaskGroup() as group:
            group.create_task(self._stop_when_disconnected())
            while True:
                manager = self._managers.first()
                try:
                    await self._session(manager)
                except* ShoalError as ended:
                    self.ended.append(str(ended.exceptions[0]))
                self.connected_to = ""
                self._timer.update(False)
                self._managers.mark_failed(manager)
                await asyncio.sleep(1.0)

    async def _stop_when_disconnected(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.has_stopped = self.has_stopped or must_stop(self._revision, self._timer.seconds())

    async def _session(self, manager: str) -> None:
        if not self._links.both(NODE_ID, manager):
            await asyncio.sleep(KEEPALIVE_SECONDS)
            raise Unavailable("cannot connect")
        context = cast(Context, SimpleNamespace(peer=lambda: "ipv4:192.0.2.9:1"))
        messages: Any = self._dispatchers[manager].Session(self._requests(manager), context)
        async with aclosing(messages), TaskGroup() as group:
            group.create_task(self._keep_alive(manager))
            async for message in messages:
                if message.HasField("welcome"):
                    self.connected_to = manager
                    self._timer.update(True)
                    self._managers.mark_reachable()
            raise Unavailable("the session has ended")

    async def _requests(self, manager: str) -> AsyncIterator[AgentMessage]:
        yield AgentMessage(hello=Hello(description=NodeDescription(hostname=NODE_ID, address="192.0.2.9")))
        while True:
            await asyncio.sleep(2.0)
            if f"{NODE_ID}>{manager}" not in self._links.blocked:
                yield AgentMessage(heartbeat=Heartbeat())

    async def _keep_alive(self, manager: str) -> None:
        while self._links.both(NODE_ID, manager):  # noqa: ASYNC110  # tests only change a set
            await asyncio.sleep(0.25)
        await asyncio.sleep(KEEPALIVE_SECONDS)
        raise Unavailable("the connection is broken")


class PartitionedCluster:
    """What a test sees and does."""

    def __init__(self, etcd: MemoryEtcd, links: Links, stores: dict[str, Store], node: SimulatedNode) -> None:
        self.etcd, self.links, self.node = etcd, links, node
        self._stores = stores

    def state(self) -> str:
        """Of the node, as the newest of the managers' tables has it."""
        newest = max(self._stores.values(), key=lambda each: each.newest_revision)
        return NodeStatus.State.Name(newest.tables.node_status[NODE_ID].state)

    @property
    def leader(self) -> str:
        newest = max(self._stores.values(), key=lambda each: each.newest_revision)
        return newest.tables.leader.manager_id if newest.tables.leader is not None else ""


def copied(record: Manager) -> Manager:
    return Manager.FromString(record.SerializeToString())


async def _unknown(_: str) -> ConnectionAttempt:
    return ConnectionAttempt.UNKNOWN


@asynccontextmanager
async def partitioned_cluster(directory: Path, allowed_seconds: float) -> AsyncGenerator[PartitionedCluster]:
    """All links work; the node has its session."""
    clock = asyncio.get_running_loop().time
    etcd, links = MemoryEtcd(clock=clock), Links()
    stores: dict[str, Store] = {}
    dispatchers: dict[str, Dispatcher] = {}
    async with TaskGroup() as group:
        running: list[asyncio.Task[None]] = []
        for name in MANAGERS:
            backend = LinkedBackend(etcd, links, name)
            store = stores[name] = Store(backend=backend, jitter=lambda: 1.0)
            running.append(group.create_task(store.run()))
            await store.ready()
            dispatchers[name] = Dispatcher(
                store=store,
                manager_id=name,
                now_ms=lambda: round(clock() * 1000),
                secrets=PlainCodec(),
                identify=lambda _: Caller(name=NODE_ID, role=Role.AGENT, cluster="c", address=""),
                check_etcd=backend.check,
            )
            running.append(group.create_task(dispatchers[name].run()))
            leadership = Leadership(store, backend, name, probe=_unknown)
            record = Manager(id=name, api_address=name)
            running.append(group.create_task(leadership.register(partial(copied, record), asyncio.Event())))
            monitor = AbandonedNodeMonitor(store=store, manager_id=name, now_ms=lambda: round(clock() * 1000))
            running.append(group.create_task(leadership.run(monitor.run)))
        await stores["m1"].commit([put(NODE, NODE_ID, Node(meta=Meta(id=NODE_ID)))])
        node = SimulatedNode(links, dispatchers, directory, allowed_seconds)
        running.append(group.create_task(node.run()))
        cluster = PartitionedCluster(etcd, links, stores, node)
        await asyncio.sleep(3.0)
        try:
            yield cluster
        finally:
            for task in running:
                task.cancel()

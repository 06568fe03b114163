"""The control API's calls over the real store on etcd in memory, and a planner's hand for tasks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from manager.file_contents.content_codec import ContentCodec, EncryptedCodec, PlainCodec
from manager.file_contents.file_kinds import CONFIGS, SECRETS
from manager.files.file_handler import FileHandler
from manager.networks.network_handler import NetworkHandler
from manager.networks.network_nodes import NetworkNodes
from manager.nodes.node_handler import NodeHandler
from manager.services.progress_handler import ProgressHandler
from manager.services.service_handler import ServiceHandler
from manager.services.update_handler import UpdateHandler
from manager.stacks.stack_handler import StackHandler
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from manager.tasks.task_handler import TaskHandler
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus
from shoal.identity.keyring import Keyring
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller
from tests.fakes.images import FakeImages
from tests.fakes.loaded_store import loaded_store
from tests.fakes.managers import FakeManagers
from tests.fakes.memory_etcd import MemoryEtcd

ADMIN = Caller("admin", Role.ADMIN, "c", "127.0.0.1")
"""Whom the tests call as."""


def spec_of(name: str = "web", *, image: str = "registry:5000/hello:1", replicas: int = 2) -> ServiceSpec:
    """The least valid spec."""
    spec = ServiceSpec(name=name)
    spec.task.container.image = image
    spec.replicated.replicas = replicas
    return spec


@dataclass
class Api:
    """One manager's calls."""

    store: Store
    images: FakeImages = field(default_factory=FakeImages)
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    prefix: str = "n"

    def __post_init__(self) -> None:
        self.services = ServiceHandler(store=self.store, images=self.images, now_ms=lambda: 1000, new_id=self.new_id)
        contents: dict[str, ContentCodec] = {
            SECRETS.name: EncryptedCodec(Keyring(bytes(32))),
            CONFIGS.name: PlainCodec(),
        }
        self.stacks = StackHandler(
            store=self.store, images=self.images, contents=contents, now_ms=lambda: 1000, new_id=self.new_id
        )
        self.secrets, self.configs = (
            FileHandler(
                kind=file_kind,
                contents=contents[file_kind.name],
                readable=file_kind is CONFIGS,
                store=self.store,
                now_ms=lambda: 1000,
                new_id=self.new_id,
            )
            for file_kind in (SECRETS, CONFIGS)
        )
        nodes = NetworkNodes(applied=lambda _: (), peers=FakeManagers())
        self.networks = NetworkHandler(store=self.store, now_ms=lambda: 1000, new_id=self.new_id, nodes=nodes)
        self.nodes = NodeHandler(store=self.store, now_ms=lambda: 1000)
        self.updates = UpdateHandler(store=self.store, now_ms=lambda: 1000)
        self.tasks = TaskHandler(store=self.store, now_ms=lambda: 1000)
        self.progress = ProgressHandler(
            store=self.store, seconds=asyncio.get_running_loop().time, now_ms=lambda: 1_000_000
        )

    def new_id(self) -> str:
        return f"{self.prefix}{next(self.numbers):012d}"

    async def add_node(
        self, node_id: str, hostname: str, state: "NodeStatus.State.ValueType" = NodeStatus.READY
    ) -> None:
        about = NodeDescription(hostname=hostname, address="127.0.0.1", stream_port=7441)
        await self.store.commit(
            [
                put(kinds.NODE, node_id, Node(meta=Meta(id=node_id), spec=NodeSpec(availability=NodeSpec.ACTIVE))),
                put(kinds.NODE_STATUS, node_id, NodeStatus(node_id=node_id, state=state, description=about)),
            ]
        )

    async def put_task(
        self,
        task_id: str,
        service_id: str,
        *,
        state: "TaskState.ValueType" = TaskState.RUNNING,
        desired: "TaskState.ValueType" = TaskState.RUNNING,
        revision: int = 1,
        node: str = "node1",
        slot: int = 1,
        network: str = "",
        message: str = "",
    ) -> None:
        task = Task(
            id=task_id,
            service_id=service_id,
            revision=revision,
            slot=slot,
            node_id=node,
            state=TaskState.ASSIGNED,
            desired_state=desired,
            addresses=[TaskAddress(network_id=network, address="10.0.0.2")] if network else [],
        )
        status = TaskStatus(task_id=task_id, state=state, at_ms=1, message=message)
        await self.store.commit([put(kinds.TASK, task_id, task), put(kinds.TASK_STATUS, task_id, status)])


def with_api(scenario: Callable[[Api], Awaitable[None]]) -> None:
    """Run a scenario with one manager."""

    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await scenario(Api(store))

    asyncio.run(run())


@asynccontextmanager
async def two_managers() -> AsyncGenerator[tuple[Api, Api]]:
    """Two managers of one cluster."""
    etcd = MemoryEtcd()
    async with loaded_store(etcd) as one, loaded_store(etcd) as other:
        yield Api(one, prefix="a"), Api(other, prefix="b")

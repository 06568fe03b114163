"""The containers' calls over the real store on etcd in memory, with planner and collector, and agents that obey."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from manager.agents.agent_address import AgentAddress
from manager.containers.container_first_run import ContainerFirstRun
from manager.containers.container_handler import ContainerHandler
from manager.containers.container_network_handler import ContainerNetworkHandler
from manager.containers.container_removal import ContainerRemoval
from manager.containers.container_runs import ContainerRuns
from manager.containers.container_wait_handler import ContainerWaitHandler
from manager.containers.task_calls import TaskCalls
from manager.controllers.container_collector import ContainerCollector
from manager.controllers.rebooted_containers import RebootedContainers
from manager.planner.loop import Planner
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from shoal import ids
from shoal.api.v1.agent_containers_pb2 import (
    ContainerSize,
    ReadContainerSizesRequest,
    ReadContainerSizesResponse,
)
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    ListContainersRequest,
    RemoveContainerRequest,
    StartContainerRequest,
    StopContainerRequest,
)
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_forward, is_terminal, observed_state, should_run
from tests.fakes.images import FakeImages
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.rig_agents import RigAgents
from tests.unit.manager_api.control_rig import ADMIN

IMAGE = "registry:5000/hello:1"


def definition(**fields: object) -> ContainerDefinition:
    """The least valid definition, with these fields."""
    found = ContainerDefinition(**fields)  # type: ignore[arg-type]  # the caller's
    found.task.container.image = found.task.container.image or IMAGE
    return found


@dataclass
class ContainerRig:
    """One manager's calls, and agents that do what they are told.

    Attributes:
        rejects: names of containers whose programs are not there.
        exit_codes: of programs that end as soon as they run, by the container's name.
        stops: whether programs end when they are to.
        makes_nothing: nodes do not get to what was created.
        unreadable: names of containers whose sizes are not known.
    """

    store: Store
    images: FakeImages = field(default_factory=FakeImages)
    now_ms: int = 1_800_000_000_000
    rejects: set[str] = field(default_factory=set)
    exit_codes: dict[str, int] = field(default_factory=dict)
    stops: bool = True
    makes_nothing: bool = False
    unreadable: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        clock = self.clock
        self.agents = RigAgents(self)
        self.records = ContainerHandler(
            store=self.store, images=self.images, sizes=self, now_ms=clock, new_id=ids.new_id
        )
        tasks = TaskCalls(store=self.store, agents=self.agents)
        self.runs = ContainerRuns(store=self.store, now_ms=clock, tasks=tasks)
        self.first_run = ContainerFirstRun(records=self.records, runs=self.runs)
        self.removal = ContainerRemoval(store=self.store, sizes=self, now_ms=clock, tasks=tasks)
        self.waits = ContainerWaitHandler(store=self.store, tasks=tasks)
        self.networks = ContainerNetworkHandler(store=self.store, now_ms=clock)

    def _name_of(self, identifier: str) -> str:
        container = self.store.tables.containers.get(identifier)
        return container.name if container is not None else ""

    async def read_sizes(self, agent: AgentAddress, request: ReadContainerSizesRequest) -> ReadContainerSizesResponse:
        """Each has 7 bytes on 100 of its image; those in `unreadable` have a problem."""
        sizes = [
            ContainerSize(container=each, problem="the disk failed")
            if self._name_of(each) in self.unreadable
            else ContainerSize(container=each, writable_bytes=7, image_bytes=100)
            for each in request.containers
        ]
        return ReadContainerSizesResponse(sizes=sizes)

    def clock(self) -> int:
        """A millisecond later each time, so that nothing is of the same moment."""
        self.now_ms += 1
        return self.now_ms

    async def create(self, name: str = "", node: str = "", **fields: object) -> ContainerView:
        request = CreateContainerRequest(name=name, definition=definition(**fields), node=node)
        return await self.records.create(request, ADMIN)

    async def start(self, name: str) -> ContainerView:
        return await self.runs.start(StartContainerRequest(container=name), ADMIN)

    async def run(self, name: str, **fields: object) -> ContainerView:
        await self.create(name, "", **fields)
        return await self.start(name)

    async def run_at_once(self, name: str = "", **fields: object) -> AsyncGenerator[ContainerView]:
        """As `run`, by one call; its answers."""
        async for view in self.first_run.run(CreateContainerRequest(name=name, definition=definition(**fields)), ADMIN):
            yield view

    async def stop(self, name: str) -> ContainerView:
        return await self.runs.stop(StopContainerRequest(container=name), ADMIN)

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        await self.removal.remove(RemoveContainerRequest(container=name, force=force, remove_volumes=volumes), ADMIN)

    async def names(self, **fields: object) -> list[str]:
        request = ListContainersRequest(**fields)  # type: ignore[arg-type]  # the caller's
        return [each.container.name for each in (await self.records.list(request, ADMIN)).containers]

    async def add_node(
        self, name: str, state: NodeStatus.State.ValueType = NodeStatus.READY, boot_id: str = "boot-1"
    ) -> None:
        about = NodeDescription(hostname=name, address="127.0.0.1", stream_port=7441, boot_id=boot_id)
        status = NodeStatus(node_id=name, state=state, since_ms=1_700_000_000_000, description=about)
        node = Node(meta=Meta(id=name), spec=NodeSpec(availability=NodeSpec.ACTIVE))
        await self.store.commit([put(kinds.NODE, name, node), put(kinds.NODE_STATUS, name, status)])

    async def add_network(self, name: str, subnet: str = "") -> None:
        """A network whose id is its name."""
        network = Network(meta=Meta(id=name), spec=NetworkSpec(name=name, subnet=subnet))
        named = put(kinds.NAME, f"network/{name}", Name(meta=Meta(id=name)))
        await self.store.commit([put(kinds.NETWORK, name, network), named])

    def container(self, name: str) -> Container:
        """The record of a container that exists."""
        found = self.store.tables.container_named(name)
        assert found is not None
        return found

    async def lose(self, name: str) -> None:
        """The node is down from now on."""
        await self.add_node(name, NodeStatus.DOWN)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the records are so."""
        with self.store.follow() as changes:
            while not holds():
                await anext(changes)

    async def obey(self) -> None:
        """Agents of ready nodes, until cancelled."""
        with self.store.follow() as changes:
            while True:
                writes = [put(kinds.TASK_STATUS, task.id, new) for task in self.tasks() if (new := self._next(task))]
                if writes:
                    await self.store.commit(writes)
                else:
                    await anext(changes)

    async def report(self, status: TaskStatus) -> None:
        """A state that a program came to by itself; by now any wait for its restart is over."""
        status.at_ms = self.clock()
        self.now_ms += 60_000
        await self.store.commit([put(kinds.TASK_STATUS, status.task_id, status)])

    def running(self, container_id: str) -> list[Task]:
        """Tasks of a container that run."""
        view = self.store.tables
        of_container = view.tasks_of(container_id).values()
        return [
            each for each in of_container if observed_state(each, view.task_status.get(each.id)) == TaskState.RUNNING
        ]

    def tasks(self) -> list[Task]:
        return [*self.store.tables.tasks.values()]

    def _next(self, task: Task) -> TaskStatus | None:
        status, node = self.store.tables.task_status.get(task.id), self.store.tables.node_status[task.node_id]
        state = observed_state(task, status)
        if is_terminal(state) or node.state != NodeStatus.READY:
            return None
        new = TaskStatus(task_id=task.id, at_ms=self.clock())
        if self.makes_nothing and state < TaskState.READY:
            return None
        container = self.store.tables.containers.get(task.container_id)  # it may have been removed before its placement
        name = container.name if container is not None else ""
        if not should_run(task):
            new.state, new.exit_code = TaskState.SHUTDOWN, 143
            return new if self.stops else None
        new.revision = task.revision
        if name in self.rejects and task.desired_state == TaskState.RUNNING:
            new.state, new.message, new.exit_code = TaskState.REJECTED, "executable file not found", 127
        elif state < min(task.desired_state, TaskState.RUNNING):
            new.state, new.running_at_ms = task.desired_state, new.at_ms
        elif state == TaskState.RUNNING and name in self.exit_codes:
            new.exit_code = self.exit_codes[name]
            new.state = TaskState.FAILED if new.exit_code else TaskState.COMPLETE
        elif status is not None and state == TaskState.RUNNING and status.revision != task.revision:
            new.state = TaskState.RUNNING
            return new
        return new if new.state and is_forward(status, new) else None

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Self]:
        """With planner, collector and agents."""
        fence = await self.store.commit([put(kinds.LEADER, "", Leader(manager_id="m"))])
        works = (
            Planner(store=self.store, clock=self.clock).run(fence),
            ContainerCollector(store=self.store).run(fence),
            RebootedContainers(store=self.store, now_ms=self.clock).run(fence),
            self.obey(),
        )
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def with_rig(scenario: Callable[[ContainerRig], Awaitable[None]], nodes: int = 2) -> None:
    """Run a scenario with one manager and some nodes, in half a minute at most."""

    async def run() -> None:
        async with asyncio.timeout(60), loaded_store(MemoryEtcd()) as store:
            rig = ContainerRig(store)
            for number in range(nodes):
                await rig.add_node(f"h{number + 1}")
            async with rig.working():
                await scenario(rig)

    asyncio.run(run())

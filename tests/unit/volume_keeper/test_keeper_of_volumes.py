"""The keeper on a real store: what it asks of agents, what it writes, and how it goes on after failures."""

import asyncio
from collections.abc import Awaitable, Callable

from manager.control_api.seams import AgentAddress
from manager.store import kinds
from manager.store.changes import Write, put
from manager.store.store import Store
from manager.volume_keeper.keeper import VolumeKeeper
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeUse
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import CsiDriver, Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.streams_pb2 import CallDriverRequest, CallDriverResponse, DriverFailure, DriverVolume
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import HeldPublication, NodeVolumes, Volume, VolumePublication, VolumeSpec
from shoal.errors import Unavailable
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd


class Agents:
    """Answers for every node; fails as often as it is told to.

    Attributes:
        asked: the node and the call of each request.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refusals = 0
        self.deaf = 0

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        call = request.WhichOneof("call")
        assert call is not None
        self.asked.append((agent.node_id, call))
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("the agent does not answer")
        if self.refusals:
            self.refusals -= 1
            return CallDriverResponse(failure=DriverFailure(message="driver d: no space (OUT_OF_RANGE)"))
        if call == "create":
            return CallDriverResponse(created=DriverVolume(driver_volume_id="real", context={"a": "b"}))
        return CallDriverResponse(done=CallDriverResponse.Done())


def node(name: str, *, controller: bool = True) -> list[Write]:
    driver = CsiDriver(name="d", node_id=f"d-{name}", controller=controller, creates=True, attaches=True)
    described = NodeDescription(hostname=name, address="192.0.2.1", stream_port=7441, csi_drivers=[driver])
    status = NodeStatus(node_id=name, state=NodeStatus.READY, description=described)
    return [put(kinds.NODE, name, Node(meta=Meta(id=name))), put(kinds.NODE_STATUS, name, status)]


def with_keeper(scenario: Callable[[Store, Agents], Awaitable[None]]) -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            agents = Agents()
            await store.commit([*node("n1"), *node("n2", controller=False)])
            keeping = asyncio.create_task(VolumeKeeper(store=store, agents=agents).run(0))
            try:
                async with asyncio.timeout(30):
                    await scenario(store, agents)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the store's own tables are what is waited for
        await asyncio.sleep(0.01)


async def make_volume(store: Store, *, removing: bool = False) -> None:
    volume = Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="d"), removing=removing)
    await store.commit([put(kinds.VOLUME, "v", volume)])


async def make_task(store: Store, node_id: str) -> None:
    use = VolumeUse(name="data", driver="d", single_node=True)
    container = ContainerSpec(mounts=[Mount(type=Mount.VOLUME, source="v", target="/d", volume=use)])
    spec = ServiceSpec(name="db", task=TaskTemplate(container=container))
    task = Task(id=f"t-{node_id}", service_id="s", revision=1, node_id=node_id)
    task.state, task.desired_state = TaskState.ASSIGNED, TaskState.RUNNING
    revision = ServiceRevision(service_id="s", number=1, spec=spec)
    await store.commit([put(kinds.REVISION, "s/1", revision), put(kinds.TASK, task.id, task)])


async def end_task(store: Store, node_id: str) -> None:
    status = TaskStatus(task_id=f"t-{node_id}", state=TaskState.SHUTDOWN)
    await store.commit([put(kinds.TASK_STATUS, status.task_id, status)])


def states(store: Store) -> list[tuple[str, int]]:
    return [(each.node_id, each.state) for each in store.tables.volume_status["v"].publications]


def test_from_its_making_to_its_end() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")
        await make_task(store, "n2")
        await until(lambda: states(store) == [("n2", VolumePublication.READY)])
        assert agents.asked == [("n1", "create"), ("n1", "attach")], "by the node that has the controller"
        await end_task(store, "n2")
        await until(lambda: states(store) == [("n2", VolumePublication.WITHDRAWN)])
        told = HeldPublication(volume_id="v", number=1, released=True)
        await store.commit([put(kinds.NODE_VOLUMES, "n2", NodeVolumes(node_id="n2", publications=[told]))])
        await until(lambda: states(store) == [])
        await make_volume(store, removing=True)
        await until(lambda: store.tables.volume_status["v"].deleted)
        assert [call for _, call in agents.asked] == ["create", "attach", "detach", "delete"]

    with_keeper(scenario)


def test_failures_are_told_and_it_is_asked_again() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.refusals = 1
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status and bool(store.tables.volume_status["v"].problem))
        told = store.tables.volume_status["v"]
        assert told.problem == "driver d: no space (OUT_OF_RANGE)" and not told.uncertain
        agents.deaf = 1
        await until(lambda: store.tables.volume_status["v"].uncertain)
        await until(lambda: bool(store.tables.volume_status["v"].driver_volume_id))
        assert store.tables.volume_status["v"].problem == "" and len(agents.asked) == 3

    with_keeper(scenario)


def test_a_driver_that_is_away_is_asked_as_soon_as_it_is_back() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        away = NodeStatus()
        away.CopyFrom(store.tables.node_status["n1"])
        back = NodeStatus()
        back.CopyFrom(away)
        away.description.csi_drivers[0].problem = "driver d is away"
        await store.commit([put(kinds.NODE_STATUS, "n1", away)])
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        assert "driver d is away: no node answers" in store.tables.volume_status["v"].problem and not agents.asked
        assert not store.tables.volume_status["v"].uncertain
        await store.commit([put(kinds.NODE_STATUS, "n1", back)])
        await until(lambda: bool(store.tables.volume_status["v"].driver_volume_id))

    with_keeper(scenario)

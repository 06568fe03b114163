"""What nodes are told of any changes: the marked records lead where a fresh start leads."""

from collections.abc import Callable, Sequence
from typing import cast

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assignments.assigned_state import AssignedState
from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.assignments.dirty_records import RecordRef
from manager.store.changes import Change
from manager.store.kinds import (
    ALLOCATION,
    NETWORK,
    NODE_STATUS,
    NODE_VOLUMES,
    SERVICE,
    SERVICE_STATUS,
    TASK,
    TASK_STATUS,
    VOLUME,
    Kind,
)
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.service_pb2 import (
    PublishedPort,
    Service,
    ServiceSpec,
    ServiceStatus,
    VirtualAddress,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.api.v1.volume_pb2 import LocalVolume, NodeVolumes, Volume
from shoal.networks.published_ports import MESH_NETWORK
from tests.unit.dispatcher.dispatcher_world import NODES, World, same

NETWORKS = ("a", "b", MESH_NETWORK)
SERVICES = ("s", "other")
VOLUMES = ("v", "w")
TASKS = ("t1", "t22", "t333", "t4444")
Step = Callable[[World], list[Change]]


def _put_task(task_id: str, node_id: str, service_id: str, networks: list[str], desired: TaskState.ValueType) -> Step:
    return lambda world: world.task(task_id, node_id, networks, service_id=service_id, desired=desired)


def _service(service_id: str, networks: list[str], is_on_mesh: bool) -> Step:
    places = [VirtualAddress(network_id=name, address="10.0.0.200") for name in networks]
    ports = [PublishedPort(target=80, published=8080)] if is_on_mesh else []
    status = ServiceStatus(service_id=service_id, virtual_addresses=places, mesh_ports=ports)
    service = Service(meta=Meta(id=service_id), spec=ServiceSpec(name=f"name-{service_id}"))
    return lambda world: [world.put(SERVICE, service_id, service), world.put(SERVICE_STATUS, service_id, status)]


def _volume(volume_id: str, removing: bool) -> Step:
    return lambda world: [world.put(VOLUME, volume_id, Volume(removing=removing))]


def _held(node_id: str, volumes: list[str]) -> Step:
    record = NodeVolumes(node_id=node_id, volumes=[LocalVolume(volume_id=each) for each in volumes])
    return lambda world: [world.put(NODE_VOLUMES, node_id, record)]


def _network(network_id: str, driver: str, subnet: int) -> Step:
    def step(world: World) -> list[Change]:
        network = Network(meta=Meta(id=network_id), spec=NetworkSpec(name=f"net-{network_id}", driver=driver))
        allocation = NetworkAllocation(network_id=network_id, subnet=f"10.0.{subnet}.0/24")
        return [world.put(NETWORK, network_id, network), world.put(ALLOCATION, network_id, allocation)]

    return step


def _delete(kind: Kind[Message], names: tuple[str, ...]) -> st.SearchStrategy[Step]:
    return st.sampled_from(names).map(lambda name: lambda world: [world.put(kind, name, None)])


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        _put_task,
        st.sampled_from(TASKS),
        st.sampled_from(NODES),
        st.sampled_from(SERVICES),
        st.lists(st.sampled_from(NETWORKS), unique=True),
        st.sampled_from([TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE]),
    ),
    st.builds(
        lambda task, state: lambda world: world.status(task, state),
        st.sampled_from(TASKS),
        st.sampled_from([TaskState.PREPARING, TaskState.RUNNING, TaskState.FAILED, TaskState.SHUTDOWN]),
    ),
    st.builds(
        lambda node, last: lambda world: world.node(node, address=f"192.0.2.{last}"),
        st.sampled_from(NODES),
        st.integers(1, 3),
    ),
    st.builds(_network, st.sampled_from(NETWORKS), st.sampled_from(["overlay", "bridge"]), st.integers(0, 1)),
    st.builds(_service, st.sampled_from(SERVICES), st.lists(st.sampled_from(NETWORKS[:2]), unique=True), st.booleans()),
    st.builds(_volume, st.sampled_from(VOLUMES), st.booleans()),
    st.builds(_held, st.sampled_from(NODES), st.lists(st.sampled_from(VOLUMES), unique=True)),
    *(
        _delete(kind, names)
        for kind, names in cast(
            Sequence[tuple[Kind[Message], tuple[str, ...]]],
            [
                (TASK, TASKS),
                (TASK_STATUS, TASKS),
                (NODE_STATUS, NODES),
                (NETWORK, NETWORKS),
                (ALLOCATION, NETWORKS),
                (SERVICE_STATUS, SERVICES),
                (NODE_VOLUMES, NODES),
                (VOLUME, VOLUMES),
            ],
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=4), max_size=12), st.integers(1, 3))
def test_marked_records_lead_where_a_fresh_start_leads(bursts: list[list[Step]], timeout: int) -> None:
    """A message is made of the marks of up to `patience` bursts, as they gather while another is on its way."""
    world = World()
    world.revision("s", 1, ["a"])
    world.revision("other", 1, ["b"])
    for node, network in zip(NODES, NETWORKS, strict=True):
        world.node(node)
        world.network(network)
    index = AssignmentIndex(world.tables)
    known = {node: AssignedState() for node in NODES}
    for node in NODES:
        known[node].apply(index.changes(node, None).assignments)
    waiting: dict[str, set[RecordRef]] = {node: set() for node in NODES}
    for turn, burst in enumerate(bursts, 1):
        for node, marks in index.update([change for step in burst for change in step(world)]).items():
            waiting[node] |= marks
        if turn % timeout and turn < len(bursts):
            continue
        fresh = AssignmentIndex(world.tables)
        for node in NODES:
            known[node].apply(index.changes(node, waiting[node]).assignments)
            waiting[node] = set()
            assert same(known[node], fresh.assignments(node)), node
            assert index.assignments(node) == fresh.assignments(node)


@given(st.lists(st.lists(STEPS, max_size=4), max_size=12))
def test_volumes_to_delete_are_told_of_when_they_come_to_be(bursts: list[list[Step]]) -> None:
    world = World()
    index = AssignmentIndex(world.tables)
    reported = {node: set(index.assignments(node).volumes_to_delete) for node in NODES}
    for burst in bursts:
        before = {node: index.assignments(node).volumes_to_delete for node in NODES}
        marks = index.update([change for step in burst for change in step(world)])
        for node in NODES:
            due = index.assignments(node).volumes_to_delete
            reported[node] |= set(index.changes(node, marks.get(node, set())).assignments.volumes_to_delete)
            assert due <= reported[node]
            reported[node] &= due | before[node]

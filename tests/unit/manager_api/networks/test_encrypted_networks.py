"""Encrypted networks as managers see them: who may have one, where its tasks go, whose keys are told to whom, and when
keys change."""

import pytest

from manager.controllers.overlay_key_timer import PERIOD_MS, OverlayKeyTimer, due_ms
from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.networks.overlay_key_rotation import OverlayKeyRotation
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.cluster_pb2 import OverlayKeys
from shoal.api.v1.control_pb2 import CreateNetworkRequest
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus, OverlayKey
from shoal.api.v1.service_pb2 import NetworkAttachment, Replicated, ServiceSpec, TaskTemplate
from shoal.errors import InvalidInput, Refused
from shoal.networks.overlay_encryption import is_encrypted
from tests.fakes.planner_world import World as PlannerWorld
from tests.unit.dispatcher.dispatcher_world import World
from tests.unit.manager_api.control_rig import ADMIN, Api, with_api

BANK = NetworkSpec(name="bank", options={"encrypted": ""})


async def describe(
    api: Api, node_id: str, *, features: tuple[str, ...] = (), generations: tuple[int, ...] = ()
) -> None:
    status = NodeStatus()
    status.CopyFrom(api.store.tables.node_status[node_id])
    status.description.features[:] = features
    keys = [OverlayKey(generation=each, public_key=bytes(32), port=1) for each in generations]
    del status.description.overlay_keys[:]
    status.description.overlay_keys.extend(keys)
    await api.store.commit([put(kinds.NODE_STATUS, node_id, status)])


def recorded(api: Api) -> tuple[int, int]:
    record = api.store.tables.overlay_keys
    assert record is not None
    return record.generation, record.changed_at_ms


@pytest.mark.parametrize(("value", "meant"), [("", True), ("true", True), ("false", False), ("x", False)])
def test_the_option_may_come_without_a_value(value: str, meant: bool) -> None:
    assert is_encrypted(NetworkSpec(options={"encrypted": value})) == meant
    assert not is_encrypted(NetworkSpec())


def test_where_no_kernel_can_it_is_refused_with_the_names_of_the_nodes() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2")
        with pytest.raises(
            InvalidInput,
            match=(
                r"no node supports encrypted networks \(h1, h2\): its kernel "
                r"needs WireGuard or IPsec ESP; load the module"
            ),
        ):
            await api.networks.create(CreateNetworkRequest(spec=BANK), ADMIN)
        await api.networks.create(
            CreateNetworkRequest(spec=NetworkSpec(name="street", options={"encrypted": "false"})), ADMIN
        )
        await describe(api, "node2", features=("wireguard",))
        response = await api.networks.create(CreateNetworkRequest(spec=BANK), ADMIN)
        assert list(response.warnings) == [
            "tasks on this network do not run on h1: the kernel there lacks the required encryption support"
        ]

    with_api(scenario)


def test_keys_change_one_step_at_a_time() -> None:
    async def scenario(api: Api) -> None:
        keys = OverlayKeyRotation(store=api.store, now_ms=lambda: 5000)
        await api.add_node("node1", "h1")
        await describe(api, "node1", features=("wireguard",))
        with pytest.raises(Refused, match="no encrypted network"):
            await keys.rotate()
        await api.networks.create(CreateNetworkRequest(spec=BANK), ADMIN)
        await describe(api, "node1", features=("wireguard",), generations=(1,))
        assert await keys.rotate() == 2
        assert recorded(api) == (2, 5000)
        for generations in ((1,), (1, 2)):
            await describe(api, "node1", generations=generations)
            with pytest.raises(Refused, match="in progress: h1 still uses older keys"):
                await keys.rotate()
        await describe(api, "node1", generations=(2,))
        assert await keys.rotate() == 3

    with_api(scenario)


def test_keys_change_by_themselves_after_half_a_day() -> None:
    async def scenario(api: Api) -> None:
        assert due_ms(api.store.tables) == float("inf")
        await api.networks.create(CreateNetworkRequest(spec=BANK), ADMIN)
        now = 1000 + PERIOD_MS - 1
        keys = OverlayKeyRotation(store=api.store, now_ms=lambda: now)
        timer = OverlayKeyTimer(store=api.store, keys=keys, now_ms=lambda: now)
        await timer.rotate_if_due(0)  # nobody leads, which is the term of this test
        assert api.store.tables.overlay_keys is None
        now += 1
        await timer.rotate_if_due(0)  # nobody leads, which is the term of this test
        assert recorded(api) == (2, now)
        assert due_ms(api.store.tables) == now + PERIOD_MS

    with_api(scenario)


def test_tasks_go_where_the_kernel_can() -> None:
    world = PlannerWorld()
    for name in ("h1", "h2"):
        world.node(name)
    world.put(kinds.NETWORK, "bank", Network(meta=Meta(id="bank"), spec=BANK))
    template = TaskTemplate(networks=[NetworkAttachment(network="bank")])
    template.container.image = "hello:1"
    world.service("vault", ServiceSpec(replicated=Replicated(replicas=2), task=template))
    world.plan()
    reasons = {task.reason for task in world.desired("vault")}
    assert reasons == {"no suitable node: 2 of 2 lack kernel support for encrypted networks (WireGuard and IPsec ESP)"}
    report_features(world, "h2", "wireguard")
    world.plan()
    assert {task.node_id for task in world.desired("vault")} == {"h2"}


def report_features(world: PlannerWorld, node_id: str, *features: str) -> None:
    status = NodeStatus()
    status.CopyFrom(world.tables.node_status[node_id])
    status.description.features[:] = features
    world.put(kinds.NODE_STATUS, node_id, status)


@pytest.mark.parametrize(
    ("second", "third", "fit"),
    [
        (("wireguard", "esp"), ("esp",), {"h2", "h3"}),
        (("esp",), ("esp",), {"h2", "h3"}),
        (("wireguard",), ("wireguard", "esp"), {"h2", "h3"}),
        (("wireguard",), ("esp",), {"h2"}),
    ],
)
def test_tasks_go_where_every_two_nodes_can_speak(
    second: tuple[str, ...], third: tuple[str, ...], fit: set[str]
) -> None:
    world = PlannerWorld()
    for name in ("h1", "h2", "h3"):
        world.node(name)
    report_features(world, "h2", *second)
    report_features(world, "h3", *third)
    world.put(kinds.NETWORK, "bank", Network(meta=Meta(id="bank"), spec=BANK))
    template = TaskTemplate(networks=[NetworkAttachment(network="bank")])
    template.placement.max_per_node = 1
    template.container.image = "hello:1"
    world.service("vault", ServiceSpec(replicated=Replicated(replicas=3), task=template))
    world.plan()
    tasks = world.desired("vault")
    assert {task.node_id for task in tasks if task.node_id} == fit
    if len(fit) == 1:
        assert any("2 of 3 lack kernel support for encrypted networks (WireGuard)" in task.reason for task in tasks), [
            each.reason for each in tasks
        ]


def keyed(world: World, node_id: str, number: int) -> None:
    (_, change) = world.node(node_id, address=f"192.0.2.{number}")
    status = NodeStatus()
    assert isinstance(change.new, NodeStatus)
    status.CopyFrom(change.new)
    status.description.overlay_keys.add(generation=1, public_key=bytes([number]) * 32, port=51830)
    world.put(kinds.NODE_STATUS, node_id, status)


def test_keys_are_told_to_those_alone_who_share_an_encrypted_network() -> None:
    world = World()
    for number, node_id in enumerate(("n1", "n2", "n3"), 1):
        keyed(world, node_id, number)
    world.network("street")
    world.network("bank")
    world.put(kinds.NETWORK, "bank", Network(meta=Meta(id="bank"), spec=BANK))
    world.revision("s", 1, ["bank", "street"])
    world.task("t1", "n1", ["bank", "street"])
    world.task("t22", "n2", ["bank"])
    world.task("t333", "n3", ["street"])
    index = AssignmentIndex(world.tables)
    peers = index.assignments("n1").peers
    assert [len(peers[node_id].keys) for node_id in ("n2", "n3")] == [1, 0]
    assert not index.assignments("n3").peers["n1"].keys
    networks = index.assignments("n1").networks
    assert {name: network.key_generation for name, network in networks.items()} == {"bank": 1, "street": 0}


def test_a_change_of_keys_reaches_the_nodes_of_encrypted_networks() -> None:
    world = World()
    for number, node_id in enumerate(("n1", "n2"), 1):
        keyed(world, node_id, number)
    world.network("street")
    world.network("bank")
    world.put(kinds.NETWORK, "bank", Network(meta=Meta(id="bank"), spec=BANK))
    world.revision("s", 1, ["bank", "street"])
    world.task("t1", "n1", ["bank"])
    world.task("t22", "n2", ["street"])
    index = AssignmentIndex(world.tables)
    marks = index.update([world.put(kinds.OVERLAY_KEYS, "", OverlayKeys(generation=2))])
    assert marks == {"n1": {("network", "bank")}}
    assert index.assignments("n1").networks["bank"].key_generation == 2

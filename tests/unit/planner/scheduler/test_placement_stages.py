"""What decides on a task's place: priorities, affinities, weights, generic resources, drains and rebalancing."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.store import kinds
from shoal.api.v1.meta_pb2 import GenericResource, Platform, Resources
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.service_pb2 import (
    Affinity,
    Placement,
    Preference,
    Replicated,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import GIB, World

MIB = 1 << 20


ORDERS = [UpdateConfig.ORDER_UNSPECIFIED, UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]


def spec(
    replicas: int,
    *,
    memory: int = 0,
    placement: Placement | None = None,
    priority: int = 0,
    order: UpdateConfig.Order.ValueType = UpdateConfig.ORDER_UNSPECIFIED,
) -> ServiceSpec:
    template = TaskTemplate(reservations=Resources(memory_bytes=memory), placement=placement)
    template.container.image = "hello:1"
    update = UpdateConfig(order=order)
    return ServiceSpec(replicated=Replicated(replicas=replicas), task=template, priority=priority, update=update)


def check_order(cluster: World, replicas: int, order: UpdateConfig.Order.ValueType) -> None:
    """Start-first never dips below the replicas; stop-first lets no two tasks of a slot run at once."""
    if order == UpdateConfig.START_FIRST:
        assert len(cluster.running("web")) >= replicas
    else:
        assert len(cluster.running("web")) >= replicas - 1
        assert max(Counter(task.slot for task in cluster.live("web")).values()) == 1


def world(nodes: int) -> World:
    cluster = World()
    for number in range(nodes):
        cluster.node(f"h{number + 1}", labels={"zone": "ab"[number % 2]})
    return cluster


def test_a_higher_priority_displaces_as_few_of_the_lowest_as_it_needs() -> None:
    cluster = world(2)
    cluster.service("low", spec(4, memory=GIB // 2, priority=-1))
    cluster.settle()
    cluster.service("same", spec(1, memory=GIB // 2, priority=-1))
    cluster.service("high", spec(1, memory=GIB // 2, priority=5))
    cluster.plan()
    [waiting] = cluster.desired("high")
    assert waiting.reason == "waiting until preempted tasks on node h1 have ended"
    [preempted] = [task for task in cluster.tasks("low") if task.desired_state > TaskState.RUNNING]
    assert preempted.reason == "preempted by service high with priority 5"
    cluster.settle()
    assert (len(cluster.running("high")), len(cluster.running("low")), len(cluster.running("same"))) == (1, 3, 0)


def test_room_that_was_made_is_not_taken_by_others() -> None:
    cluster = world(1)
    cluster.service("low", spec(4, memory=GIB // 4))
    cluster.settle()
    cluster.service("big", spec(1, memory=GIB // 2, priority=1))
    cluster.plan()
    stopping = [task for task in cluster.tasks("low") if task.desired_state > TaskState.RUNNING]
    assert len(stopping) == 2
    cluster.report(stopping[0], TaskState.SHUTDOWN)
    cluster.plan()
    assert len(cluster.desired("low")) == 3
    assert sum(1 for task in cluster.desired("low") if task.node_id) == 2
    cluster.settle()
    assert len(cluster.running("big")) == 1


def test_what_a_service_has_to_be_near_is_not_displaced_by_it() -> None:
    cluster = world(1)
    cluster.service("db", spec(1, memory=GIB))
    cluster.settle()
    near = Placement(affinities=[Affinity(service="db")])
    cluster.service("web", spec(1, memory=GIB, placement=near, priority=9))
    cluster.settle()
    assert len(cluster.running("db")) == 1
    assert [task.reason for task in cluster.tasks("web")] == ["no suitable node: 1 of 1 lacks 1 GiB of memory"]


def test_only_so_many_wait_for_room_at_once() -> None:
    cluster = World()
    cluster.node("h1", memory=30 * MIB)
    cluster.service("low", spec(30, memory=MIB))
    cluster.settle()
    cluster.service("high", spec(30, memory=MIB, priority=1))
    cluster.plan()
    assert sum(task.desired_state > TaskState.RUNNING for task in cluster.tasks("low")) == 10
    cluster.settle()
    assert len(cluster.running("high")) == 30


def test_affinities_hold_over_nodes_and_zones() -> None:
    cluster = world(4)
    cluster.service("db", spec(1))
    cluster.settle()
    [home] = cluster.by_node("db")
    zone = {name for name in ("h1", "h2", "h3", "h4") if (name in ("h1", "h3")) == (home in ("h1", "h3"))}
    cluster.service("near", spec(3, placement=Placement(affinities=[Affinity(service="db")])))
    over = Affinity(service="db", topology_key="node.labels.zone")
    cluster.service("same-zone", spec(4, placement=Placement(affinities=[over])))
    cluster.service("away", spec(3, placement=Placement(affinities=[Affinity(service="db", anti=True)])))
    cluster.settle()
    assert set(cluster.by_node("near")) == {home}
    assert set(cluster.by_node("same-zone")) == zone
    assert home not in cluster.by_node("away")
    cluster.service("db", spec(5))
    cluster.settle()
    assert set(cluster.by_node("db")) == {home}, "the others keep away from it, so it keeps away from them"


def test_a_soft_affinity_gives_way() -> None:
    cluster = world(2)
    cluster.service("db", spec(1, memory=GIB // 2))
    cluster.settle()
    [home] = cluster.by_node("db")
    request = Affinity(service="db", weight=100)
    cluster.service("web", spec(2, memory=GIB // 2, placement=Placement(affinities=[request])))
    cluster.settle()
    assert cluster.by_node("web")[home] == 1
    assert len(cluster.running("web")) == 2


def test_packed_nodes_are_filled_one_after_the_other() -> None:
    cluster = world(3)
    packed = Placement(preferences=[Preference(binpack="memory")])
    cluster.service("web", spec(6, memory=GIB // 4, placement=packed))
    cluster.settle()
    assert sorted(cluster.by_node("web").values()) == [2, 4]


def test_weights_are_weighed() -> None:
    cluster = world(4)
    both = [Preference(spread="node.labels.zone", weight=100), Preference(binpack="memory", weight=10)]
    cluster.service("web", spec(4, memory=GIB // 4, placement=Placement(preferences=both)))
    cluster.settle()
    assert sorted(cluster.by_node("web").values()) == [2, 2]


def test_generic_resources_are_given_by_name_and_by_number() -> None:
    cluster = World()
    stock = [GenericResource(kind="gpu", names=["GPU-1", "GPU-2", "GPU-3"]), GenericResource(kind="seat", count=5)]
    cluster.node("h1", generic=stock)
    requested = spec(2)
    requested.task.reservations.generic_resources.extend(
        [GenericResource(kind="gpu", count=2), GenericResource(kind="seat", count=1)]
    )
    cluster.service("web", requested)
    cluster.settle()
    [running] = cluster.running("web")
    assert [(each.kind, list(each.names), each.count) for each in running.generic_resources] == [
        ("gpu", ["GPU-1", "GPU-2"], 0),
        ("seat", [], 1),
    ]
    assert [task.reason for task in cluster.desired("web") if task.reason] == ["no suitable node: 1 of 1 lacks 2 gpu"]


def test_an_image_goes_to_nodes_of_its_platforms() -> None:
    cluster = World()
    cluster.node("h1", platform="linux/arm64")
    cluster.node("h2", platform="linux/amd64")
    cluster.service("web", spec(2, placement=Placement(platforms=[Platform(os="linux", architecture="amd64")])))
    cluster.settle()
    assert cluster.by_node("web") == {"h2": 2}
    cluster.service("arm", spec(1, placement=Placement(platforms=[Platform(os="linux", architecture="riscv64")])))
    cluster.settle()
    reason = "no suitable node: 2 of 2 are not a platform of the image (linux/riscv64)"
    assert [task.reason for task in cluster.tasks("arm")] == [reason]


@settings(deadline=None, max_examples=40)
@given(nodes=st.integers(2, 4), replicas=st.integers(1, 8), drained=st.integers(1, 4), order=st.sampled_from(ORDERS))
def test_a_drain_follows_the_order_of_the_service(
    nodes: int, replicas: int, drained: int, order: UpdateConfig.Order.ValueType
) -> None:
    cluster = world(nodes)
    cluster.service("web", spec(replicas, order=order))
    cluster.settle()
    for number in range(min(drained, nodes - 1)):
        cluster.set_availability(f"h{number + 1}", NodeSpec.DRAIN)
    for _ in range(60):
        cluster.plan()
        check_order(cluster, replicas, order)
        cluster.obey()
    assert not {f"h{number + 1}" for number in range(min(drained, nodes - 1))} & set(cluster.by_node("web"))
    assert len(cluster.running("web")) == replicas


def test_a_drain_ends_at_its_deadline() -> None:
    cluster = world(1)
    cluster.service("web", spec(2))
    cluster.settle()
    node = Node()
    node.CopyFrom(cluster.tables.nodes["h1"])
    node.spec.availability, node.spec.drain_deadline_ms = NodeSpec.DRAIN, cluster.now_ms + 30_000
    cluster.put(kinds.NODE, "h1", node)
    cluster.plan()
    assert len(cluster.running("web")) == 2  # there is no other node
    assert cluster.planner.next_due_ms() == cluster.now_ms + 30_000
    cluster.now_ms += 30_000
    cluster.plan()
    assert {task.reason for task in cluster.tasks("web")} == {"drain deadline exceeded"}


@settings(deadline=None, max_examples=40)
@given(
    replicas=st.integers(1, 12),
    before=st.integers(1, 3),
    after=st.integers(1, 3),
    by_zone=st.booleans(),
    order=st.sampled_from(ORDERS),
)
def test_rebalancing_evens_out_in_the_order_of_the_service(
    replicas: int, before: int, after: int, by_zone: bool, order: UpdateConfig.Order.ValueType
) -> None:
    cluster = world(before)
    placement = Placement(spread=["node.labels.zone"] if by_zone else [])
    cluster.service("web", spec(replicas, placement=placement, order=order))
    cluster.settle()
    for number in range(before, before + after):
        cluster.node(f"h{number + 1}", labels={"zone": "ab"[number % 2]})
    cluster.settle()
    cluster.rebalance("web")
    cluster.now_ms += 1
    for _ in range(80):
        cluster.plan()
        check_order(cluster, replicas, order)
        cluster.obey()
        cluster.now_ms += 1
    counts = [cluster.by_node("web").get(f"h{number + 1}", 0) for number in range(before + after)]
    zones = [sum(counts[0::2]), sum(counts[1::2])]
    groups = [counts[0::2], counts[1::2]] if by_zone else [counts]
    assert not by_zone or max(zones) - min(zones) <= 1
    assert all(max(group) - min(group) <= 1 for group in groups if group)
    assert len(cluster.running("web")) == replicas


@pytest.mark.parametrize("nodes", [2, 3])
def test_rebalancing_what_is_even_moves_nothing(nodes: int) -> None:
    cluster = world(nodes)
    cluster.service("web", spec(5))
    cluster.settle()
    before = {task.id for task in cluster.running("web")}
    cluster.now_ms += 1
    cluster.rebalance("web")
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == before


def test_a_rebalancing_is_over_once_all_is_even_and_later_nodes_move_nothing() -> None:
    cluster = world(3)
    cluster.service("web", spec(4))
    cluster.settle()
    before = {task.id for task in cluster.running("web")}
    cluster.rebalance("web")
    cluster.settle()
    assert (
        cluster.tables.service_status["web"].handled_rebalance_at_ms
        == cluster.tables.services["web"].rebalance_requested_at_ms
    )
    cluster.node("h4")
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == before
    cluster.rebalance("web")
    cluster.settle()
    assert sorted(cluster.by_node("web").values()) == [1, 1, 1, 1]


def test_a_rebalancing_that_is_under_way_goes_on_when_a_node_comes() -> None:
    cluster = world(1)
    cluster.service("web", spec(6))
    cluster.settle()
    cluster.node("h2")
    cluster.rebalance("web")
    cluster.now_ms += 1
    cluster.plan()
    cluster.node("h3")
    cluster.settle()
    assert sorted(cluster.by_node("web").values()) == [2, 2, 2]


def test_what_is_left_of_a_removed_service_keeps_nobody_away() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    cluster.remove_service("web")
    cluster.plan()
    agent = ServiceSpec(task=TaskTemplate())
    getattr(agent, "global").SetInParent()
    agent.task.placement.affinities.append(Affinity(service="web", anti=True))
    cluster.service("agent", agent)
    cluster.plan()
    assert len(cluster.live("web")) == 2
    assert cluster.by_node("agent") == {"h1": 1, "h2": 1}

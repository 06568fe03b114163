"""While canaries wait, every other slot keeps what ran before: whatever is scaled, ends or moves in the meantime."""

from collections import Counter

import pytest

from manager.planner.spec.effective_spec import current_update
from manager.store import kinds
from shoal.api.v1.control_pb2 import ManageUpdateRequest
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.service_pb2 import (
    Autoscale,
    AutoscaleStatus,
    Global,
    Replicated,
    RestartPolicy,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.planner_world import World

S = UpdateStatus
MANAGE = ManageUpdateRequest
START_FIRST, STOP_FIRST = UpdateConfig.START_FIRST, UpdateConfig.STOP_FIRST
BOTH_ORDERS = pytest.mark.parametrize("order", [START_FIRST, STOP_FIRST])


def spec(image: str, *, replicas: int = 4, canary: int = 1, **update: object) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(restart=RestartPolicy(delay_ms=0)))
    made.task.container.image = image
    made.update.CopyFrom(UpdateConfig(canary=canary, monitor_ms=0, **update))  # type: ignore[arg-type]
    return made


def cluster(nodes: int = 3) -> World:
    world = World()
    for number in range(1, nodes + 1):
        world.node(f"h{number}", labels={"disk": "ssd"})
    return world


def waiting(world: World, **update: object) -> World:
    """A service of four tasks, one of which is a canary that waits."""
    world.service("web", spec("a:1", **update))  # type: ignore[arg-type]
    world.settle()
    world.service("web", spec("a:2", **update))  # type: ignore[arg-type]
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 3, "a:2": 1})
    return world


def state(world: World) -> UpdateStatus.State.ValueType:
    update = current_update(world.tables, world.tables.services["web"])
    assert update is not None
    return update.state


def image(world: World, task: Task) -> str:
    return world.tables.revisions[f"web/{task.revision}"].spec.task.container.image


def images(world: World) -> Counter[str]:
    return Counter(image(world, task) for task in world.running("web"))


def running(world: World, name: str) -> list[Task]:
    return [task for task in world.running("web") if image(world, task) == name]


def most_canaries(world: World, *, rounds: int = 30) -> int:
    """The most slots that are to run the new template at once, while the cluster comes to rest."""
    most = 0
    for _ in range(rounds):
        world.plan()
        most = max(most, len({task.slot for task in world.desired("web") if image(world, task) == "a:2"}))
        world.obey()
    return most


def test_a_canary_that_failed_keeps_its_slot() -> None:
    """A slot whose task ends at the same time does not become another canary."""
    world = cluster()
    policy = {"failure_action": UpdateConfig.CONTINUE}
    world.service("web", spec("a:1", replicas=2, **policy))
    world.settle()
    world.service("web", spec("a:2", replicas=2, **policy))
    world.settle()
    (canary,), (other,) = running(world, "a:2"), running(world, "a:1")
    world.report(canary, TaskState.FAILED)
    world.report(other, TaskState.FAILED)
    assert most_canaries(world) == 1
    world.settle()
    assert images(world) == {"a:1": 1, "a:2": 1}
    assert [task.slot for task in running(world, "a:2")] == [canary.slot]


@pytest.mark.parametrize(("canary", "replicas"), [(1, 10), (2, 10), (6, 10), (1, 5)])
@BOTH_ORDERS
def test_an_image_and_more_replicas_at_once(order: UpdateConfig.Order.ValueType, canary: int, replicas: int) -> None:
    world = cluster()
    world.service("web", spec("a:1", canary=canary, order=order))
    world.settle()
    world.service("web", spec("a:2", replicas=replicas, canary=canary, order=order))
    assert most_canaries(world) == canary
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": replicas - canary, "a:2": canary})
    world.manage("web", MANAGE.PROMOTE)
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:2": replicas})


def test_an_image_and_more_replicas_when_the_leader_changes_in_between() -> None:
    for cut in range(9):
        world = cluster()
        world.service("web", spec("a:1"))
        world.settle()
        world.service("web", spec("a:2", replicas=8))
        world.plan(cut=cut)
        assert most_canaries(world) == 1
        world.settle()
        assert (state(world), images(world)) == (S.CANARY, {"a:1": 7, "a:2": 1})


def test_an_image_and_fewer_replicas_at_once() -> None:
    world = cluster()
    world.service("web", spec("a:1"))
    world.settle()
    world.service("web", spec("a:2", replicas=2))
    assert most_canaries(world) == 1
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 1, "a:2": 1})


def test_a_service_of_which_nothing_runs_has_nothing_to_keep() -> None:
    world = cluster()
    world.service("web", spec("a:1", replicas=0))
    world.settle()
    world.service("web", spec("a:2", replicas=4))
    world.settle()
    assert images(world) == {"a:2": 4}


def test_a_node_that_comes_meanwhile_gets_what_ran_before() -> None:
    world = cluster()
    made = spec("a:1")
    getattr(made, "global").CopyFrom(Global())
    world.service("web", made)
    world.settle()
    made.task.container.image = "a:2"
    world.service("web", made)
    world.node("h4")
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 3, "a:2": 1})
    world.node("h5")
    world.settle()
    assert images(world) == {"a:1": 4, "a:2": 1}


def test_the_autoscaler_adds_what_ran_before() -> None:
    world = cluster()
    made = spec("a:1")
    made.autoscale.CopyFrom(Autoscale(min_replicas=2, max_replicas=10, cpu_percent=50))
    world.service("web", made)
    world.settle()
    made.task.container.image = "a:2"
    world.put(kinds.AUTOSCALE, "web", AutoscaleStatus(service_id="web", replicas=6))
    world.service("web", made)
    assert most_canaries(world) == 1
    world.put(kinds.AUTOSCALE, "web", AutoscaleStatus(service_id="web", replicas=9))
    assert most_canaries(world) == 1
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 8, "a:2": 1})


@BOTH_ORDERS
def test_a_drain_keeps_what_each_slot_runs(order: UpdateConfig.Order.ValueType) -> None:
    world = waiting(cluster(), order=order)
    before = {task.slot: image(world, task) for task in world.running("web")}
    for name in ("h1", "h2"):
        world.set_availability(name, NodeSpec.DRAIN)
        assert most_canaries(world) == 1
        world.settle()
        assert {task.slot: image(world, task) for task in world.running("web")} == before
        assert name not in world.by_node("web")
    assert state(world) == S.CANARY
    assert {task.reason for task in world.tasks("web") if task.revision == 1 and task.reason} <= {
        "its node is drained",
        "replaced by an update",
    }


def test_a_drain_whose_time_is_over_stops_what_ran_before_and_fills_its_slot_with_that() -> None:
    world = waiting(cluster(), order=STOP_FIRST)
    before = {task.slot: image(world, task) for task in world.running("web")}
    node = Node()
    node.CopyFrom(world.tables.nodes["h1"])
    node.spec.availability, node.spec.drain_deadline_ms = NodeSpec.DRAIN, world.now_ms
    world.put(kinds.NODE, "h1", node)
    assert most_canaries(world) == 1
    world.settle()
    assert {task.slot: image(world, task) for task in world.running("web")} == before
    assert "h1" not in world.by_node("web")


@BOTH_ORDERS
def test_a_drain_takes_as_many_at_once_as_an_update_does(order: UpdateConfig.Order.ValueType) -> None:
    world = cluster(1)
    waiting(world, order=order)
    world.node("h2")
    world.set_availability("h1", NodeSpec.DRAIN)
    for _ in range(30):
        world.plan()
        serving = {task.slot for task in world.running("web")}
        assert len(serving) >= (4 if order == START_FIRST else 3)
        assert len(world.desired("web")) <= (5 if order == START_FIRST else 4)
        world.obey(at_once=1)
    world.settle()
    assert (world.by_node("web"), images(world)) == ({"h2": 4}, {"a:1": 3, "a:2": 1})


@BOTH_ORDERS
def test_placement_moves_what_ran_before_as_that(order: UpdateConfig.Order.ValueType) -> None:
    world = cluster()
    for made in (spec("a:1", order=order), spec("a:2", order=order)):
        made.task.placement.constraints.append("node.labels.disk == ssd")
        world.service("web", made)
        world.settle()
    before = {task.slot: image(world, task) for task in world.running("web")}
    world.relabel("h1", disk="hdd")
    assert most_canaries(world) == 1
    world.settle()
    assert {task.slot: image(world, task) for task in world.running("web")} == before
    assert "h1" not in world.by_node("web")
    assert state(world) == S.CANARY


@BOTH_ORDERS
def test_evening_out_while_the_update_is_paused_keeps_what_each_slot_runs(order: UpdateConfig.Order.ValueType) -> None:
    world = waiting(cluster(1), order=order)
    world.manage("web", MANAGE.PAUSE)
    world.settle()
    before = {task.slot: image(world, task) for task in world.running("web")}
    world.node("h2")
    world.now_ms += 1_000
    world.rebalance("web")
    world.settle()
    assert {task.slot: image(world, task) for task in world.running("web")} == before
    assert world.by_node("web") == {"h1": 2, "h2": 2}


def test_a_successor_that_fails_beside_what_is_drained_is_tried_again_later() -> None:
    world = cluster(4)
    for name in ("a:1", "a:2"):
        made = spec(name, order=START_FIRST)
        made.task.restart.delay_ms = 10_000
        world.service("web", made)
        world.settle()
    leaving = running(world, "a:1")[0]
    world.set_availability(leaving.node_id, NodeSpec.DRAIN)
    world.plan()
    (successor,) = (task for task in world.desired("web") if world.state(task) != TaskState.RUNNING)
    assert (image(world, successor), successor.slot) == ("a:1", leaving.slot)
    world.report(successor, TaskState.FAILED)
    world.plan()
    assert not [task for task in world.desired("web") if world.state(task) != TaskState.RUNNING]
    assert leaving.id in {task.id for task in world.running("web")}
    world.now_ms += 10_000
    world.settle()
    assert leaving.node_id not in world.by_node("web")
    assert images(world) == {"a:1": 3, "a:2": 1}


def test_an_image_for_other_platforms_does_not_move_what_ran_before() -> None:
    world = World()
    for name, platform in (("h1", "linux/amd64"), ("h2", "linux/amd64"), ("h3", "linux/arm64")):
        world.node(name, platform=platform)
    made = spec("a:1")
    made.task.placement.platforms.add(os="linux", architecture="amd64")
    world.service("web", made)
    world.settle()
    made.task.container.image = "a:2"
    made.task.placement.platforms[0].architecture = "arm64"
    world.service("web", made)
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 3, "a:2": 1})
    assert {task.node_id for task in running(world, "a:2")} == {"h3"}
    lost = running(world, "a:1")[0]
    world.report(lost, TaskState.FAILED)
    world.settle()
    assert images(world) == {"a:1": 3, "a:2": 1}
    assert {task.node_id for task in running(world, "a:1")} <= {"h1", "h2"}


def test_waiting_for_long_does_not_make_an_update_late() -> None:
    """A canary that starts anew after hours of waiting has as long as a new one."""
    world = waiting(cluster(), max_failure_ratio=0.5)
    world.now_ms += 5 * 3_600_000
    (canary,) = running(world, "a:2")
    world.set_availability(canary.node_id, NodeSpec.DRAIN)
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 3, "a:2": 1})


def test_a_paused_update_makes_no_canaries() -> None:
    world = cluster()
    world.service("web", spec("a:1"))
    world.settle()
    world.service("web", spec("a:2"))
    world.plan()
    assert world.manage("web", MANAGE.PAUSE)
    world.settle()
    assert (state(world), images(world)) == (S.PAUSED, {"a:1": 4})
    assert world.manage("web", MANAGE.RESUME)
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 3, "a:2": 1})


@pytest.mark.parametrize("why", ["drained", "misplaced"])
def test_an_update_whose_new_task_is_to_move_waits_until_it_has_proven_itself(why: str) -> None:
    world = cluster(1)
    for name in ("a:1", "a:2"):
        made = spec(name, replicas=1, canary=0)
        made.update.monitor_ms = 10_000
        made.task.placement.constraints.append("node.labels.disk == ssd")
        world.service("web", made)
        if name == "a:1":
            world.settle()
    for _ in range(3):
        world.plan()
        world.obey()
    assert images(world) == {"a:2": 1}
    if why == "drained":
        world.set_availability("h1", NodeSpec.DRAIN)
    else:
        world.relabel("h1", disk="hdd")
    world.plan()
    assert state(world) == S.UPDATING
    assert world.planner.next_due_ms() == world.now_ms + 10_000
    world.now_ms += 10_000
    world.plan()
    assert state(world) == S.COMPLETED

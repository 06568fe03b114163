"""Slots that settle without a decision, also when an update of many tasks begins."""

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots
from manager.planner.slots.slot_tasks import settle_ready
from manager.planner.spec.running_template import DesiredTemplate
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.fakes.planner_world import World


def spec(image: str, replicas: int = 6) -> ServiceSpec:
    made = ServiceSpec()
    made.replicated.replicas = replicas
    made.task.container.image = image
    made.task.placement.max_per_node = 2
    return made


def world() -> World:
    cluster = World()
    for name in ("n0", "n1", "n2"):
        cluster.node(name)
    cluster.service("web", spec("hello:1"))
    cluster.settle()
    return cluster


def glance(cluster: World) -> ServiceSlots:
    """The service's index after a pass with every slot dirty."""
    view, slots = cluster.tables, cluster.planner.slot_index
    draft = Draft(
        view=view, resources=cluster.planner.resources, slot_index=slots, now_ms=cluster.now_ms, new_id=lambda: "none"
    )
    index = slots.of_service("web")
    index.mark_all_dirty()
    settle_ready(draft, index, DesiredTemplate(view, view.services["web"]), lambda _: "", canaries=False)
    return index


def test_tasks_that_run_what_is_wanted_are_left_alone() -> None:
    index = glance(world())
    assert not index.dirty and not index.outdated
    assert index.settled_by_node == {"n0": 2, "n1": 2, "n2": 2}


def test_when_an_update_begins_those_that_run_the_old_template_wait_for_it() -> None:
    cluster = world()
    cluster.service("web", spec("hello:2"))
    index = glance(cluster)
    assert not index.dirty
    assert index.outdated == dict.fromkeys(range(1, 7), 1)
    index.mark_outdated_dirty(2)
    assert index.dirty == {1, 2}


def test_a_revision_that_says_the_same_is_no_update() -> None:
    cluster = world()
    same = spec("hello:1")
    same.labels["a"] = "b"
    cluster.service("web", same)
    index = glance(cluster)
    assert not index.outdated


def test_those_on_nodes_that_are_drained_or_down_are_decided_about() -> None:
    cluster = world()
    cluster.service("web", spec("hello:2"))
    cluster.set_availability("n0", NodeSpec.DRAIN)
    on_n0 = {task.slot for task in cluster.running("web") if task.node_id == "n0"}
    index = glance(cluster)
    assert index.dirty == on_n0
    assert index.outdated.keys() == set(range(1, 7)) - on_n0


def test_an_update_of_many_goes_on_task_by_task() -> None:
    cluster = world()
    new = spec("hello:2")
    new.update.parallelism = 1
    cluster.service("web", new)
    cluster.plan()
    stopping = [task.slot for task in cluster.tasks("web") if task not in cluster.desired("web")]
    assert stopping == [1]
    cluster.settle()
    assert {task.revision for task in cluster.running("web")} == {2}

"""Nodes that are lost, removed, drained and paused, in virtual time."""

from manager.store import kinds
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Global,
    NetworkAttachment,
    Placement,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import GIB
from tests.unit.planner.stage_world import spec, world


def test_a_lost_node_is_replaced_at_once_and_given_up_after_a_day() -> None:
    cluster = world(3)
    cluster.network("front")
    requested = spec(3)
    requested.task.networks.append(NetworkAttachment(network="front"))
    cluster.service("web", requested)
    cluster.settle()
    [lost] = [task for task in cluster.running("web") if task.node_id == "h2"]
    cluster.set_state("h2", NodeStatus.DOWN)
    cluster.plan()
    gone = cluster.tables.tasks[lost.id]
    assert (gone.desired_state, gone.reason) == (TaskState.SHUTDOWN, "node h2 is down")
    assert len(cluster.desired("web")) == 3
    held = lost.addresses[0].address
    assert held not in {task.addresses[0].address for task in cluster.desired("web")}
    due = cluster.planner.next_due_ms()
    assert due == cluster.now_ms + 24 * 3_600_000
    cluster.now_ms = due
    cluster.plan()
    assert cluster.tables.tasks[lost.id].state == TaskState.ORPHANED
    assert len(cluster.planner.resources.pool("front").used) == 4  # the service's own among them


def test_a_removed_node_takes_its_tasks_with_it() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    cluster.put(kinds.NODE, "h2", None)
    cluster.put(kinds.NODE_STATUS, "h2", None)
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 2}
    assert len(cluster.tables.tasks) == len(cluster.tables.task_status) == 2


def test_a_drained_node_is_emptied_one_task_at_a_time() -> None:
    cluster = world(3)
    cluster.service("web", spec(6))
    cluster.settle()
    cluster.set_availability("h3", NodeSpec.DRAIN)
    while cluster.by_node("web").get("h3"):
        cluster.plan()
        assert len(cluster.running("web")) >= 5
        cluster.obey()
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 3, "h2": 3}
    assert not cluster.tables.service_status.get("web")  # a drain is no update


def test_a_drain_goes_on_after_an_update_that_was_rolled_back() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    cluster.service("web", spec(3, image="broken"))
    while cluster.tables.service_status.get("web") is None or not cluster.tables.service_status["web"].update.message:
        cluster.plan()
        for task in cluster.live("web"):
            if task.revision == 2:
                cluster.report(task, TaskState.FAILED, message="exit 7")
            elif task.desired_state > TaskState.RUNNING:
                cluster.report(task, TaskState.SHUTDOWN)
    cluster.settle()
    update = cluster.tables.service_status["web"].update
    assert (update.state, update.effective_revision) == (UpdateStatus.ROLLED_BACK, 1)
    assert update.message == "1 of 3 tasks failed: exit 7"
    assert [task.revision for task in cluster.running("web")] == [1, 1, 1]
    cluster.service("web", spec(3))  # the user takes back what failed: nothing is to be replaced
    cluster.set_availability("h3", NodeSpec.DRAIN)
    cluster.settle()
    assert set(cluster.by_node("web")) == {"h1", "h2"}


def test_a_paused_node_keeps_its_tasks_and_gets_no_more() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    cluster.set_availability("h2", NodeSpec.PAUSE)
    cluster.service("web", spec(4))
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 3, "h2": 1}


def test_a_global_service_follows_the_nodes() -> None:
    cluster = world(2)
    requested = spec(0)
    getattr(requested, "global").CopyFrom(Global())
    requested.task.placement.CopyFrom(Placement(constraints=["node.hostname != h3"]))
    cluster.service("agent", requested)
    cluster.settle()
    cluster.node("h3")
    cluster.node("h4")
    cluster.settle()
    assert cluster.by_node("agent") == {"h1": 1, "h2": 1, "h4": 1}
    cluster.set_availability("h1", NodeSpec.DRAIN)
    cluster.settle()
    assert cluster.by_node("agent") == {"h2": 1, "h4": 1}
    requested.task.container.image = "hello:2"
    cluster.service("agent", requested)
    cluster.settle()
    assert [task.revision for task in cluster.running("agent")] == [2, 2]
    cluster.node("h5", memory=1)
    requested.task.reservations.memory_bytes = GIB // 2
    cluster.service("agent", requested)
    cluster.settle()
    assert list(cluster.tables.service_status["agent"].problems) == ["node h5 lacks 512 MiB of memory"]

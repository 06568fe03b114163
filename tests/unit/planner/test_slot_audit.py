"""Once a minute what is remembered between passes is compared with the view: a lost change costs a minute, not more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.planner.plan import plan
from manager.store import kinds
from manager.store.changes import Change
from manager.store.kinds import Kind, M
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Global, Replicated, RestartPolicy, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.fakes.planner_world import IdSource, World


def world(*, everywhere: bool = False) -> World:
    made = World()
    for name in ("h1", "h2", "h3"):
        made.node(name)
    task = TaskTemplate(restart=RestartPolicy(delay_ms=0))
    spec = ServiceSpec(task=task, replicated=Replicated(replicas=9))
    if everywhere:
        spec = ServiceSpec(task=task)
        getattr(spec, "global").CopyFrom(Global())
    made.service("web", spec)
    made.settle()
    return made


def lose(world: World, kind: Kind[M], identifier: str, new: M | None) -> None:
    """The tables change without the planner's knowledge."""
    old = world.tables.rows(kind).get(identifier)
    change = Change(kind, identifier, old, new)  # type: ignore[arg-type]  # see kinds.KINDS
    world.tables.apply([change], world.tables.revision + 1)


def check(world: World) -> None:
    """After an audit the planner plans what one without a memory would."""
    for _ in world.planner.audit():
        pass
    world.planner.repair()
    found = world.planner.plan(now_ms=world.now_ms, new_id=IdSource(900))
    assert found.writes == plan(world.tables, now_ms=world.now_ms, new_id=IdSource(900)).writes


def fail(world: World, task: Task) -> TaskStatus:
    return TaskStatus(task_id=task.id, state=TaskState.FAILED, at_ms=world.now_ms, running_at_ms=world.now_ms)


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_status_that_was_lost(everywhere: bool) -> None:
    cluster = world(everywhere=everywhere)
    task = cluster.tasks("web")[1]
    lose(cluster, kinds.TASK_STATUS, task.id, fail(cluster, task))
    assert not cluster.planner.plan(now_ms=cluster.now_ms, new_id=IdSource(0)).writes
    check(cluster)


def test_a_node_that_was_lost() -> None:
    cluster = world()
    down = NodeStatus()
    down.CopyFrom(cluster.tables.node_status["h2"])
    down.state = NodeStatus.DOWN
    lose(cluster, kinds.NODE_STATUS, "h2", down)
    check(cluster)


def test_a_task_that_was_lost() -> None:
    cluster = world()
    lose(cluster, kinds.TASK, cluster.tasks("web")[4].id, None)
    check(cluster)


def test_a_task_that_changed() -> None:
    cluster = world()
    changed = Task()
    changed.CopyFrom(cluster.tasks("web")[2])
    changed.desired_state = TaskState.SHUTDOWN
    lose(cluster, kinds.TASK, changed.id, changed)
    check(cluster)


def test_a_status_without_a_task() -> None:
    cluster = world()
    lose(cluster, kinds.TASK_STATUS, "ghost", TaskStatus(task_id="ghost", state=TaskState.RUNNING))
    check(cluster)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["fail", "stop", "forget", "both"])), max_size=4))
def test_whatever_was_lost(lost: list[tuple[int, str]]) -> None:
    cluster = world()
    tasks = cluster.tasks("web")
    for number, what in lost:
        task = tasks[number]
        if what == "fail":
            lose(cluster, kinds.TASK_STATUS, task.id, fail(cluster, task))
        elif what == "stop":
            changed = Task()
            changed.CopyFrom(task)
            changed.desired_state = TaskState.SHUTDOWN
            lose(cluster, kinds.TASK, task.id, changed)
        else:
            lose(cluster, kinds.TASK, task.id, None)
            if what == "both":
                lose(cluster, kinds.TASK_STATUS, task.id, None)
    check(cluster)

"""A slot's earlier restarts, which its next task has with it: so its node counts attempts as the planner does."""

from collections.abc import Sequence

import pytest

from agent.worker.restarts.next_run import next_run
from manager.store import kinds
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ReplicatedJob, RestartPolicy, ServiceSpec, UpdateConfig
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.restarts import runs
from tests.fakes.planner_world import World
from tests.unit.planner.stage_world import spec, world

S = TaskState
HOUR_MS = 3_600_000


def bounded(max_attempts: int = 3, *, window_ms: int = 0, image: str = "hello:1") -> ServiceSpec:
    made = spec(1, image=image)
    made.task.restart.CopyFrom(RestartPolicy(max_attempts=max_attempts, window_ms=window_ms))
    return made


def the_task(cluster: World) -> Task:
    """The one that is to run, of a new plan; no two tasks of a slot are of the same millisecond."""
    cluster.now_ms += 1_000
    cluster.plan()
    [task] = cluster.desired("web")
    return task


def fail(cluster: World, *, after_ms: int = 120_000) -> Task:
    """Its task runs for so long, which is no crash loop, and fails; its successor, where it has one."""
    task = the_task(cluster)
    cluster.report(task, S.RUNNING)
    cluster.now_ms += after_ms
    end = TaskStatus()
    end.CopyFrom(cluster.tables.task_status[task.id])
    end.state, end.at_ms, end.message = S.FAILED, cluster.now_ms, "exit code 3"
    cluster.put(kinds.TASK_STATUS, task.id, end)
    cluster.plan()
    cluster.now_ms += HOUR_MS
    return the_task(cluster)


def restart_by_its_node(cluster: World, task: Task, times_ms: Sequence[int]) -> None:
    """Its node reports that it has restarted it."""
    status = cluster.tables.task_status[task.id]
    for at_ms in times_ms:
        status = runs.restarted(status, status, attempt=1, delay_ms=0, now_ms=at_ms)
    cluster.put(kinds.TASK_STATUS, task.id, status)


def test_a_task_has_the_times_of_restarts_by_managers_and_by_nodes() -> None:
    cluster = world(1)
    cluster.service("web", bounded(5))
    first = the_task(cluster)
    assert not first.restarted_at_ms
    second = fail(cluster)
    assert not second.restarted_at_ms, "it is the first restart itself"
    cluster.report(second, S.RUNNING)
    by_node = [cluster.now_ms + 1_000, cluster.now_ms + 2_000]
    restart_by_its_node(cluster, second, by_node)
    third = fail(cluster)
    assert list(third.restarted_at_ms) == [second.created_at_ms, *by_node]
    fourth = fail(cluster)
    assert list(fourth.restarted_at_ms) == [second.created_at_ms, *by_node, third.created_at_ms]


def test_without_a_bound_no_task_has_any() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    fail(cluster)
    assert not fail(cluster).restarted_at_ms


def test_another_template_begins_anew() -> None:
    cluster = world(1)
    cluster.service("web", bounded())
    fail(cluster)
    assert fail(cluster).restarted_at_ms
    the_task(cluster)
    cluster.service("web", bounded(image="hello:2"))
    cluster.settle()
    assert not the_task(cluster).restarted_at_ms
    fail(cluster)
    assert len(fail(cluster).restarted_at_ms) == 1


def test_a_pending_task_has_them_and_those_of_its_own_template_only() -> None:
    cluster = world(1)
    cluster.service("web", bounded())
    fail(cluster)
    task = the_task(cluster)
    cluster.report(task, S.RUNNING)
    cluster.set_availability("h1", NodeSpec.PAUSE)
    pending = fail(cluster)
    assert not pending.node_id and list(pending.restarted_at_ms) == [task.created_at_ms]
    cluster.set_availability("h1", NodeSpec.ACTIVE)
    placed = the_task(cluster)
    assert placed.id == pending.id and placed.node_id and placed.restarted_at_ms == pending.restarted_at_ms
    cluster.set_availability("h1", NodeSpec.PAUSE)
    assert len(fail(cluster).restarted_at_ms) == 2
    cluster.service("web", bounded(image="hello:2"))
    assert not the_task(cluster).restarted_at_ms


@pytest.mark.parametrize("order", [UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST])
def test_attempts_are_not_forgotten_with_the_history_of_a_slot_that_moves(order: UpdateConfig.Order.ValueType) -> None:
    """It keeps five ended tasks, and a move adds one without being a restart."""
    cluster = world(2)
    requested = bounded()
    requested.update.order = order
    cluster.service("web", requested)
    for _ in range(3):
        fail(cluster)
    for _ in range(7):
        cluster.settle()
        home = the_task(cluster).node_id
        cluster.set_availability(home, NodeSpec.DRAIN)
        cluster.settle()
        cluster.set_availability(home, NodeSpec.ACTIVE)
    task = the_task(cluster)
    assert not task.attempt and len(task.restarted_at_ms) == 3
    cluster.report(task, S.FAILED, message="exit code 3")
    cluster.settle()
    assert not cluster.desired("web")
    assert list(cluster.tables.service_status["web"].problems) == ["task 1 failed after 3 restarts: exit code 3"]


def test_tasks_on_a_lost_node_count() -> None:
    cluster = world(2)
    cluster.service("web", bounded())
    task = fail(cluster)
    cluster.report(task, S.RUNNING)
    cluster.set_state(task.node_id, NodeStatus.DOWN)
    moved = the_task(cluster)
    assert moved.node_id != task.node_id and list(moved.restarted_at_ms) == [task.created_at_ms]


def test_a_jobs_task_has_those_of_its_run() -> None:
    cluster = world(1)
    job = bounded()
    job.ClearField("replicated")
    job.replicated_job.CopyFrom(ReplicatedJob(total_completions=1))
    cluster.service("web", job)
    cluster.plan()
    second = fail(cluster)
    assert list(fail(cluster).restarted_at_ms) == [second.created_at_ms]


@pytest.mark.parametrize("window_ms", [0, 50 * 60_000])
def test_the_node_of_a_task_counts_as_the_planner_does(window_ms: int) -> None:
    """Of a task that has run for so long that its own `attempt` says nothing of those before."""
    cluster = world(1)
    cluster.service("web", bounded(2, window_ms=window_ms))
    for restarts in range(4):
        task = the_task(cluster)
        cluster.report(task, S.RUNNING)
        cluster.now_ms += 10_000
        revision = cluster.tables.revision_of("web", task.revision)
        end = TaskStatus(task_id=task.id, state=S.FAILED, at_ms=cluster.now_ms, running_at_ms=cluster.now_ms - 10_000)
        by_node = next_run(task, revision, end, held=False, now_ms=cluster.now_ms)
        cluster.report(task, S.FAILED)
        due_ms = cluster.plan().timers.get("web")
        assert (by_node.due_ms if by_node is not None else None) == due_ms
        if due_ms is None:
            assert restarts == 2 and not window_ms
            return
        cluster.now_ms += HOUR_MS
    assert window_ms

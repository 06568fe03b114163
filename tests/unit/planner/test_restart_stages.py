"""Restarts and updates of slots, in virtual time."""

import pytest

from shoal.api.v1.service_pb2 import (
    Endpoint,
    PublishedPort,
    RestartPolicy,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.unit.planner.stage_world import spec, world


def test_restarts_wait_longer_and_longer_and_keep_five_in_history() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    delays = []
    for _ in range(9):
        cluster.plan()
        [task] = cluster.desired("web")
        cluster.report(task, TaskState.RUNNING)
        cluster.report(task, TaskState.FAILED, message="exit 1")
        ended_at = cluster.now_ms
        assert cluster.plan().timers["web"] > cluster.now_ms
        assert cluster.desired("web") == []
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        delays.append((cluster.now_ms - ended_at) / 1000)
    for delay, base in zip(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300], strict=True):
        assert base <= delay <= 1.2 * base
    assert len(set(delays)) == 9  # what failed together does not come back together
    cluster.plan()
    assert len([task for task in cluster.tasks("web") if task not in cluster.live("web")]) == 5
    [task] = cluster.desired("web")
    cluster.report(task, TaskState.RUNNING)
    cluster.now_ms += 120_000
    cluster.report(task, TaskState.FAILED)
    cluster.plan()
    assert cluster.planner.next_due_ms() == cluster.now_ms + 5_000  # it ran long enough to be no crash loop


@pytest.mark.parametrize(
    ("condition", "end", "again"),
    [
        (RestartPolicy.ANY, TaskState.COMPLETE, True),
        (RestartPolicy.ON_FAILURE, TaskState.COMPLETE, False),
        (RestartPolicy.ON_FAILURE, TaskState.FAILED, True),
        (RestartPolicy.ON_FAILURE, TaskState.REJECTED, True),
        (RestartPolicy.NONE, TaskState.FAILED, False),
    ],
)
def test_the_condition_decides_on_a_restart(
    condition: RestartPolicy.Condition.ValueType, end: TaskState.ValueType, again: bool
) -> None:
    cluster = world(1)
    requested = spec(1)
    requested.task.restart.CopyFrom(RestartPolicy(condition=condition, delay_ms=0))
    cluster.service("web", requested)
    cluster.plan()
    cluster.report(cluster.desired("web")[0], end)
    cluster.plan()
    assert bool(cluster.desired("web")) is again


def test_attempts_are_bounded_and_a_new_template_begins_anew() -> None:
    cluster = world(1)
    requested = spec(1)
    requested.task.restart.CopyFrom(RestartPolicy(max_attempts=2))
    cluster.service("web", requested)
    made = set()
    for _ in range(6):
        cluster.plan()
        for task in cluster.desired("web"):
            made.add(task.id)
            cluster.report(task, TaskState.FAILED, message="exit 7")
        cluster.now_ms += 600_000
    assert len(made) == 3
    assert list(cluster.tables.service_status["web"].problems) == ["task 1 failed after 2 restarts: exit 7"]
    requested.task.container.image = "hello:2"
    cluster.service("web", requested)
    cluster.settle()
    assert [(task.revision, task.attempt) for task in cluster.running("web")] == [(2, 0)]


def test_an_agents_clock_ahead_of_ours_does_not_hold_a_restart_up() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    cluster.plan()
    [task] = cluster.desired("web")
    cluster.report(task, TaskState.FAILED, at_ms=cluster.now_ms + 3_600_000)
    cluster.plan()
    assert cluster.planner.next_due_ms() == cluster.now_ms + 5_000


def test_an_update_replaces_one_at_a_time_and_waits_until_it_runs() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    cluster.service("web", spec(3, image="hello:2"))
    for _ in range(20):
        cluster.plan()
        assert len(cluster.running("web")) >= 2
        cluster.obey()
        cluster.now_ms += 500
    assert [task.revision for task in cluster.running("web")] == [2, 2, 2]
    status = cluster.tables.service_status["web"].update
    assert (status.state, status.task_revision) == (UpdateStatus.COMPLETED, 2)
    assert [task.desired_state for task in cluster.tasks("web") if task.revision == 1] == [TaskState.SHUTDOWN] * 3


def test_a_broken_update_stops_after_its_first_batch() -> None:
    cluster = world(3)
    cluster.service("web", spec(6))
    cluster.settle()
    requested = spec(6, image="broken")
    requested.update.parallelism = 2
    cluster.service("web", requested)
    for _ in range(30):
        cluster.plan()
        for task in cluster.live("web"):
            if task.revision == 2:
                cluster.report(task, TaskState.REJECTED, message="no such image")
            elif task.desired_state > TaskState.RUNNING:
                cluster.report(task, TaskState.SHUTDOWN)
        cluster.now_ms += 1_000
    untouched = {task.id for task in cluster.running("web")}
    assert [task.revision for task in cluster.running("web")] == [1] * 4
    cluster.service("web", spec(6))
    cluster.settle()
    assert len(cluster.running("web")) == 6
    # The old template again: those that ran it all along were not restarted, and count as up to date.
    assert {task.revision for task in cluster.running("web")} == {3}
    assert untouched < {task.id for task in cluster.running("web")}


def test_start_first_never_has_fewer_and_rests_between_batches() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    requested = spec(3, image="hello:2")
    requested.update.CopyFrom(UpdateConfig(order=UpdateConfig.START_FIRST, delay_ms=10_000))
    cluster.service("web", requested)
    began = cluster.now_ms
    while {task.revision for task in cluster.running("web")} != {2} or len(cluster.running("web")) != 3:
        cluster.plan()
        assert 3 <= len(cluster.desired("web")) <= 4
        assert len(cluster.running("web")) >= 3
        if not cluster.obey():
            cluster.now_ms = cluster.planner.next_due_ms() or cluster.now_ms
        assert cluster.now_ms < began + 60_000
    assert cluster.now_ms - began == 21_000  # the last one has to run for a second before it counts


def test_labels_replicas_and_placement_restart_nothing() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    before = {task.id for task in cluster.running("web")}
    requested = spec(2)
    requested.labels["a"] = "b"
    requested.task.placement.max_per_node = 2
    requested.task.restart.delay_ms = 1
    cluster.service("web", requested)
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == before
    requested.endpoint.CopyFrom(Endpoint(ports=[PublishedPort(target=80, mode=PublishedPort.HOST)]))
    cluster.service("web", requested)
    cluster.settle()
    assert not {task.id for task in cluster.running("web")} & before
    assert all(task.ports for task in cluster.running("web"))


def test_a_node_that_keeps_failing_the_service_comes_last() -> None:
    cluster = world(2)
    cluster.service("web", spec(1))
    homes = []
    for _ in range(4):
        cluster.plan()
        [task] = cluster.desired("web")
        homes.append(task.node_id)
        cluster.report(task, TaskState.FAILED)
        cluster.plan()
        cluster.now_ms = cluster.planner.next_due_ms() or 0
    assert homes == ["h1", "h1", "h1", "h2"]


def test_a_restart_stays_on_its_node_until_that_has_failed_it_three_times() -> None:
    cluster = world(3)
    cluster.service("web", spec(1))
    homes = []
    for _ in range(7):
        cluster.plan()
        [task] = cluster.desired("web")
        homes.append(task.node_id)
        cluster.report(task, TaskState.FAILED)
        cluster.plan()
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        cluster.node("h0")  # emptier nodes do not draw it away
    assert homes[:3] == ["h1"] * 3
    assert len(set(homes[3:6])) == 1
    assert "h1" not in homes[3:6]
    assert homes[6] not in homes[3:6]


def test_a_rollback_that_cannot_go_on_ends_and_tells_what_is_left() -> None:
    cluster = world(2)
    old = spec(3)
    old.task.placement.max_per_node = 1
    cluster.service("web", old)
    cluster.settle()
    cluster.now_ms += 100
    new = spec(3, image="hello:2")
    new.rollback.failure_action = UpdateConfig.CONTINUE
    cluster.service("web", new)
    cluster.plan()
    cluster.obey()
    cluster.plan()
    [heir] = [task for task in cluster.desired("web") if task.slot == 1]
    cluster.report(heir, TaskState.FAILED, message="exit 1")
    cluster.settle()
    update = cluster.tables.service_status["web"].update
    assert update.state == UpdateStatus.ROLLED_BACK
    assert update.message == "1 of 3 tasks failed: exit 1; rollback: no progress for 600 s, 2 tasks remaining"
    # The failed update's task serves where the first slot's would go, and nothing that serves is given up for it.
    assert [(task.slot, task.revision) for task in cluster.running("web")] == [(2, 1), (3, 2)]
    cluster.node("h3")
    cluster.settle()
    assert [(task.slot, task.revision) for task in cluster.running("web")] == [(1, 1), (2, 1), (3, 1)]

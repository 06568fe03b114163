"""Jobs in virtual time: completions, concurrency, failures, nodes that are lost, schedules."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.planner.orchestrator.run_schedule import evaluate
from manager.planner.spec.cron import check_cron, check_zone, last_due_ms, next_due_ms
from manager.planner.spec.run_overlap import MAX_CONCURRENT_RUNS
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import JobRun, ReplicatedJob, RestartPolicy, Schedule, ScheduleStatus, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import InvalidInput
from tests.fakes.planner_world import World

MINUTE = 60_000


def world(nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    return made


def job(total: int, at_once: int = 0, *, image: str = "batch:1") -> ServiceSpec:
    spec = ServiceSpec(replicated_job=ReplicatedJob(total_completions=total, max_concurrent=at_once))
    spec.task.container.image = image
    spec.task.restart.CopyFrom(RestartPolicy(delay_ms=0))
    return spec


def scheduled(cron: str = "* * * * *", **options: object) -> ServiceSpec:
    spec = job(1)
    spec.schedule.CopyFrom(Schedule(cron=cron, **options))  # type: ignore[arg-type]
    return spec


def plan(cluster: World) -> None:
    """Until nothing more is written."""
    while cluster.plan().writes:
        pass


def complete(cluster: World, *, failing: frozenset[int] = frozenset()) -> None:
    """Every task that runs ends."""
    for task in cluster.desired("job"):
        if task.node_id:
            cluster.report(task, TaskState.RUNNING)
            cluster.report(task, TaskState.FAILED if task.slot in failing else TaskState.COMPLETE, message="exit 3")


def completed(cluster: World, run: int) -> list[int]:
    tasks = [task for task in cluster.tasks("job") if task.job_run == run]
    return sorted(task.slot for task in tasks if cluster.state(task) == TaskState.COMPLETE)


def newest(cluster: World) -> JobRun:
    return cluster.tables.service_status["job"].runs[-1]


def test_so_many_completions_so_many_at_once() -> None:
    cluster = world()
    cluster.service("job", job(7, 3))
    seen = []
    for _ in range(5):
        plan(cluster)
        seen.append(len(cluster.desired("job")))
        complete(cluster)
    assert seen == [3, 3, 1, 0, 0]
    assert completed(cluster, 1) == [1, 2, 3, 4, 5, 6, 7]
    assert (newest(cluster).state, newest(cluster).completed, newest(cluster).desired) == (JobRun.SUCCEEDED, 7, 7)


def test_done_stays_done_until_the_template_changes() -> None:
    cluster = world()
    cluster.service("job", job(2))
    plan(cluster)
    complete(cluster)
    plan(cluster)
    relabelled = job(2)
    relabelled.labels["a"] = "b"
    cluster.service("job", relabelled)
    plan(cluster)
    assert cluster.desired("job") == []
    cluster.service("job", job(3))  # more completions are worked off, those that are done stay
    plan(cluster)
    assert [task.slot for task in cluster.desired("job")] == [3]
    complete(cluster)
    forced = job(3)
    forced.task.force_update = 1
    cluster.service("job", forced)
    plan(cluster)
    assert [(task.slot, task.job_run) for task in cluster.desired("job")] == [(1, 2), (2, 2), (3, 2)]
    complete(cluster)
    plan(cluster)
    assert completed(cluster, 2) == [1, 2, 3]
    assert [task.job_run for task in cluster.tasks("job")] == [2, 2, 2]  # the run before is forgotten


def test_a_failure_is_tried_again_and_then_given_up() -> None:
    cluster = world()
    requested = job(2)
    requested.task.restart.max_attempts = 2
    cluster.service("job", requested)
    for _ in range(8):
        plan(cluster)
        complete(cluster, failing=frozenset({2}))
        cluster.now_ms += MINUTE
    plan(cluster)
    tasks = [task for task in cluster.tasks("job") if task.slot == 2]
    assert [task.attempt for task in tasks] == [0, 1, 2]
    assert (newest(cluster).state, newest(cluster).completed) == (JobRun.FAILED, 1)
    assert "task 2 failed after 2 restarts: exit 3" in cluster.tables.service_status["job"].problems


def test_a_lost_node_starts_its_slots_elsewhere_and_a_late_end_counts_once() -> None:
    cluster = world(2)
    cluster.service("job", job(2))
    plan(cluster)
    [lost] = [task for task in cluster.desired("job") if task.node_id == "h2"]
    cluster.set_state("h2", NodeStatus.DOWN)
    plan(cluster)
    assert {task.node_id for task in cluster.desired("job")} == {"h1"}
    cluster.set_state("h2", NodeStatus.READY)
    cluster.report(lost, TaskState.COMPLETE)  # it had done its work all the while
    plan(cluster)
    assert [task.slot for task in cluster.desired("job")] == [3 - lost.slot]
    cluster.obey()
    complete(cluster)
    plan(cluster)
    assert (newest(cluster).state, newest(cluster).completed) == (JobRun.SUCCEEDED, 2)


def test_a_global_job_runs_once_on_each_node_and_on_those_that_come() -> None:
    cluster = world(2)
    spec = job(1)
    spec.global_job.SetInParent()
    cluster.service("job", spec)
    plan(cluster)
    assert cluster.by_node("job") == {"h1": 1, "h2": 1}
    complete(cluster)
    plan(cluster)
    assert newest(cluster).state == JobRun.SUCCEEDED
    cluster.node("h3")
    plan(cluster)
    assert cluster.by_node("job") == {"h3": 1}
    complete(cluster)
    plan(cluster)
    assert (newest(cluster).state, newest(cluster).desired) == (JobRun.SUCCEEDED, 3)


def test_a_job_whose_template_changes_starts_over() -> None:
    cluster = world()
    cluster.service("job", job(2))
    plan(cluster)
    cluster.service("job", job(2, image="batch:2"))
    plan(cluster)
    assert {task.job_run for task in cluster.desired("job")} == {2}
    cluster.obey()
    plan(cluster)
    assert {task.job_run for task in cluster.tasks("job")} == {2}


def test_each_due_time_runs_once() -> None:
    cluster = world()
    cluster.service("job", scheduled(history=2))
    plan(cluster)
    assert cluster.desired("job") == []
    made = set()
    for _ in range(5):
        due = cluster.planner.next_due_ms()
        assert due is not None
        assert due % MINUTE == 0
        cluster.now_ms = due
        plan(cluster)
        made |= {(task.job_run, task.slot) for task in cluster.desired("job")}
        complete(cluster)
        plan(cluster)
    assert made == {(number, 1) for number in range(1, 6)}
    status = cluster.tables.service_status["job"]
    assert [(run.number, run.state) for run in status.runs] == [(4, JobRun.SUCCEEDED), (5, JobRun.SUCCEEDED)]
    assert [run.scheduled_at_ms for run in status.runs] == [cluster.now_ms - MINUTE, cluster.now_ms]
    assert {task.job_run for task in cluster.tasks("job")} == {4, 5}


@pytest.mark.parametrize(
    ("overlap", "runs", "reported"),
    [
        (Schedule.FORBID, {1}, "the last run was skipped: run 1 was still active"),
        (Schedule.ALLOW, {1, 2}, ""),
        (Schedule.REPLACE, {2}, ""),
    ],
)
def test_a_run_that_is_due_while_another_goes_on(
    overlap: Schedule.Overlap.ValueType, runs: set[int], reported: str
) -> None:
    cluster = world()
    cluster.service("job", scheduled(overlap=overlap))
    plan(cluster)
    for _ in range(2):
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        plan(cluster)
        cluster.obey()
    plan(cluster)
    assert {task.job_run for task in cluster.desired("job")} == runs
    assert cluster.tables.service_status["job"].schedule.message == reported


@pytest.mark.parametrize(
    ("overlap", "runs", "reported"),
    [
        (Schedule.FORBID, {1}, "the requested run was skipped: run 1 was still active"),
        (Schedule.ALLOW, {1, 2}, ""),
        (Schedule.REPLACE, {2}, ""),
    ],
)
def test_a_run_that_is_requested(overlap: Schedule.Overlap.ValueType, runs: set[int], reported: str) -> None:
    """At once, beside the due times; one for requests that come together; by the rules that a due one has."""
    cluster = world()
    cluster.service("job", scheduled("0 0 1 1 *", overlap=overlap))
    plan(cluster)
    cluster.request_run("job")
    cluster.request_run("job")
    plan(cluster)
    cluster.obey()
    plan(cluster)
    assert {task.job_run for task in cluster.desired("job")} == {1}
    assert (newest(cluster).scheduled_at_ms, newest(cluster).started_at_ms) == (0, cluster.now_ms)
    cluster.request_run("job")
    plan(cluster)
    cluster.obey()
    plan(cluster)
    assert {task.job_run for task in cluster.desired("job")} == runs
    status = cluster.tables.service_status["job"]
    assert (status.handled_run_requests, status.schedule.message) == (3, reported)


def test_runs_that_never_end_do_not_pile_up_for_ever() -> None:
    cluster = world()
    cluster.service("job", scheduled(overlap=Schedule.ALLOW))
    plan(cluster)
    for _ in range(MAX_CONCURRENT_RUNS + 5):
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        plan(cluster)
    assert len({task.job_run for task in cluster.desired("job")}) == MAX_CONCURRENT_RUNS
    reported = cluster.tables.service_status["job"].schedule.message
    assert reported == "the last run was skipped: 100 runs were still active"


@pytest.mark.parametrize(("missed", "runs"), [(Schedule.SKIP, 0), (Schedule.RUN_ONCE, 1)])
def test_runs_that_nobody_planned(missed: Schedule.Missed.ValueType, runs: int) -> None:
    cluster = world()
    cluster.service("job", scheduled("*/10 * * * *", missed=missed))
    plan(cluster)
    cluster.now_ms += 95 * MINUTE
    plan(cluster)
    assert len(cluster.desired("job")) == runs
    cluster.now_ms = cluster.planner.next_due_ms() or 0
    plan(cluster)
    assert len(cluster.desired("job")) == 1


@given(
    cron=st.sampled_from(["* * * * *", "*/7 3-5 * * *", "30 2 * * *", "0 0 1,15 * 3", "15 */6 * * MON-FRI"]),
    zone=st.sampled_from(["", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    start=st.integers(1_700_000_000, 1_800_000_000),
    jump=st.integers(1, 90 * 24 * 3600),
)
def test_the_last_due_time_is_one_that_was_due(cron: str, zone: str, start: int, jump: int) -> None:
    """Whatever daylight saving time does: a look never skips a time nor finds one twice."""
    schedule = Schedule(cron=cron, timezone=zone, overlap=Schedule.ALLOW)
    known = ScheduleStatus(cron=cron, timezone=zone, handled_until_ms=start * 1000)
    now_ms = (start + jump) * 1000
    found = evaluate(schedule, known, active_run=0, now_ms=now_ms)
    assert known.handled_until_ms <= found.status.handled_until_ms <= now_ms
    assert found.status.next_run_at_ms > now_ms
    again = evaluate(schedule, found.status, active_run=0, now_ms=now_ms)
    assert not again.start_due_ms
    if found.start_due_ms:
        assert now_ms - found.start_due_ms <= MINUTE
        before = next_due_ms(cron, zone, found.start_due_ms - 1)
        assert before is not None
        assert abs(before - found.start_due_ms) <= 2 * 3_600_000  # one of the hours that a change of time moves


def test_daylight_saving_time_as_debian_has_it() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    before = int(datetime(2026, 3, 28, 12, 0, tzinfo=berlin).timestamp() * 1000)
    first = next_due_ms("30 2 * * *", "Europe/Berlin", before)
    assert first is not None
    assert (
        datetime.fromtimestamp(first / 1000, UTC).isoformat() == "2026-03-29T01:00:00+00:00"
    )  # 03:00, as 02:30 is not
    assert last_due_ms("30 2 * * *", "Europe/Berlin", first) == first


def test_bad_expressions_are_told() -> None:
    for cron in ("", "* * * *", "61 * * * *", "0 0 31 2 *", "* * * * * *", "@daily"):
        with pytest.raises(InvalidInput):
            check_cron(cron)
    for zone in ("Mars/Olympus", "../etc/passwd", "Europe"):
        with pytest.raises(InvalidInput):
            check_zone(zone)
    check_cron("0 9 * * MON-FRI")
    check_zone("Europe/Berlin")
    check_zone("")


def test_pending_tasks_of_a_job_say_why() -> None:
    cluster = world(1)
    spec = job(1)
    spec.task.placement.constraints.append("node.hostname == h9")
    cluster.service("job", spec)
    plan(cluster)
    tasks: list[Task] = cluster.tasks("job")
    assert [task.node_id for task in tasks] == [""]
    assert tasks[0].reason
    assert tasks[0].job_run == 1

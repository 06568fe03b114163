"""What the planner decides about a task that its node has restarted in place: as about as many tasks of the slot."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.restarts import restart_policy, runs
from shoal.restarts.container_restart import decide_restart
from shoal.restarts.restart_policy import decide

S = TaskState
START = 1_000_000


def ended(task: Task, *, ran_ms: int, state: TaskState.ValueType = S.FAILED) -> TaskStatus:
    at_ms = task.created_at_ms + 100
    return TaskStatus(task_id=task.id, state=state, running_at_ms=at_ms, at_ms=at_ms + ran_ms, message="exit code 3")


def by_planner(policy: RestartPolicy, lengths: Sequence[int], now_ms: int) -> restart_policy.RestartDecision:
    """Each run is a task of its own, created when it is due."""
    ends: list[runs.End] = []
    task = Task(id="1", slot=1, created_at_ms=START)
    for ran_ms in lengths:
        ends.append((task, ended(task, ran_ms=ran_ms)))
        decision = decide(policy, ends, now_ms=now_ms)
        if decision.due_ms is None:
            return decision
        task = Task(id="1", slot=1, created_at_ms=decision.due_ms, attempt=decision.attempt)
    return decide(policy, ends, now_ms=now_ms)


def by_node(
    policy: RestartPolicy, lengths: Sequence[int], now_ms: int, task: Task
) -> tuple[restart_policy.RestartDecision, TaskStatus]:
    """Each run but the first is a restart of the same task."""
    status = TaskStatus(task_id=task.id, state=S.RUNNING)
    end, decision = status, restart_policy.RestartDecision(None)
    for number, ran_ms in enumerate(lengths):
        if number:
            assert decision.due_ms is not None
            status = runs.restarted(status, end, attempt=decision.attempt, delay_ms=0, now_ms=decision.due_ms)
        end = TaskStatus()
        end.CopyFrom(status)
        run, _ = runs.newest_run(task, status)
        end.MergeFrom(ended(run, ran_ms=ran_ms))
        decision = decide(policy, [(task, end)], now_ms=now_ms)
        if decision.due_ms is None:
            break
    return decision, end


def test_a_restart_is_due_at_once_where_the_clock_of_managers_was_set_back_by_hours() -> None:
    hour = 3_600_000
    task = Task(id="1", slot=1, created_at_ms=START + hour)
    for end in (START - 5_000, START + hour + 200):  # by a node whose clock was set back too, and one whose was not
        status = TaskStatus(task_id="1", state=S.FAILED, at_ms=end, running_at_ms=end - 100)
        due_ms = decide(RestartPolicy(), [(task, status)], now_ms=START).due_ms
        assert due_ms is not None and due_ms <= START
        assert decide(RestartPolicy(), [(task, status)], now_ms=START + 1_000).due_ms == due_ms, "it does not move"


LENGTHS = st.lists(st.sampled_from([10, 5_000, 59_000, 61_000]), min_size=1, max_size=8)
POLICIES = st.builds(
    RestartPolicy,
    condition=st.sampled_from([RestartPolicy.ANY, RestartPolicy.ON_FAILURE]),
    delay_ms=st.sampled_from([0, 100, 5_000]),
    max_attempts=st.integers(0, 5),
    window_ms=st.sampled_from([0, 30_000, 300_000]),
)


@given(POLICIES, LENGTHS)
def test_a_node_decides_as_the_planner_does(policy: RestartPolicy, lengths: list[int]) -> None:
    now_ms = START + 1_000_000_000
    decision, _ = by_node(policy, lengths, now_ms, Task(id="1", slot=1, created_at_ms=START))
    assert decision == by_planner(policy, lengths, now_ms)


@given(POLICIES, LENGTHS, LENGTHS)
def test_the_planner_continues_where_a_node_ended(policy: RestartPolicy, first: list[int], then: list[int]) -> None:
    """Restarts by the node, then by the planner, count as if all were the planner's."""
    now_ms = START + 1_000_000_000
    task = Task(id="1", slot=1, created_at_ms=START)
    decision, end = by_node(policy, first, now_ms, task)
    ends: list[runs.End] = [(task, end)]
    assert decide(policy, ends, now_ms=now_ms) == decision
    expected = by_planner(policy, [*first, *then], now_ms)
    for ran_ms in then:
        if decision.due_ms is None:
            break
        task = Task(id="1", slot=1, created_at_ms=decision.due_ms, attempt=decision.attempt)
        ends.append((task, ended(task, ran_ms=ran_ms)))
        decision = decide(policy, ends, now_ms=now_ms)
    assert decision == expected


def test_earlier_restarts_of_the_slot_count_for_its_node() -> None:
    policy = RestartPolicy(condition=RestartPolicy.ANY, max_attempts=3, window_ms=600_000)
    task = Task(id="1", slot=1, created_at_ms=START, attempt=1, restarted_at_ms=[START - 1_000_000, START - 500_000])
    end = ended(task, ran_ms=100)
    assert decide(policy, [(task, end)], now_ms=START + 200).due_ms is not None
    task.restarted_at_ms.append(START - 10)
    decision = decide(policy, [(task, end)], now_ms=START + 200)
    assert decision.due_ms is None and decision.problem == "task 1 failed after 3 restarts: exit code 3"


def test_a_restarted_container_waits_longer_each_time_and_counts_on() -> None:
    policy = ContainerRestart(condition=ContainerRestart.ON_FAILURE, max_attempts=3)
    task = Task(id="1", created_at_ms=START, job_run=1)
    status, delays = TaskStatus(task_id="1", state=S.RUNNING, running_at_ms=START), []
    now_ms = START
    while True:
        end = TaskStatus()
        end.CopyFrom(status)
        end.state, end.at_ms = S.FAILED, now_ms + 10
        decision = decide_restart(policy, task, end, held=False, now_ms=now_ms + 10)
        if decision is None:
            break
        delays.append(decision.delay_ms)
        now_ms = decision.due_ms
        status = runs.restarted(status, end, attempt=decision.attempt, delay_ms=decision.delay_ms, now_ms=now_ms)
    assert delays == [100, 200, 400]
    assert status.restarts.count == status.restarts.attempt == 3
    assert decide_restart(policy, task, end, held=True, now_ms=now_ms) is None


def test_what_a_restart_leaves_of_the_run_before_it() -> None:
    before = TaskStatus(
        task_id="1", state=S.RUNNING, at_ms=START, running_at_ms=START, pid=7, health=TaskStatus.UNHEALTHY
    )
    before.health_output, before.warning, before.image_digest = "no answer", "slow", "sha256:a"
    end = TaskStatus(
        task_id="1", state=S.FAILED, at_ms=START + 9, exit_code=137, message="out of memory", oom_killed=True
    )
    new = runs.restarted(before, end, attempt=1, delay_ms=0, now_ms=START + 5_000)
    assert (new.state, new.at_ms, new.running_at_ms) == (S.RUNNING, START + 5_000, START + 5_000)
    assert (new.pid, new.health, new.health_output, new.warning) == (0, TaskStatus.NONE, "", "")
    assert new.not_listening and new.restarts.starting and new.image_digest == "sha256:a"
    assert (new.restarts.count, new.restarts.exit_code, new.restarts.message) == (1, 137, "out of memory")
    assert new.restarts.ended_at_ms == START + 9 and list(new.restarts.at_ms) == [START + 5_000]

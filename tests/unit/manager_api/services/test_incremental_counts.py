"""Counts that are kept in step say what counting anew does, whatever the changes."""

from hypothesis import given
from hypothesis import strategies as st

from manager.services.incremental_counts import IncrementalCounts
from manager.services.task_counts import count_tasks
from manager.store.changes import Change
from manager.store.kinds import NODE_STATUS, TASK, TASK_STATUS
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.unit.dispatcher.dispatcher_world import World

SERVICES = ("s", "r")
STATES = (
    TaskState.PENDING,
    TaskState.ASSIGNED,
    TaskState.RUNNING,
    TaskState.COMPLETE,
    TaskState.FAILED,
    TaskState.SHUTDOWN,
)
numbers = st.integers(0, 5)
tasks = st.builds(
    Task,
    service_id=st.sampled_from(SERVICES),
    node_id=st.sampled_from(("", "n0", "n1")),
    revision=st.integers(1, 3),
    state=st.sampled_from(STATES),
    desired_state=st.sampled_from((TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE)),
    reason=st.sampled_from(("", "no suitable node")),
)
statuses = st.builds(
    TaskStatus,
    state=st.sampled_from(STATES),
    at_ms=st.integers(0, 2),
    not_listening=st.booleans(),
    health=st.sampled_from((TaskStatus.NONE, TaskStatus.HEALTHY, TaskStatus.UNHEALTHY)),
    message=st.sampled_from(("", "boom")),
)
nodes = st.builds(NodeStatus, state=st.sampled_from((NodeStatus.READY, NodeStatus.UNKNOWN, NodeStatus.DOWN)))
steps = st.one_of(
    st.tuples(st.just(TASK), numbers, st.none() | tasks),
    st.tuples(st.just(TASK_STATUS), numbers, st.none() | statuses),
    st.tuples(st.just(NODE_STATUS), st.integers(0, 1), st.none() | nodes),
)


@given(st.lists(st.tuples(steps, st.booleans()), max_size=60), st.integers(1, 3))
def test_a_kept_count_is_the_count(made: list[tuple[tuple[object, int, object], bool]], fresh_from: int) -> None:
    world = World()
    tally = IncrementalCounts(world.tables)
    waiting: list[Change] = []
    for (kind, number, value), looks in made:
        prefix = "n" if kind is NODE_STATUS else "t"
        if isinstance(value, Task):
            value.id = f"t{number}"
            before = world.tables.tasks.get(f"t{number}")
            value.service_id = before.service_id if before is not None else value.service_id
        waiting.append(world.put(kind, f"{prefix}{number}", value))  # type: ignore[arg-type]
        if looks:
            tally.apply(waiting)
            waiting.clear()
            for service in SERVICES:
                fresh = range(fresh_from, 4)
                assert tally.count(world.tables, service, fresh) == count_tasks(world.tables, service, fresh)
    assert tally.count(world.tables, "s", range(0)) == count_tasks(world.tables, "s", range(0)), "of other revisions"

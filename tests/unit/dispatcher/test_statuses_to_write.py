"""Which reports of agents are written."""

from manager.dispatcher.statuses.task_status_writer import Batch, statuses_to_write
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.unit.dispatcher.dispatcher_world import World


def batch(node_id: str, *statuses: TaskStatus) -> Batch:
    return Batch(node_id, statuses, lambda: None, lambda _: None)


def status(state: TaskState.ValueType, at_ms: int = 1) -> TaskStatus:
    return TaskStatus(task_id="t1", state=state, at_ms=at_ms)


def world() -> World:
    made = World()
    made.task("t1", "n1")
    return made


def test_a_node_reports_for_its_own_tasks_only() -> None:
    tables = world().tables
    assert set(statuses_to_write(tables, [batch("n1", status(TaskState.RUNNING))])) == {"t1"}
    assert not statuses_to_write(tables, [batch("n2", status(TaskState.RUNNING))])


def test_a_task_that_is_gone_gets_no_status() -> None:
    assert not statuses_to_write(World().tables, [batch("n1", status(TaskState.RUNNING))])


def test_only_forward_and_the_last_of_a_batch_wins() -> None:
    made = world()
    made.status("t1", TaskState.STARTING, at_ms=1)
    assert not statuses_to_write(made.tables, [batch("n1", status(TaskState.PREPARING))])
    found = statuses_to_write(
        made.tables, [batch("n1", status(TaskState.RUNNING), status(TaskState.FAILED), status(TaskState.RUNNING))]
    )
    assert found["t1"].state == TaskState.FAILED


def test_an_agent_cannot_write_the_planners_states() -> None:
    for state in (TaskState.PENDING, TaskState.ASSIGNED, TaskState.REMOVE, TaskState.ORPHANED):
        assert not statuses_to_write(world().tables, [batch("n1", status(state))])

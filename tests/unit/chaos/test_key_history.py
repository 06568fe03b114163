"""Histories of keys: each thing that may not happen is found, and what happens all the time is not."""

from collections.abc import Iterator

import pytest

from shoal.api.v1.cluster_pb2 import Epoch, Leader, PlanSequence
from shoal.api.v1.task_pb2 import NodeRestarts, Task, TaskState, TaskStatus
from tests.chaos.checks.key_history import EPOCHS, LEADER, SEQUENCE, STATUSES, TASKS, KeyEvent, check_history

TERM = 2


class Timeline:
    """Events in the order in which they are added, each at a revision of its own unless it is told one."""

    def __init__(self) -> None:
        self.events: list[KeyEvent] = []
        self._number = 0

    def put(self, revision: int, key: str, value: bytes, created: int = 0) -> None:
        self.events.append(KeyEvent(revision, key, value, created or revision, revision * 1.0))

    def delete(self, revision: int, key: str) -> None:
        self.events.append(KeyEvent(revision, key, None, 0, revision * 1.0))

    def leader(self, revision: int) -> None:
        self.put(revision, LEADER, Leader(manager_id="m").SerializeToString())

    def plan(self, revision: int, *tasks: Task, term: int = TERM, removed: tuple[str, ...] = ()) -> None:
        self._number += 1
        for task in tasks:
            self.put(revision, TASKS + task.id, task.SerializeToString())
        for task_id in removed:
            self.delete(revision, TASKS + task_id)
        self.put(revision, SEQUENCE, PlanSequence(term=term, number=self._number).SerializeToString())

    def status(self, revision: int, task_id: str, state: "TaskState.ValueType", *, restarts: int = 0) -> None:
        status = TaskStatus(task_id=task_id, state=state, restarts=NodeRestarts(count=restarts))
        self.put(revision, STATUSES + task_id, status.SerializeToString())

    def found(self) -> list[str]:
        return [each.what for each in check_history(self.events)]


def task(**fields: object) -> Task:
    values = {"id": "t", "service_id": "s", "slot": 1, "node_id": "n", "desired_state": TaskState.RUNNING, **fields}
    return Task(**values)  # type: ignore[arg-type]


@pytest.fixture
def timeline() -> Iterator[Timeline]:
    made = Timeline()
    made.leader(TERM)
    made.plan(3, task(node_id=""))
    made.plan(4, task())
    made.status(5, "t", TaskState.STARTING)
    made.status(6, "t", TaskState.RUNNING)
    assert made.found() == []
    yield made


def test_a_life_to_its_end_is_right(timeline: Timeline) -> None:
    timeline.status(7, "t", TaskState.RUNNING)
    timeline.plan(8, task(desired_state=TaskState.SHUTDOWN))
    timeline.status(9, "t", TaskState.SHUTDOWN)
    timeline.plan(10, task(desired_state=TaskState.REMOVE))
    timeline.delete(11, STATUSES + "t")
    timeline.plan(11, removed=("t",))
    timeline.delete(12, LEADER)
    timeline.leader(13)
    timeline.plan(14, task(id="u"), term=13)
    assert timeline.found() == []


def test_a_task_that_moves_is_found(timeline: Timeline) -> None:
    timeline.plan(7, task(node_id="other"))
    assert timeline.found() == ["task t: its node changed from n to other"]


def test_a_desired_state_that_goes_back_is_found(timeline: Timeline) -> None:
    timeline.plan(7, task(desired_state=TaskState.SHUTDOWN))
    timeline.plan(8, task(desired_state=TaskState.RUNNING))
    assert timeline.found() == ["task t: its desired state went back from shutdown to running"]


def test_a_status_that_goes_back_or_on_after_its_end_is_found(timeline: Timeline) -> None:
    timeline.status(7, "t", TaskState.PREPARING)
    timeline.status(8, "t", TaskState.FAILED)
    timeline.status(9, "t", TaskState.ORPHANED)
    assert timeline.found() == [
        "task t: its status went from running to preparing",
        "task t: its status went from failed to orphaned",
    ]


def test_restarts_by_the_node_are_right_and_one_that_is_forgotten_is_found(timeline: Timeline) -> None:
    timeline.status(7, "t", TaskState.RUNNING, restarts=1)
    timeline.status(8, "t", TaskState.RUNNING, restarts=3)
    assert timeline.found() == []
    timeline.status(9, "t", TaskState.FAILED, restarts=2)
    assert timeline.found() == ["task t: restarts by its node went from 3 to 2"]


def test_a_key_that_returns_is_found(timeline: Timeline) -> None:
    timeline.plan(7, removed=("t",))
    timeline.plan(8, task())
    assert timeline.found() == [f"{TASKS}t returned after its deletion, revision 8"]


def test_a_late_plan_of_an_earlier_term_is_found(timeline: Timeline) -> None:
    timeline.delete(7, LEADER)
    timeline.plan(8, task(reason="late"))
    assert timeline.found() == [f"a plan of term {TERM} after the end of term {TERM}"]
    timeline.leader(9)
    timeline.plan(10, task(reason="later"))
    assert timeline.found()[1:] == [f"a plan of term {TERM} in term 9"]


def test_terms_are_counted_as_the_epoch_says(timeline: Timeline) -> None:
    timeline.put(7, f"{EPOCHS}e", Epoch(revision_offset=100).SerializeToString())
    timeline.leader(8)
    timeline.plan(9, task(reason="new"), term=108)
    assert timeline.found() == []
    timeline.plan(10, task(reason="newer"), term=8)
    assert timeline.found() == ["plan 4 of term 8 after 3 of 108", "a plan of term 8 in term 108"]


def test_a_plan_that_is_made_twice_is_found(timeline: Timeline) -> None:
    timeline.plan(7, task(reason="again"))
    timeline.put(8, SEQUENCE, timeline.events[-1].value or b"")
    assert timeline.found() == [f"plan 3 of term {TERM} after 3 of {TERM}"]


def test_a_task_that_is_written_without_a_plan_is_found(timeline: Timeline) -> None:
    timeline.put(7, TASKS + "t", task(reason="by another").SerializeToString())
    assert timeline.found() == [f"{TASKS}t written outside a plan, revision 7"]


def test_an_etcd_that_went_back_is_found(timeline: Timeline) -> None:
    timeline.put(2, "/shoal/v1/settings", b"")
    assert timeline.found()[0] == "revision 2 after 6: etcd went back"

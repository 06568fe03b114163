"""Whether a container runs, or is to run again, in the moments in which the planner has not decided yet."""

import asyncio

import pytest

from manager.records.container_facts import is_restarting, is_running
from manager.store import kinds
from manager.store.changes import put
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

S, R = TaskState, ContainerRestart


async def state(
    policy: ContainerRestart.Condition.ValueType, observed: TaskState.ValueType, *, run: int = 1, finished: int = 0
) -> tuple[bool, bool]:
    container = Container(meta=Meta(id="c"), name="c", desired=Container.RUNNING, run=run)
    container.definition.restart.condition = policy
    task = Task(id="t", service_id="c", container_id="c", job_run=1, desired_state=S.RUNNING, node_id="n")
    async with loaded_store(MemoryEtcd()) as store:
        await store.commit(
            [
                put(kinds.CONTAINER, "c", container),
                put(kinds.TASK, "t", task),
                put(kinds.TASK_STATUS, "t", TaskStatus(task_id="t", state=observed)),
                put(kinds.SERVICE_STATUS, "c", ServiceStatus(service_id="c", finished_run=finished)),
            ]
        )
        view: View = store.tables
        return is_running(view, "c"), is_restarting(view, view.containers["c"])


@pytest.mark.parametrize(
    ("policy", "observed", "run", "finished", "expected"),
    [
        pytest.param(R.NO, S.RUNNING, 1, 0, (True, False), id="it runs"),
        pytest.param(R.NO, S.COMPLETE, 1, 0, (False, False), id="its only run has ended"),
        pytest.param(R.CONDITION_UNSPECIFIED, S.FAILED, 1, 0, (False, False), id="the same without a policy"),
        pytest.param(R.NO, S.FAILED, 2, 0, (False, True), id="its user has started it again"),
        pytest.param(R.ALWAYS, S.COMPLETE, 1, 0, (False, True), id="its policy will start it again"),
        pytest.param(R.ON_FAILURE, S.COMPLETE, 1, 0, (False, True), id="the planner has not decided yet"),
        pytest.param(R.ON_FAILURE, S.COMPLETE, 1, 1, (False, False), id="the planner has ended it"),
    ],
)
def test_whether_it_runs_or_is_about_to(
    policy: ContainerRestart.Condition.ValueType,
    observed: TaskState.ValueType,
    run: int,
    finished: int,
    expected: tuple[bool, bool],
) -> None:
    assert asyncio.run(state(policy, observed, run=run, finished=finished)) == expected

"""When ended tasks get their successors: as the restart policy says, and of the newest in a slot alone."""

from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest, ListTasksRequest
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


def test_the_newest_ended_task_of_a_slot_tells_when_its_successor_is_due() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of(replicas=3)
        spec.task.restart.delay_ms = 5000
        service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        for name, slot, created, attempt, desired, state in (
            ("old", 1, 10, 0, TaskState.SHUTDOWN, TaskState.FAILED),
            ("new", 1, 20, 2, TaskState.RUNNING, TaskState.FAILED),
            ("ended", 2, 10, 0, TaskState.SHUTDOWN, TaskState.FAILED),
            ("runs", 2, 20, 1, TaskState.RUNNING, TaskState.RUNNING),
            ("beside", 3, 30, 0, TaskState.RUNNING, TaskState.REJECTED),
            ("stays", 3, 10, 0, TaskState.RUNNING, TaskState.RUNNING),
        ):
            task = Task(id=name, service_id=service.meta.id, revision=1, slot=slot, node_id="n", desired_state=desired)
            task.created_at_ms, task.attempt, task.state = created, attempt, TaskState.ASSIGNED
            status = TaskStatus(task_id=name, state=state, at_ms=500)
            await api.store.commit([put(kinds.TASK, name, task), put(kinds.TASK_STATUS, name, status)])
        views = (await api.tasks.list(ListTasksRequest(include_ended=True), ADMIN)).tasks
        due = {view.task.id: view.restart_at_ms for view in views if view.restart_at_ms}
        assert due.keys() == {"new"}
        assert 20_500 <= due["new"] <= 24_500, "5 s, doubled twice, and up to a fifth more"

    with_api(scenario)


def test_nothing_is_due_where_the_policy_gives_up() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of(replicas=1)
        spec.task.restart.condition = RestartPolicy.NONE
        service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        await api.put_task("t", service.meta.id, state=TaskState.FAILED)
        (view,) = (await api.tasks.list(ListTasksRequest(include_ended=True), ADMIN)).tasks
        assert not view.restart_at_ms

    with_api(scenario)

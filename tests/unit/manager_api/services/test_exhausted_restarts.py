"""Who waits for a service of which nothing more comes is told so at once, and that it failed."""

import asyncio

import pytest

from manager.store import kinds
from manager.store.changes import Write, put
from shoal.api.v1.control_pb2 import CreateServiceRequest, ServiceProgress, WatchServicesRequest
from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceStatus, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

S = TaskState
R = RestartPolicy
NOW_MS = 1_000_000


async def create(api: Api, *, name: str = "web", replicas: int = 2, waits_for: str = "", **restart: object) -> str:
    spec = spec_of(name, replicas=replicas)
    spec.task.restart.CopyFrom(RestartPolicy(**restart))  # type: ignore[arg-type]
    if waits_for:
        spec.depends_on.add(service=waits_for, condition=Dependency.COMPLETED)
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id


def ended(
    service_id: str, slot: int, state: "TaskState.ValueType", *, attempt: int = 0, revision: int = 1
) -> list[Write]:
    name = f"{service_id}-{slot}-{attempt}"
    task = Task(id=name, service_id=service_id, revision=revision, slot=slot, node_id="n", attempt=attempt)
    task.state, task.created_at_ms = S.ASSIGNED, NOW_MS + attempt
    task.desired_state = S.RUNNING
    status = TaskStatus(task_id=name, state=state, at_ms=NOW_MS, message="no such image")
    return [put(kinds.TASK, name, task), put(kinds.TASK_STATUS, name, status)]


async def wait(api: Api, *names: str, verify_ms: int = 0, seconds: float = 10) -> ServiceProgress:
    """What the wait ends with, of the first of the services."""
    last = None
    async with asyncio.timeout(seconds):
        async for reported in api.progress.watch(
            WatchServicesRequest(services=names or ["web"], verify_ms=verify_ms), ADMIN
        ):
            last = reported
    assert last is not None and last.done
    return last.services[0]


@pytest.mark.parametrize("state", [S.FAILED, S.REJECTED])
@pytest.mark.parametrize("verify_ms", [0, 5_000])
def test_nothing_of_it_is_started_again(state: "TaskState.ValueType", verify_ms: int) -> None:
    """Also when all of it was over before somebody looked."""

    async def scenario(api: Api) -> None:
        identifier = await create(api, condition=R.NONE)
        await api.store.commit([*ended(identifier, 1, state), *ended(identifier, 2, state)])
        last = await wait(api, verify_ms=verify_ms)
        assert (last.converged, last.stalled) == (False, True)
        assert last.problems[0] == (
            "task 1 failed: no such image (and 1 more); not restarting; see `shoal service ps web`"
        )

    with_api(scenario)


def test_it_ends_once_the_others_run() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, condition=R.NONE)
        await api.store.commit(ended(identifier, 1, S.FAILED))
        waiting = asyncio.create_task(wait(api))
        await asyncio.sleep(0)
        await api.store.commit(ended(identifier, 2, S.STARTING))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "the other task may still come to run"
        await api.store.commit(ended(identifier, 2, S.RUNNING))
        last = await waiting
        assert (last.running, last.converged, last.stalled) == (1, False, True)

    with_api(scenario)


def test_attempts_that_are_used_up_are_an_end_too() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, replicas=1, condition=R.ANY, max_attempts=1)
        await api.store.commit(ended(identifier, 1, S.REJECTED))
        waiting = asyncio.create_task(wait(api))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "it is started once more"
        writes = ended(identifier, 1, S.REJECTED, attempt=1)
        await api.store.commit(writes)
        assert "task 1 failed after 1 restart: no such image" in (await waiting).problems[0]

    with_api(scenario)


def test_what_has_ended_well_has_converged() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, condition=R.NONE)
        await api.store.commit([*ended(identifier, 1, S.COMPLETE), *ended(identifier, 2, S.COMPLETE)])
        assert (await wait(api, verify_ms=5_000)).converged

    with_api(scenario)


def test_while_an_update_is_under_way_its_policy_judges() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, replicas=1, condition=R.NONE)
        under_way = ServiceStatus(
            service_id=identifier, update=UpdateStatus(state=UpdateStatus.UPDATING, task_revision=1)
        )
        await api.store.commit([*ended(identifier, 1, S.FAILED), put(kinds.SERVICE_STATUS, identifier, under_way)])
        waiting = asyncio.create_task(wait(api))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        under_way.update.state = UpdateStatus.COMPLETED
        await api.store.commit([put(kinds.SERVICE_STATUS, identifier, under_way)])
        assert (await waiting).stalled

    with_api(scenario)


def test_who_depends_on_it_is_not_waited_for() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, name="migrate", replicas=1, condition=R.NONE)
        await create(api, name="web", waits_for="migrate")
        await api.store.commit(ended(identifier, 1, S.REJECTED))
        last = await wait(api)
        assert last.stalled
        assert last.problems[0] == "waiting for migrate to complete, which has failed"

    with_api(scenario)

"""Waiting goes on for a time after all tasks run: one that ends in it is a failure, and is told."""

import asyncio
from collections.abc import Callable

import pytest

from manager.services.verification import MAX_MS
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    ScaleServicesRequest,
    ServiceProgress,
    ServicesProgress,
    WatchServicesRequest,
)
from shoal.api.v1.service_pb2 import RestartPolicy, ServiceStatus, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import InvalidInput
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

S = TaskState
NOW_MS = 1_000_000
"""By the rig's clock."""
FOR_EVER_MS = MAX_MS


class Watch:
    """What one who waits is told."""

    def __init__(self, api: Api, verify_ms: int) -> None:
        self.updates: list[ServicesProgress] = []
        self._reported = asyncio.Event()
        self._request = WatchServicesRequest(services=["web"], verify_ms=verify_ms)
        self._task = asyncio.create_task(self._follow(api))

    async def until_verifying(self) -> None:
        await self.until(lambda reported: reported.verify_remaining_ms > 0)

    async def until(self, condition: Callable[[ServiceProgress], bool]) -> None:
        async with asyncio.timeout(60):
            while not (self.updates and condition(self.updates[-1].services[0])):
                await self._reported.wait()
                self._reported.clear()

    async def end(self) -> ServiceProgress:
        async with asyncio.timeout(60):
            await self._task
        assert self.updates[-1].done
        return self.updates[-1].services[0]

    async def _follow(self, api: Api) -> None:
        async for update in api.progress.watch(self._request, ADMIN):
            self.updates.append(update)
            self._reported.set()


async def create(
    api: Api, *, replicas: int = 1, condition: "RestartPolicy.Condition.ValueType" = RestartPolicy.ANY
) -> str:
    spec = spec_of(replicas=replicas)
    spec.task.restart.condition = condition
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id


async def report(
    api: Api,
    task_id: str,
    service_id: str,
    state: "TaskState.ValueType" = S.RUNNING,
    *,
    slot: int = 1,
    made_ms: int = NOW_MS,
    revision: int = 1,
    healthy: bool = False,
) -> None:
    task = Task(id=task_id, service_id=service_id, revision=revision, slot=slot, node_id="n", created_at_ms=made_ms)
    task.state, task.desired_state = S.ASSIGNED, S.RUNNING
    status = TaskStatus(task_id=task_id, state=state, running_at_ms=NOW_MS, at_ms=NOW_MS + 400)
    status.message = "exit code 1" if state == S.FAILED else ""
    status.health = TaskStatus.HEALTHY if healthy else TaskStatus.NONE
    await api.store.commit([put(kinds.TASK, task_id, task), put(kinds.TASK_STATUS, task_id, status)])


@pytest.mark.parametrize(
    ("state", "what"), [(S.FAILED, "failed after 0.4 s: exit code 1"), (S.COMPLETE, "with code 0")]
)
def test_a_task_that_ends_while_it_is_watched_is_told(state: "TaskState.ValueType", what: str) -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api)
        watch = Watch(api, FOR_EVER_MS)
        await report(api, "t1", identifier)
        await watch.until_verifying()
        assert (watch.updates[-1].services[0].running, watch.updates[-1].services[0].converged) == (1, False)
        await report(api, "t1", identifier, state)
        last = await watch.end()
        assert (last.converged, last.stalled) == (False, True)
        assert "task web.1.t1" in last.problems[0] and what in last.problems[0]

    with_api(scenario)


def test_one_that_ends_before_it_was_seen_to_run_counts_as_well() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, replicas=2)
        watch = Watch(api, FOR_EVER_MS)
        await asyncio.sleep(0)
        await report(api, "t1", identifier, S.FAILED)
        assert (await watch.end()).stalled

    with_api(scenario)


def test_the_time_ends_by_itself_and_by_a_health_check_that_passes() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api)
        watch = Watch(api, 100)
        await report(api, "t1", identifier)
        await watch.until_verifying()
        assert (await watch.end()).converged
        watch = Watch(api, FOR_EVER_MS)
        await watch.until_verifying()
        await report(api, "t1", identifier, healthy=True)
        assert (await watch.end()).converged

    with_api(scenario)


def test_a_template_that_has_run_before_is_not_watched() -> None:
    """Scaling it ends as soon as all run."""

    async def scenario(api: Api) -> None:
        identifier = await create(api)
        await report(api, "t1", identifier, made_ms=NOW_MS - 60_000)
        await api.services.scale(
            ScaleServicesRequest(targets=[ScaleServicesRequest.Target(service="web", replicas=2)]), ADMIN
        )
        watch = Watch(api, 50_000)
        await report(api, "t2", identifier, slot=2)
        assert (await watch.end()).converged
        assert not any(update.services[0].verify_remaining_ms for update in watch.updates)

    with_api(scenario)


def test_what_is_to_end_is_no_failure() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api, condition=RestartPolicy.ON_FAILURE)
        watch = Watch(api, FOR_EVER_MS)
        await report(api, "t1", identifier)
        await watch.until_verifying()
        await report(api, "t1", identifier, S.COMPLETE)
        assert (await watch.end()).converged

    with_api(scenario)


def test_while_an_update_is_under_way_its_policy_judges() -> None:
    async def scenario(api: Api) -> None:
        identifier = await create(api)

        async def update(state: "UpdateStatus.State.ValueType") -> None:
            status = ServiceStatus(service_id=identifier, update=UpdateStatus(state=state, task_revision=1))
            await api.store.commit([put(kinds.SERVICE_STATUS, identifier, status)])

        await update(UpdateStatus.UPDATING)
        watch = Watch(api, 100)
        await report(api, "t1", identifier, S.FAILED)
        await report(api, "t2", identifier)
        await watch.until(lambda reported: reported.running == 1)
        await update(UpdateStatus.COMPLETED)
        assert (await watch.end()).stalled is False

    with_api(scenario)


def test_the_time_has_a_bound() -> None:
    async def scenario(api: Api) -> None:
        await create(api)
        for verify_ms in (-1, MAX_MS + 1):
            with pytest.raises(InvalidInput, match="the maximum is"):
                await anext(api.progress.watch(WatchServicesRequest(services=["web"], verify_ms=verify_ms), ADMIN))

    with_api(scenario)

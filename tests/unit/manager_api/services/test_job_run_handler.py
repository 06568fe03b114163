"""Running a job with a schedule now: who may, and what the planner is told."""

import pytest

from cli.commands.service.job_run import started
from manager.services.job_run_handler import JobRunHandler
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest, RunJobRequest, RunJobResponse
from shoal.api.v1.service_pb2 import JobRun, ReplicatedJob, Schedule, ServiceSpec, ServiceStatus
from shoal.errors import Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


def job(name: str = "report", *, cron: str = "", overlap: Schedule.Overlap.ValueType = Schedule.FORBID) -> ServiceSpec:
    spec = spec_of(name)
    spec.replicated_job.CopyFrom(ReplicatedJob(total_completions=1))
    if cron:
        spec.schedule.CopyFrom(Schedule(cron=cron, overlap=overlap))
    return spec


def test_a_request_is_counted_and_changes_no_revision() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=job(cron="0 3 * * *")), ADMIN)).service
        handler = JobRunHandler(store=api.store, now_ms=lambda: 2000)
        for number in (1, 2):
            assert (await handler.run(RunJobRequest(service="report"), ADMIN)).run_requests == number
        stored = api.store.tables.services[made.meta.id]
        assert (stored.run_requests, stored.revision, stored.task_revision) == (2, 1, 1)
        assert stored.meta.updated_at_ms == 2000

    with_api(scenario)


@pytest.mark.parametrize(
    ("overlap", "admitted"), [(Schedule.FORBID, False), (Schedule.ALLOW, True), (Schedule.REPLACE, True)]
)
def test_a_run_beside_another_is_as_the_schedule_says(overlap: Schedule.Overlap.ValueType, admitted: bool) -> None:
    async def scenario(api: Api) -> None:
        spec = job(cron="0 3 * * *", overlap=overlap)
        identifier = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id
        status = ServiceStatus(service_id=identifier, runs=[JobRun(number=4, state=JobRun.RUNNING)])
        await api.store.commit([put(kinds.SERVICE_STATUS, identifier, status)])
        request, handler = RunJobRequest(service="report"), JobRunHandler(store=api.store, now_ms=lambda: 2000)
        if admitted:
            assert (await handler.run(request, ADMIN)).previous_run == 4
            return
        with pytest.raises(
            Refused, match='a run of "report" is active, and its schedule allows no other at the same time'
        ):
            await handler.run(request, ADMIN)
        assert api.store.tables.services[identifier].run_requests == 0

    with_api(scenario)


def test_what_has_no_schedule_is_refused() -> None:
    async def scenario(api: Api) -> None:
        handler = JobRunHandler(store=api.store, now_ms=lambda: 2000)
        for spec in (job(), spec_of("web")):
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
            with pytest.raises(Refused, match="has no schedule"):
                await handler.run(RunJobRequest(service=spec.name), ADMIN)

    with_api(scenario)


def test_which_run_was_requested() -> None:
    requested = RunJobResponse(run_requests=2, previous_run=3)
    status = ServiceStatus(handled_run_requests=1, runs=[JobRun(number=3)])
    assert started(status, requested) is None
    status.handled_run_requests = 2
    status.runs.add(number=4, scheduled_at_ms=60_000)
    status.schedule.message = "the requested run was skipped: run 4 was still active"
    with pytest.raises(Refused, match="run 4 was still active"):
        started(status, requested)
    status.runs.add(number=5)
    found = started(status, requested)
    assert found is not None
    assert found.number == 5

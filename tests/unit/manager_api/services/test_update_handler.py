"""What users may ask of updates and jobs, and what they are told while these go on."""

import pytest

from manager.services.job_progress import job_progress, job_view
from manager.services.task_counts import progress
from manager.services.update_handler import apply_action
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    ListRevisionsRequest,
    ManageUpdateRequest,
    ScaleServicesRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.service_pb2 import (
    JobRun,
    ReplicatedJob,
    RestartPolicy,
    Schedule,
    ScheduleStatus,
    Service,
    ServiceSpec,
    ServiceStatus,
    UpdateConfig,
    UpdateControl,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

S = UpdateStatus
ASK = ManageUpdateRequest


def service(canary: int = 0) -> Service:
    made = Service(revision=2, task_revision=2)
    made.spec.name = "web"
    made.spec.update.canary = canary
    return made


def status(state: UpdateStatus.State.ValueType) -> UpdateStatus:
    return UpdateStatus(state=state, task_revision=2)


@pytest.mark.parametrize(
    ("action", "state", "admitted"),
    [
        (ASK.PAUSE, S.UPDATING, True),
        (ASK.PAUSE, S.ROLLING_BACK, True),
        (ASK.PAUSE, S.COMPLETED, False),
        (ASK.PAUSE, S.PAUSED, False),
        (ASK.RESUME, S.PAUSED, True),
        (ASK.RESUME, S.UPDATING, False),
        (ASK.RESUME, S.ROLLED_BACK, False),
        (ASK.PROMOTE, S.CANARY, True),
        (ASK.PROMOTE, S.COMPLETED, False),
    ],
)
def test_what_an_update_admits(
    action: ManageUpdateRequest.Action.ValueType, state: UpdateStatus.State.ValueType, admitted: bool
) -> None:
    if admitted:
        assert apply_action(service(canary=1), status(state), action).task_revision == 2
        return
    with pytest.raises(Refused, match='service "web"'):
        apply_action(service(canary=1), status(state), action)


@pytest.mark.parametrize(
    ("action", "state", "reported"),
    [
        (ASK.PAUSE, None, "no update is in progress; to start one, use `shoal service update`"),
        (ASK.PAUSE, S.PAUSED, "it is already paused; to continue, use `shoal service resume web`"),
        (
            ASK.RESUME,
            S.CANARY,
            "it is not paused but waiting for promotion; to promote its canaries, use `shoal service promote web`",
        ),
        (ASK.RESUME, S.UPDATING, "it is not paused"),
        (ASK.RESUME, S.COMPLETED, "it has completed"),
        (ASK.PROMOTE, S.PAUSED, "it is paused; resume it first with `shoal service resume web`"),
        (ASK.PROMOTE, S.ROLLING_BACK, "it is being rolled back"),
        (ASK.PROMOTE, S.ROLLED_BACK, "it has been rolled back; to start another one, use `shoal service update`"),
    ],
)
def test_a_refusal_says_what_to_do(
    action: ManageUpdateRequest.Action.ValueType, state: UpdateStatus.State.ValueType | None, reported: str
) -> None:
    with pytest.raises(Refused) as refused:
        apply_action(service(canary=1), status(state) if state is not None else None, action)
    word = {ASK.PAUSE: "paused", ASK.RESUME: "resumed", ASK.PROMOTE: "promoted"}[action]
    assert str(refused.value) == f'the update of service "web" cannot be {word}: {reported}'


def test_an_update_that_the_planner_has_not_begun_yet_can_be_paused() -> None:
    assert apply_action(service(), None, ASK.PAUSE, pending=True).paused


def test_there_has_to_be_an_update_and_an_action() -> None:
    with pytest.raises(Refused):
        apply_action(service(), None, ASK.PAUSE)
    with pytest.raises(InvalidInput):
        apply_action(service(), status(S.UPDATING), ASK.ACTION_UNSPECIFIED)
    with pytest.raises(Refused, match="no canaries"):
        apply_action(service(), status(S.UPDATING), ASK.PROMOTE)


def test_what_was_asked_adds_up_and_belongs_to_one_update() -> None:
    asked = service(canary=1)
    asked.update_control.CopyFrom(UpdateControl(task_revision=2, promoted=True, resume_count=1))
    again = apply_action(asked, status(S.PAUSED), ASK.RESUME)
    assert (again.promoted, again.resume_count, again.paused) == (True, 2, False)
    asked.update_control.task_revision = 1
    fresh = apply_action(asked, status(S.PAUSED), ASK.RESUME)
    assert (fresh.promoted, fresh.resume_count) == (False, 1)


async def announce(api: Api, identifier: str, **fields: object) -> None:
    reported = ServiceStatus(service_id=identifier, **fields)  # type: ignore[arg-type]
    await api.store.commit([put(kinds.SERVICE_STATUS, identifier, reported)])


def test_a_paused_update_ends_the_wait_until_the_user_has_spoken() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=spec_of(replicas=1)), ADMIN)).service
        await api.put_task("t1", made.meta.id)
        paused = UpdateStatus(state=S.PAUSED, task_revision=1, message="1 of 1 failed: exit 7")
        await announce(api, made.meta.id, update=paused)
        seen = progress(api.store.tables, api.store.tables.services[made.meta.id])
        assert (seen.converged, seen.stalled) == (False, True)
        assert list(seen.problems) == ["the update is paused: 1 of 1 failed: exit 7"]
        await api.updates.manage(ManageUpdateRequest(service="web", action=ASK.RESUME), ADMIN)
        seen = progress(api.store.tables, api.store.tables.services[made.meta.id])
        assert not seen.stalled  # the planner has not answered yet

    with_api(scenario)


def test_who_scales_while_canaries_wait_waits_until_the_tasks_run() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=spec_of(replicas=2)), ADMIN)).service
        await announce(api, made.meta.id, update=UpdateStatus(state=S.CANARY, task_revision=1))

        def halted() -> bool:
            return progress(api.store.tables, api.store.tables.services[made.meta.id]).stalled

        await api.put_task("t1", made.meta.id)
        assert not halted()  # the planner has not acted yet
        await api.put_task("t2", made.meta.id, slot=2, state=TaskState.STARTING)
        assert not halted()
        await api.put_task("t2", made.meta.id, slot=2)
        assert halted()
        await api.put_task("t0", made.meta.id, slot=2, desired=TaskState.SHUTDOWN)
        assert not halted()  # its predecessor stops still
        await api.put_task("t0", made.meta.id, slot=2, desired=TaskState.SHUTDOWN, state=TaskState.SHUTDOWN)
        await api.put_task("t2", made.meta.id, slot=2, state=TaskState.FAILED)
        assert halted()  # an end that is answered later, or never, is told

    with_api(scenario)


def test_after_a_rollback_the_tasks_of_the_earlier_revision_count() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=spec_of(replicas=1)), ADMIN)).service
        worse = spec_of(replicas=1, image="registry:5000/hello:2")
        await api.services.update(UpdateServiceRequest(service="web", version=made.meta.version, spec=worse), ADMIN)
        await api.put_task("t1", made.meta.id, revision=1)
        tables = api.store.tables
        assert not progress(tables, tables.services[made.meta.id]).converged
        back = UpdateStatus(state=S.ROLLED_BACK, task_revision=2, effective_revision=1, previous_revision=1)
        await announce(api, made.meta.id, update=back)
        assert progress(tables, tables.services[made.meta.id]).converged
        newest, first = (await api.updates.revisions(ListRevisionsRequest(service="web"), ADMIN)).revisions
        assert (newest.current, newest.effective, newest.running) == (True, False, 0)
        assert (first.current, first.effective, first.running) == (False, True, 1)

    with_api(scenario)


def job(total: int = 2) -> ServiceSpec:
    spec = ServiceSpec(name="web", replicated_job=ReplicatedJob(total_completions=total))
    spec.task.container.image = "registry:5000/hello:1"
    return spec


def test_a_job_is_done_when_its_newest_run_is() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=job()), ADMIN)).service
        tables = api.store.tables
        assert not job_progress(tables, made).converged
        run = JobRun(number=1, revision=1, state=JobRun.SUCCEEDED, desired=2, completed=2)
        await announce(api, made.meta.id, runs=[run])
        seen = job_progress(tables, made)
        assert (seen.converged, seen.completed, seen.desired, seen.is_job) == (True, 2, 2, True)
        assert job_view(tables, made).completed == 2
        more = (
            await api.services.update(
                UpdateServiceRequest(service="web", version=made.meta.version, spec=job(3)), ADMIN
            )
        ).service
        assert not job_progress(tables, more).converged  # the planner does not know of the third yet
        run.state, run.desired = JobRun.FAILED, 3
        await announce(api, made.meta.id, runs=[run], problems=["task 3 failed"])
        seen = job_progress(tables, more)
        assert (seen.converged, seen.stalled, list(seen.problems)) == (False, True, ["task 3 failed"])

    with_api(scenario)


def test_a_schedule_is_there_once_the_planner_keeps_it() -> None:
    async def scenario(api: Api) -> None:
        spec = job()
        spec.schedule.cron = "0 3 * * *"
        made = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        assert not job_progress(api.store.tables, made).converged
        await announce(api, made.meta.id, schedule=ScheduleStatus(cron="0 3 * * *"))
        assert job_progress(api.store.tables, made).converged

    with_api(scenario)


def test_what_does_not_belong_to_a_mode_is_told_all_at_once() -> None:
    async def scenario(api: Api) -> None:
        spec = job()
        spec.task.restart.condition = RestartPolicy.ANY
        spec.update.parallelism = 2
        spec.schedule.CopyFrom(Schedule(cron="often", timezone="Nowhere"))
        with pytest.raises(InvalidInput) as caught:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert {fault.path for fault in caught.value.faults} == {
            "task.restart.condition",
            "update",
            "schedule.cron",
            "schedule.timezone",
        }
        bad = spec_of()
        bad.schedule.cron = "0 3 * * *"
        bad.update.CopyFrom(UpdateConfig(max_failure_ratio=float("nan"), auto_promote=True, monitor_ms=-1))
        bad.rollback.CopyFrom(UpdateConfig(failure_action=UpdateConfig.ROLLBACK, canary=1))
        with pytest.raises(InvalidInput) as caught:
            await api.services.create(CreateServiceRequest(spec=bad), ADMIN)
        assert {fault.path for fault in caught.value.faults} == {
            "schedule",
            "update.max_failure_ratio",
            "update.auto_promote",
            "update.monitor_ms",
            "rollback.failure_action",
            "rollback.canary",
        }
        await api.services.create(CreateServiceRequest(spec=job()), ADMIN)
        target = ScaleServicesRequest.Target(service="web", replicas=3)
        with pytest.raises(InvalidInput, match="jobs cannot be scaled"):
            await api.services.scale(ScaleServicesRequest(targets=[target]), ADMIN)

    with_api(scenario)

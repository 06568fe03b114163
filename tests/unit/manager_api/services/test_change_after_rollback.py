"""After a rollback of the planner's own, what is in force is what is shown, and what the next change is based on."""

from collections.abc import Awaitable, Callable

from manager.planner.spec.running_template import running_part
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetServiceRequest,
    ListRevisionsRequest,
    RollbackServiceRequest,
    ScaleServicesRequest,
    ServiceView,
    UpdateServiceRequest,
)
from shoal.api.v1.service_pb2 import Service, ServiceSpec, ServiceStatus, UpdateStatus
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request

GOOD, BAD = "registry:5000/hello:1", "registry:5000/hello:2"
Scenario = Callable[[Api, Service], Awaitable[None]]


def rolled_back(scenario: Scenario, stack: str = "") -> None:
    """A service whose second revision has failed."""

    async def run(api: Api) -> None:
        spec = spec_of(image=GOOD)
        spec.stack = stack
        made = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        worse = spec_of(image=BAD)
        worse.stack = stack
        await api.services.update(UpdateServiceRequest(service="web", version=made.meta.version, spec=worse), ADMIN)
        back = UpdateStatus(state=UpdateStatus.ROLLED_BACK, task_revision=2, effective_revision=1, previous_revision=1)
        back.message = "1 of 2 failed: exit code 1"
        status = ServiceStatus(service_id=made.meta.id, update=back)
        await api.store.commit([put(kinds.SERVICE_STATUS, made.meta.id, status)])
        await scenario(api, made)

    with_api(run)


async def shown(api: Api) -> ServiceView:
    return await api.services.get(GetServiceRequest(service="web"), ADMIN)


def image(spec: ServiceSpec) -> str:
    return spec.task.container.image.partition("@")[0]


def test_what_runs_is_shown() -> None:
    async def scenario(api: Api, _: Service) -> None:
        view = await shown(api)
        assert (image(view.service.spec), view.rolled_back_from, view.service.revision) == (GOOD, 2, 2)

    rolled_back(scenario)


def test_a_change_starts_from_it() -> None:
    async def scenario(api: Api, made: Service) -> None:
        service = (await shown(api)).service
        service.spec.task.container.env.append("LEVEL=debug")
        changed = await api.services.update(
            UpdateServiceRequest(service="web", version=service.meta.version, spec=service.spec), ADMIN
        )
        stored = api.store.tables.services[made.meta.id]
        assert (image(stored.spec), [*stored.spec.task.container.env]) == (GOOD, ["LEVEL=debug"])
        assert (changed.service.revision, changed.service.task_revision) == (3, 3)
        assert (await shown(api)).rolled_back_from == 0

    rolled_back(scenario)


def test_scaling_keeps_it_and_history_says_what_is_in_force() -> None:
    async def scenario(api: Api, made: Service) -> None:
        await api.put_task("t1", made.meta.id)
        newest, first = (await api.updates.revisions(ListRevisionsRequest(service="web"), ADMIN)).revisions
        assert (newest.current, newest.effective, first.effective, first.running) == (True, False, True, 1)
        target = ScaleServicesRequest.Target(service="web", replicas=5)
        await api.services.scale(ScaleServicesRequest(targets=[target]), ADMIN)
        stored = api.store.tables.services[made.meta.id]
        assert (image(stored.spec), stored.spec.replicated.replicas, stored.task_revision) == (GOOD, 5, 3)
        history = (await api.updates.revisions(ListRevisionsRequest(service="web"), ADMIN)).revisions
        assert [each.effective for each in history] == [True, False, False]

    rolled_back(scenario)


def test_a_mere_scale_is_in_force_itself() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=spec_of(replicas=1)), ADMIN)).service
        await api.put_task("t1", made.meta.id)
        target = ScaleServicesRequest.Target(service="web", replicas=2)
        await api.services.scale(ScaleServicesRequest(targets=[target]), ADMIN)
        await api.put_task("t2", made.meta.id, revision=1, slot=2)
        newest, first = (await api.updates.revisions(ListRevisionsRequest(service="web"), ADMIN)).revisions
        assert (newest.effective, newest.running, first.effective, first.running) == (True, 2, False, 0)

    with_api(scenario)


def test_the_template_that_failed_can_be_tried_again() -> None:
    async def scenario(api: Api, made: Service) -> None:
        service = (await shown(api)).service
        service.spec.task.container.image = BAD
        await api.services.update(
            UpdateServiceRequest(service="web", version=service.meta.version, spec=service.spec), ADMIN
        )
        stored = api.store.tables.services[made.meta.id]
        assert (image(stored.spec), stored.revision, stored.task_revision) == (BAD, 3, 3)

    rolled_back(scenario)


def test_a_rollback_by_hand_finds_that_it_is_done() -> None:
    async def scenario(api: Api, made: Service) -> None:
        answer = await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert "already active" in answer.warnings[0]
        assert api.store.tables.services[made.meta.id].revision == 2

    rolled_back(scenario)


def test_a_stack_is_compared_with_it() -> None:
    """The same file again is another attempt; one with the template in force changes nothing that runs."""

    async def scenario(api: Api) -> None:
        for text in (GOOD, BAD):
            await deploy(api, text)
        service = next(iter(api.store.tables.services.values()))
        back = UpdateStatus(state=UpdateStatus.ROLLED_BACK, task_revision=2, effective_revision=1, previous_revision=1)
        status = ServiceStatus(service_id=service.meta.id, update=back)
        await api.store.commit([put(kinds.SERVICE_STATUS, service.meta.id, status)])
        assert await deploy(api, GOOD) == "unchanged"
        assert await deploy(api, BAD) == "update"
        stored = api.store.tables.services[service.meta.id]
        assert (stored.revision, stored.task_revision) == (3, 3)
        assert running_part(stored.spec) == running_part(service.spec)

    with_api(scenario)


async def deploy(api: Api, text: str) -> str:
    request = stack_request("shop", services=[spec_of(image=text)])
    response = await api.stacks.deploy(request, ADMIN)
    return next(change.action for change in response.changes if change.kind == "service")

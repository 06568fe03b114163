"""Services through the control API, on the real store over etcd in memory."""

import asyncio

import pytest

from manager.store import kinds
from manager.validation import bounds
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    GetServiceRequest,
    ListServicesRequest,
    RemoveNetworkRequest,
    RemoveServiceRequest,
    RollbackServiceRequest,
    ScaleServicesRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.distribution.manifests import Platform
from shoal.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused, ShoalError, Timeout, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api

Target = ScaleServicesRequest.Target


async def create(api: Api, spec: ServiceSpec) -> Service:
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service


async def update(api: Api, service: Service, spec: ServiceSpec) -> Service:
    request = UpdateServiceRequest(service=service.meta.id, version=service.meta.version, spec=spec)
    return (await api.services.update(request, ADMIN)).service


def changed(service: Service) -> ServiceSpec:
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    return spec


def test_creation_pins_the_image_and_writes_a_revision() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        assert service.spec.task.container.image == "registry:5000/hello:1@sha256:" + "a" * 64
        assert (service.revision, service.task_revision) == (1, 1)
        stored = api.store.tables.services[service.meta.id]
        assert stored == service
        revision = api.store.tables.revision_of(service.meta.id, 1)
        assert revision is not None
        assert revision.spec == service.spec

    with_api(scenario)


def test_a_name_is_given_once() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec_of())
        with pytest.raises(AlreadyExists, match='"web" already exists'):
            await create(api, spec_of())
        await api.services.remove(RemoveServiceRequest(service="web"), ADMIN)
        await create(api, spec_of())

    with_api(scenario)


def test_two_managers_cannot_give_one_name_twice() -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            outcomes = await asyncio.gather(
                *(create(api, spec_of()) for api in (one, other) * 5), return_exceptions=True
            )
            made = [outcome for outcome in outcomes if isinstance(outcome, Service)]
            assert len(made) == 1
            assert all(isinstance(outcome, AlreadyExists | Service) for outcome in outcomes)
            await other.store.reached(one.store.tables.revision)
            assert list(other.store.tables.services) == [made[0].meta.id]

    asyncio.run(scenario())


def test_names_that_differ_in_case_alone_are_one_to_dns() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec_of(name="My_Web"))
        with pytest.raises(InvalidInput, match='differs from service "My_Web" only in case'):
            await create(api, spec_of(name="my_web"))

    with_api(scenario)


def test_a_missing_image_is_a_fault_beside_the_others() -> None:
    async def scenario(api: Api) -> None:
        api.images.missing.add("registry:5000/hello:1")
        spec = spec_of(name="my web")
        spec.task.networks.add(network="nowhere")
        with pytest.raises(InvalidInput) as caught:
            await create(api, spec)
        assert [fault.path for fault in caught.value.faults] == [
            "name",
            "task.networks[0].network",
            "task.container.image",
        ]
        assert not api.store.tables.services

    with_api(scenario)


@pytest.mark.parametrize("failure", [Unavailable("registry:5000 does not answer"), Timeout("registry:5000 is slow")])
def test_a_registry_that_is_away_is_a_fault_and_nothing_is_made(failure: ShoalError) -> None:
    async def scenario(api: Api) -> None:
        api.images.failure = failure
        with pytest.raises(InvalidInput, match=f"task.container.image: .*{failure}.*--no-resolve-image"):
            await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)
        assert not api.store.tables.services
        made = await api.services.create(CreateServiceRequest(spec=spec_of(), no_resolve_image=True), ADMIN)
        assert made.service.spec.task.container.image == "registry:5000/hello:1"
        with pytest.raises(InvalidInput, match="cannot resolve image registry:5000/hello:2"):
            await update(api, made.service, spec_of(image="registry:5000/hello:2"))

    with_api(scenario)


def test_no_registry_is_asked_for_an_image_that_stays() -> None:
    async def scenario(api: Api) -> None:
        pinned = await create(api, spec_of())
        kept = (
            await api.services.create(CreateServiceRequest(spec=spec_of("kept"), no_resolve_image=True), ADMIN)
        ).service
        api.images.asked.clear()
        for service in (pinned, kept):
            spec = changed(service)
            spec.task.container.env.append("A=1")
            service = await update(api, service, spec)
            target = Target(service=service.meta.id, replicas=7)
            await api.services.scale(ScaleServicesRequest(targets=[target]), ADMIN)
            back = await api.services.rollback(RollbackServiceRequest(service=service.meta.id, revision=1), ADMIN)
            assert list(back.service.spec.task.container.env) == []
        assert api.images.asked == []

    with_api(scenario)


def test_a_known_digest_outlasts_its_registry() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        api.images.failure = Unavailable("away")
        again = spec_of(replicas=5)
        updated = await update(api, service, again)
        assert updated.spec.task.container.image == service.spec.task.container.image
        assert updated.task_revision == 1

    with_api(scenario)


def test_what_makes_new_tasks_and_what_only_a_revision() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        same = await update(api, service, changed(service))
        assert same.revision == 1
        spec = changed(service)
        spec.labels["a"] = "b"
        spec.task.placement.constraints.append("node.labels.disk == ssd")
        spec.task.restart.max_attempts = 3
        spec.task.limits.SetInParent()
        labelled = await update(api, service, spec)
        assert (labelled.revision, labelled.task_revision) == (2, 1)
        spec = changed(labelled)
        spec.task.container.env.append("A=1")
        other = await update(api, labelled, spec)
        assert (other.revision, other.task_revision) == (3, 3)
        back = await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert (back.service.revision, back.service.task_revision) == (4, 4)
        assert back.service.spec == labelled.spec
        with pytest.raises(NotFound, match="no revision 9"):
            await api.services.rollback(RollbackServiceRequest(service="web", revision=9), ADMIN)

    with_api(scenario)


def test_a_rollback_knows_what_platforms_the_earlier_image_is_for() -> None:
    async def scenario(api: Api) -> None:
        api.images.platforms = (Platform("linux", "arm64", ""),)
        await create(api, spec_of())
        service = api.store.tables.service_named("web")
        assert service is not None
        api.images.platforms = (Platform("linux", "amd64", ""),)
        requested = changed(service)
        requested.task.container.image = "registry:5000/hello:2"
        await update(api, service, requested)
        back = await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert [each.architecture for each in back.service.spec.task.placement.platforms] == ["arm64"]

    with_api(scenario)


def test_an_update_of_an_old_version_is_a_conflict() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        await update(api, service, spec_of(replicas=3))
        with pytest.raises(Conflict, match="read it again"):
            await update(api, service, spec_of(replicas=4))

    with_api(scenario)


def test_what_an_update_may_not_change() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        spec = spec_of(name="other")
        getattr(spec, "global").SetInParent()
        with pytest.raises(InvalidInput) as caught:
            await update(api, service, spec)
        assert [fault.path for fault in caught.value.faults] == ["name", "mode"]

    with_api(scenario)


def test_scaling_is_all_or_none() -> None:
    async def scenario(api: Api) -> None:
        for name in ("one", "two"):
            await create(api, spec_of(name))
        targets = [Target(service="one", replicas=7), Target(service="two", replicas=2_000_000)]
        with pytest.raises(InvalidInput):
            await api.services.scale(ScaleServicesRequest(targets=targets), ADMIN)
        with pytest.raises(NotFound, match='did you mean "two"'):
            await api.services.scale(ScaleServicesRequest(targets=[targets[0], Target(service="twoo")]), ADMIN)
        targets[1].replicas = 9
        answer = await api.services.scale(ScaleServicesRequest(targets=targets), ADMIN)
        assert [each.spec.replicated.replicas for each in answer.services] == [7, 9]
        tables = api.store.tables
        assert [tables.services[each.meta.id] for each in answer.services] == list(answer.services)

    with_api(scenario)


def test_old_revisions_go_but_those_in_use_stay() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        await api.put_task("t1", service.meta.id, revision=2)
        for number in range(20):
            spec = changed(service)
            spec.labels["n"] = str(number)
            service = await update(api, service, spec)
        kept = sorted(int(key.partition("/")[2]) for key in api.store.tables.revisions)
        assert kept == [1, 2, *range(21 - bounds.REVISIONS_KEPT + 1, 22)]

    with_api(scenario)


def test_scaling_pushes_no_revision_out_that_ran_something_else() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        for number in range(14):
            spec = changed(service)
            spec.task.container.env.append(f"N={number}")
            service = await update(api, service, spec)
            for _ in range(12):
                spec = changed(service)
                spec.replicated.replicas = 3 - spec.replicated.replicas % 2
                service = await update(api, service, spec)
        tables = api.store.tables
        ran = {len(revision.spec.task.container.env) for revision in tables.revisions.values()}
        assert ran == set(range(5, 15))
        assert len(tables.revisions) <= 2 * bounds.REVISIONS_KEPT + 1
        oldest = min(revision.number for revision in tables.revisions.values())
        answer = await api.services.rollback(RollbackServiceRequest(service=service.meta.id, revision=oldest), ADMIN)
        assert len(answer.service.spec.task.container.env) == 5

    with_api(scenario)


def test_views_count_tasks() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of(replicas=3))
        await api.put_task("t1", service.meta.id)
        view = await api.services.get(GetServiceRequest(service=service.meta.id[:13]), ADMIN)
        assert (view.desired, view.running) == (3, 1)
        assert len((await api.services.list(ListServicesRequest(stack="none"), ADMIN)).services) == 0
        assert len((await api.services.list(ListServicesRequest(), ADMIN)).services) == 1

    with_api(scenario)


def test_a_network_in_use_cannot_be_removed_by_another_manager() -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            await one.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="front")), ADMIN)
            await other.store.reached(one.store.tables.revision)
            spec = spec_of()
            spec.task.networks.add(network="front")
            made, removed = await asyncio.gather(
                create(one, spec),
                other.networks.remove(RemoveNetworkRequest(network="front"), ADMIN),
                return_exceptions=True,
            )
            assert isinstance(made, Service) != (not isinstance(removed, BaseException))
            assert isinstance(made, Service | Conflict | InvalidInput)
            await other.store.reached(one.store.tables.revision)
            for service in other.store.tables.services.values():
                assert service.spec.task.networks[0].network in other.store.tables.networks
                with pytest.raises(Refused, match="in use by web"):
                    await other.networks.remove(RemoveNetworkRequest(network="front"), ADMIN)

    asyncio.run(scenario())


def test_the_name_records_follow() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        assert api.store.tables.rows(kinds.NAME)["service/web"].meta.id == service.meta.id
        await api.services.remove(RemoveServiceRequest(service="web"), ADMIN)
        assert not api.store.tables.rows(kinds.NAME)

    with_api(scenario)


def test_a_trial_is_judged_whole_and_leaves_nothing() -> None:
    async def scenario(api: Api) -> None:
        answer = await api.services.create(CreateServiceRequest(spec=spec_of(), dry_run=True), ADMIN)
        assert answer.service.spec.task.container.image.endswith("a" * 64)
        assert not api.store.tables.services
        service = await create(api, spec_of())
        spec = changed(service)
        spec.replicated.replicas = 7
        request = UpdateServiceRequest(service=service.meta.id, version=service.meta.version, spec=spec, dry_run=True)
        assert (await api.services.update(request, ADMIN)).service.spec.replicated.replicas == 7
        assert api.store.tables.services[service.meta.id] == service

    with_api(scenario)


def test_a_name_that_is_taken_is_told_beside_the_other_faults() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec_of())
        spec = spec_of()
        spec.task.container.hostname = "not a name"
        with pytest.raises(InvalidInput) as caught:
            await create(api, spec)
        assert [fault.path for fault in caught.value.faults] == ["task.container.hostname", "name"]

    with_api(scenario)


def test_a_tag_is_kept_when_asked() -> None:
    async def scenario(api: Api) -> None:
        made = await api.services.create(CreateServiceRequest(spec=spec_of(), no_resolve_image=True), ADMIN)
        assert made.service.spec.task.container.image == "registry:5000/hello:1"
        request = UpdateServiceRequest(
            service=made.service.meta.id,
            version=made.service.meta.version,
            spec=spec_of(image="registry:5000/hello:2"),
            no_resolve_image=True,
        )
        answer = await api.services.update(request, ADMIN)
        assert answer.service.spec.task.container.image == "registry:5000/hello:2"

    with_api(scenario)

"""Services through the control API, on the real store over etcd in memory."""

import asyncio

import pytest

from manager.store import kinds
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
from shoal.api.v1.service_pb2 import Service
from shoal.errors import AlreadyExists, Conflict, InvalidInput, Refused, ShoalError, Timeout, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api
from tests.unit.manager_api.services.service_calls import changed, create, update
from tests.unit.manager_api.services.test_service_revisions import Target


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


def test_a_dry_run_of_a_creation_says_where_tasks_go_and_writes_nothing() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2")
        request = CreateServiceRequest(spec=spec_of(replicas=2), dry_run=True, with_moves=True, no_resolve_image=True)
        answer = await api.services.create(request, ADMIN)
        moves = sorted((each.name, each.from_hostname, each.to_hostname) for each in answer.moves)
        assert moves == [("web.1", "", "h1"), ("web.2", "", "h2")]
        request.spec.task.reservations.memory_bytes = 1 << 50
        (waits,) = {each.pending_reason for each in (await api.services.create(request, ADMIN)).moves}
        assert waits
        request.with_moves = False
        assert not (await api.services.create(request, ADMIN)).moves
        assert not api.store.tables.services

    with_api(scenario)


def test_a_dry_run_of_an_update_says_where_tasks_go_and_writes_nothing() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2")
        service = await create(api, spec_of(replicas=2))
        spec = changed(service)
        spec.task.container.env.append("A=2")
        request = UpdateServiceRequest(
            service=service.meta.id, version=service.meta.version, spec=spec, dry_run=True, with_moves=True
        )
        answer = await api.services.update(request, ADMIN)
        assert sorted((move.name, move.to_hostname) for move in answer.moves) == [("web.1", "h1"), ("web.2", "h2")]
        request.with_moves = False
        assert not (await api.services.update(request, ADMIN)).moves
        request.with_moves = True
        request.spec.CopyFrom(service.spec)
        assert not (await api.services.update(request, ADMIN)).moves  # nothing changes
        assert api.store.tables.services[service.meta.id] == service
        assert not api.store.tables.tasks

    with_api(scenario)

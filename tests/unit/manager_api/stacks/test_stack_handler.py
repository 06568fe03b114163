"""Stacks through the control API, on the real store over etcd in memory."""

import asyncio

import pytest

from manager.records.write_groups import WriteGroup, batched
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    DeployStackRequest,
    ListTasksRequest,
    RemoveStackRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput, NotFound, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api
from tests.unit.manager_api.stack_requests import stack_request
from tests.unit.manager_api.stacks.example_stack import actions, shop


def test_a_stack_is_made_changed_and_removed() -> None:
    async def scenario(api: Api) -> None:
        made = await api.stacks.deploy(shop(spec_of("web"), spec_of("db")), ADMIN)
        assert actions(made) == ["create network shop_front", "create service shop_web", "create service shop_db"]
        web = api.store.tables.service_named("shop_web")
        assert web is not None
        attachment = web.spec.task.networks[0]
        assert attachment.network == made.changes[0].id
        assert list(attachment.aliases) == ["web"]
        again = await api.stacks.deploy(shop(spec_of("web"), spec_of("db")), ADMIN)
        assert {change.action for change in again.changes} == {"unchanged"}
        pruned = await api.stacks.deploy(shop(spec_of("web", replicas=5), prune=True), ADMIN)
        assert actions(pruned) == [
            "unchanged network shop_front",
            "update service shop_web",
            "remove service shop_db",
        ]
        removed = await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert (len(removed.services), len(removed.networks)) == (1, 1)
        assert not api.store.tables.networks
        assert not api.store.tables.rows(kinds.NAME)
        with pytest.raises(NotFound):
            await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)

    with_api(scenario)


def with_port(name: str, published: int, address: str = "") -> ServiceSpec:
    spec = spec_of(name, replicas=1)
    spec.endpoint.ports.add(target=80, published=published)
    if address:
        spec.task.networks.add(network="office", address=address)
    return spec


def with_office(*services: ServiceSpec, prune: bool = False) -> DeployStackRequest:
    office = NetworkSpec(name="office", subnet="10.5.0.0/24")
    return stack_request("shop", services=services, networks=[office], prune=prune)


def test_what_one_service_of_a_stack_gives_up_another_takes_in_the_same_call() -> None:
    async def scenario(api: Api) -> None:
        await api.stacks.deploy(
            with_office(with_port("web", 8080, "10.5.0.7"), with_port("db", 8081, "10.5.0.8")), ADMIN
        )
        swapped = await api.stacks.deploy(
            with_office(with_port("web", 8081, "10.5.0.8"), with_port("db", 8080, "10.5.0.7")), ADMIN
        )
        assert actions(swapped)[1:] == ["update service shop_web", "update service shop_db"]
        renamed = with_port("www", 8081, "10.5.0.8"), with_port("db", 8080, "10.5.0.7")
        with pytest.raises(InvalidInput) as refused:
            await api.stacks.deploy(with_office(*renamed), ADMIN)
        assert [(fault.path, fault.message) for fault in refused.value.faults] == [
            ("services.shop_www.task.networks[0].address", '10.5.0.8 is already requested by service "shop_web"'),
            (
                "services.shop_www.endpoint.ports[0].published",
                '8081/tcp is already published by service "shop_web" on every node; choose another port',
            ),
        ]
        pruned = await api.stacks.deploy(with_office(*renamed, prune=True), ADMIN)
        assert actions(pruned)[1:] == [
            "create service shop_www",
            "unchanged service shop_db",
            "remove service shop_web",
        ]

    with_api(scenario)


def test_two_services_of_a_stack_have_no_port_and_no_address_in_common() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(InvalidInput) as refused:
            await api.stacks.deploy(
                with_office(with_port("web", 8080, "10.5.0.7"), with_port("db", 8080, "10.5.0.7")), ADMIN
            )
        assert {(fault.path, fault.message.split(" on every")[0]) for fault in refused.value.faults} == {
            ("services.shop_web.task.networks[0].address", '10.5.0.7 is already requested by service "shop_db"'),
            ("services.shop_web.endpoint.ports[0].published", '8080/tcp is already published by service "shop_db"'),
            ("services.shop_db.task.networks[0].address", '10.5.0.7 is already requested by service "shop_web"'),
            ("services.shop_db.endpoint.ports[0].published", '8080/tcp is already published by service "shop_web"'),
        }
        assert not api.store.tables.services

    with_api(scenario)


def test_affinities_name_services_of_the_stack_or_of_the_cluster() -> None:
    async def scenario(api: Api) -> None:
        def web() -> ServiceSpec:
            spec = spec_of("web")
            for name in ("db", "web", "cache"):
                spec.task.placement.affinities.add(service=name, anti=name == "web")
            return spec

        await api.add_node("node1", "h1")
        made = await api.stacks.deploy(shop(web(), spec_of("shop_db")), ADMIN)
        stored = api.store.tables.service_named("shop_web")
        assert stored is not None
        named = [affinity.service for affinity in stored.spec.task.placement.affinities]
        assert named == ["shop_db", "shop_web", "cache"]
        reported = [warning for warning in made.warnings if "affinity" in warning]
        assert reported == ['services.shop_web: affinity: service "cache" not found']
        again = await api.stacks.deploy(shop(web(), spec_of("db")), ADMIN)
        assert {change.action for change in again.changes} == {"unchanged"}

    with_api(scenario)


def test_a_service_on_each_node_has_no_affinity_to_itself() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of("web")
        getattr(spec, "global").SetInParent()
        spec.task.placement.affinities.add(service="web", anti=True)
        with pytest.raises(InvalidInput) as refused:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert [fault.path for fault in refused.value.faults] == ["task.placement.affinities[0].service"]
        spec.replicated.replicas = 2
        made = await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert not [warning for warning in made.warnings if "affinity" in warning]

    with_api(scenario)


def test_one_transaction_makes_all() -> None:
    async def scenario(api: Api) -> None:
        await api.stacks.deploy(shop(*(spec_of(f"s{number}") for number in range(50))), ADMIN)
        versions = {service.meta.version for service in api.store.tables.services.values()}
        assert len(versions) == 1

    with_api(scenario)


def test_a_dry_run_writes_nothing() -> None:
    async def scenario(api: Api) -> None:
        before = api.store.tables.revision
        answer = await api.stacks.deploy(shop(spec_of("web"), dry_run=True), ADMIN)
        assert [change.action for change in answer.changes] == ["create", "create"]
        assert api.store.tables.revision == before

    with_api(scenario)


def test_all_faults_of_all_services_and_nothing_half_made() -> None:
    async def scenario(api: Api) -> None:
        api.images.missing.add("registry:5000/none:1")
        bad = spec_of("bad")
        bad.task.container.env.append("x")
        request = shop(spec_of("web"), bad, spec_of("gone", image="registry:5000/none:1"))
        request.networks.add(name="shop_wide", stack="shop", subnet="10.0.0.0/8")
        with pytest.raises(InvalidInput) as caught:
            await api.stacks.deploy(request, ADMIN)
        assert [fault.path for fault in caught.value.faults] == [
            "networks.shop_wide.subnet",
            "services.shop_bad.task.container.env[0]",
            "services.shop_gone.task.container.image",
        ]
        assert not api.store.tables.services
        assert not api.store.tables.networks

    with_api(scenario)


def test_a_name_twice_or_of_another_owner() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(InvalidInput, match="is listed twice"):
            await api.stacks.deploy(shop(spec_of("web"), spec_of("shop_web")), ADMIN)
        with pytest.raises(InvalidInput, match="stack"):
            await api.stacks.deploy(stack_request("my.shop", services=[spec_of("web")]), ADMIN)
        for name, stack in (("shop_db", "other"), ("db", "")):
            request = shop(spec_of("web"))
            request.services.append(spec_of(name))
            request.services[1].stack = stack
            with pytest.raises(InvalidInput, match=f'services.{name}.stack: must be "shop"'):
                await api.stacks.deploy(request, ADMIN)
        request = shop(spec_of("web"))
        request.services[0].name = "web"
        with pytest.raises(InvalidInput, match=r'services\.web\.name: "web" must begin with "shop_"'):
            await api.stacks.deploy(request, ADMIN)
        with pytest.raises(InvalidInput, match="the stack is empty"):
            await api.stacks.deploy(stack_request("shop"), ADMIN)

    with_api(scenario)


def test_tasks_by_stack() -> None:
    async def scenario(api: Api) -> None:
        made = await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        await api.put_task("t1", made.changes[1].id)
        views = (await api.tasks.list(ListTasksRequest(stack="shop"), ADMIN)).tasks
        assert [(view.service_name, view.image) for view in views] == [("shop_web", "registry:5000/hello:1")]
        assert not (await api.tasks.list(ListTasksRequest(stack="other"), ADMIN)).tasks

    with_api(scenario)


def test_steps_are_packed_in_order_within_bounds() -> None:
    record = kinds.NAME.message()
    steps = [
        WriteGroup([put(kinds.NAME, f"{number}/{part}", record) for part in range(3)], []) for number in range(1000)
    ]
    packs = list(batched(steps, 1000))
    assert [write.identifier for pack in packs for write in pack.writes] == [
        write.identifier for step in steps for write in step.writes
    ]
    assert max(len(pack.writes) for pack in packs) <= 1000
    assert len(packs) == 4


def test_which_tags_of_a_stack_are_looked_up() -> None:
    async def scenario(api: Api) -> None:
        def request(lookup: DeployStackRequest.ResolveImage.ValueType, *images: str) -> DeployStackRequest:
            specs = [spec_of(f"s{number}", image=image) for number, image in enumerate(images)]
            return stack_request("shop", services=specs, resolve_image=lookup)

        async def images_after(made: DeployStackRequest) -> list[str]:
            api.images.asked.clear()
            await api.stacks.deploy(made, ADMIN)
            services = sorted(api.store.tables.services.values(), key=lambda service: service.spec.name)
            return [service.spec.task.container.image.replace("a" * 64, "…") for service in services]

        one, two = "registry:5000/one:1", "registry:5000/two:1"
        assert await images_after(request(DeployStackRequest.NEVER, one)) == [one]
        assert api.images.asked == []
        assert await images_after(request(DeployStackRequest.ALWAYS, one)) == [f"{one}@sha256:…"]
        assert api.images.asked == [one]
        pinned = [f"{one}@sha256:…", f"{two}@sha256:…"]
        assert await images_after(request(DeployStackRequest.CHANGED, one, two)) == pinned
        assert api.images.asked == [two]
        assert await images_after(request(DeployStackRequest.NEVER, one, two)) == pinned
        api.images.failure = Unavailable("registry:5000 does not answer")
        assert await images_after(request(DeployStackRequest.ALWAYS, one, two)) == pinned
        with pytest.raises(InvalidInput, match="never for a stack"):
            await api.stacks.deploy(request(DeployStackRequest.ALWAYS, one, two, "registry:5000/three:1"), ADMIN)
        assert len(api.store.tables.services) == 2

    with_api(scenario)


def test_first_deployments_of_a_stack_at_once_both_succeed() -> None:
    """By one manager and by two: the later one finds what the earlier one has made, and changes nothing."""

    def request() -> DeployStackRequest:
        service = spec_of()
        service.endpoint.ports.add(target=80)
        return shop(service, spec_of("db"))

    async def scenario() -> None:
        async with two_managers() as (one, other):
            answers = await asyncio.gather(
                *(api.stacks.deploy(request(), ADMIN) for api in (one, other, one, other)),
                one.stacks.deploy(stack_request("other", services=[spec_of()]), ADMIN),
            )
            kinds_made = [action for answer in answers for action in actions(answer) if action.startswith("create")]
            assert sorted(kinds_made) == [
                "create network shop_front",
                "create service other_web",
                "create service shop_db",
                "create service shop_web",
            ]
            await other.store.reached(one.store.tables.revision)
            assert len(other.store.tables.services) == 3

    asyncio.run(scenario())

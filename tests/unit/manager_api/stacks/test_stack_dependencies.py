"""Stacks whose services wait for each other: what is refused, what a deployment replaces, what a dry run shows."""

import pytest

from shoal.api.v1.control_pb2 import CreateServiceRequest, DeployStackRequest, DeployStackResponse
from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceSpec
from shoal.errors import InvalidInput
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request


def waiting(spec: ServiceSpec, *names: str, restart: bool = False) -> ServiceSpec:
    for name in names:
        spec.depends_on.add(service=name, condition=Dependency.STARTED, restart=restart)
    return spec


def request_of(*specs: ServiceSpec, dry_run: bool = False) -> DeployStackRequest:
    return stack_request("shop", services=specs, dry_run=dry_run)


async def deploy(api: Api, *specs: ServiceSpec, dry_run: bool = False) -> dict[str, DeployStackResponse.Change]:
    response = await api.stacks.deploy(request_of(*specs, dry_run=dry_run), ADMIN)
    return {change.name: change for change in response.changes}


def test_a_circle_is_named_and_an_unknown_service_too() -> None:
    async def scenario(api: Api) -> None:
        circle = [
            waiting(spec_of("a"), "b"),
            waiting(spec_of("b"), "c"),
            waiting(spec_of("c"), "a", "nobody"),
        ]
        with pytest.raises(InvalidInput) as caught:
            await deploy(api, *circle)
        reported = [str(fault) for fault in caught.value.faults]
        assert "services.shop_a.depends_on: dependency cycle: shop_a → shop_b → shop_c → shop_a" in reported
        assert 'services.shop_c.depends_on[1].service: service "shop_nobody" not found' in reported

    with_api(scenario)


def test_what_never_ends_cannot_complete() -> None:
    async def scenario(api: Api) -> None:
        web = spec_of("web")
        web.depends_on.add(service="migrate", condition=Dependency.COMPLETED)
        with pytest.raises(InvalidInput, match="never completes"):
            await deploy(api, spec_of("migrate"), web)
        migrate = spec_of("migrate")
        migrate.task.restart.condition = RestartPolicy.NONE
        await deploy(api, migrate, web)

    with_api(scenario)


def test_a_dependency_that_may_never_be_healthy_is_warned_of() -> None:
    async def scenario(api: Api) -> None:
        web = spec_of("web")
        web.depends_on.add(service="db", condition=Dependency.HEALTHY)
        response = await api.stacks.deploy(request_of(spec_of("db"), web), ADMIN)
        assert list(response.warnings) == [
            "shop_web waits until shop_db is healthy, but shop_db has no health check: "
            "unless its image defines one, shop_web never starts"
        ]

    with_api(scenario)


def test_services_that_follow_are_replaced_once_and_force_stays() -> None:
    async def scenario(api: Api) -> None:
        specs = [
            spec_of("db"),
            waiting(spec_of("web"), "db", restart=True),
            waiting(spec_of("out"), "web", restart=True),
        ]
        await deploy(api, *specs)
        changed = [spec_of("db", image="registry:5000/hello:2"), *specs[1:]]
        changes = await deploy(api, *changed)
        assert {name: change.action for name, change in changes.items()} == {
            "shop_db": "update",
            "shop_web": "update",
            "shop_out": "update",
        }
        assert [field.path for field in changes["shop_web"].fields] == ["task.force_update"]
        (image,) = changes["shop_db"].fields
        assert image.path == "task.container.image"
        assert "hello:1" in image.before
        assert "hello:2" in image.after
        again = await deploy(api, *changed)
        assert {change.action for change in again.values()} == {"unchanged"}

    with_api(scenario)


def test_a_rehearsal_places_tasks_and_changes_nothing() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2")
        lonely = spec_of("lonely", replicas=1)
        lonely.task.placement.constraints.append("node.hostname == h9")
        changes = await deploy(api, waiting(spec_of("web"), "db"), spec_of("db", replicas=1), lonely, dry_run=True)
        assert sorted(move.to_hostname for move in changes["shop_web"].moves) == ["h1", "h2"]
        assert [move.name for move in changes["shop_db"].moves] == ["shop_db.1"]
        assert "h9" in changes["shop_lonely"].moves[0].pending_reason
        assert not api.store.tables.services
        assert not api.store.tables.tasks

    with_api(scenario)


def test_a_rehearsed_update_goes_to_its_end() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await deploy(api, spec_of("web", replicas=3))
        service = api.store.tables.service_named("shop_web")
        assert service is not None
        for number in range(1, 4):
            await api.put_task(f"t{number}", service.meta.id)
        changes = await deploy(api, spec_of("web", replicas=1, image="registry:5000/hello:2"), dry_run=True)
        moves = {move.name: (move.from_hostname, move.to_hostname) for move in changes["shop_web"].moves}
        assert moves["shop_web.1"] == ("h1", "h1")

    with_api(scenario)


def test_a_rehearsal_of_ports_of_every_node_needs_no_network_to_be_made() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of("web", replicas=1)
        spec.endpoint.ports.add(target=80, published=8080)
        changes = await deploy(api, spec, dry_run=True)
        assert [(move.to_hostname, move.pending_reason) for move in changes["shop_web"].moves] == [("h1", "")]
        assert not api.store.tables.networks

    with_api(scenario)


def test_schedules_do_not_keep_a_rehearsal_from_its_end() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        every_minute = ServiceSpec(name="tick")
        every_minute.task.container.image = "registry:5000/hello:1"
        every_minute.replicated_job.total_completions = 1
        every_minute.schedule.cron = "* * * * *"
        await api.services.create(CreateServiceRequest(spec=every_minute), ADMIN)
        answer = await api.stacks.deploy(request_of(spec_of("web", replicas=1), every_minute, dry_run=True), ADMIN)
        assert not answer.warnings
        assert {change.name: len(change.moves) for change in answer.changes} == {"shop_web": 1, "shop_tick": 0}

    with_api(scenario)


def test_warnings_name_the_service() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of("web")
        spec.task.placement.constraints.append("node.hostname == h9")
        answer = await api.stacks.deploy(request_of(spec), ADMIN)
        assert [warning.partition(": ")[0] for warning in answer.warnings] == ["services.shop_web"]

    with_api(scenario)


def test_a_rehearsed_removal_names_what_goes() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await deploy(api, spec_of("web"), spec_of("old", replicas=1))
        service = api.store.tables.service_named("shop_old")
        assert service is not None
        await api.put_task("t1", service.meta.id)
        request = request_of(spec_of("web"), dry_run=True)
        request.prune = True
        (gone,) = [each for each in (await api.stacks.deploy(request, ADMIN)).changes if each.action == "remove"]
        assert [(move.name, move.from_hostname, move.to_hostname) for move in gone.moves] == [("shop_old.1", "h1", "")]

    with_api(scenario)

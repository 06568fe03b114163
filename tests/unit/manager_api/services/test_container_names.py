"""Names of single containers: unique, for services of one task, and taken by commands."""

import pytest

from manager.dispatcher.assignments.task_entries import endpoint_of
from manager.logs.log_sources import LogTarget, find_target, require_log
from manager.tasks.exec_target import find_running
from shoal.api.v1.control_pb2 import CreateServiceRequest, ScaleServicesRequest, UpdateServiceRequest
from shoal.api.v1.service_pb2 import NetworkAttachment, Service, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput, NotFound, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


def named(service: str, container: str, *, replicas: int = 1) -> ServiceSpec:
    spec = spec_of(service, replicas=replicas)
    spec.task.container.name = container
    return spec


async def create(api: Api, spec: ServiceSpec) -> Service:
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service


def test_commands_take_the_name() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        service = (await create(api, named("shop-db", "main_db"))).meta.id
        await api.put_task("9old", service, slot=1, node="node1", state=TaskState.FAILED)
        await api.put_task("t1", service, slot=1, node="node1")
        view = api.store.tables
        assert find_running(view, "main_db").id == "t1"
        assert find_target(view, "main_db") == LogTarget(service_id=service)
        with pytest.raises(NotFound):
            find_running(view, "other_db")

    with_api(scenario)


def test_it_is_for_one_task_alone() -> None:
    async def scenario(api: Api) -> None:
        for spec in (named("a", "x", replicas=2), named("b", "no name"), named("c", "y")):
            if spec.name == "c":
                getattr(spec, "global").SetInParent()
            with pytest.raises(InvalidInput) as caught:
                await create(api, spec)
            assert [fault.path for fault in caught.value.faults] == ["task.container.name"]
        service = await create(api, named("web", "only"))
        two = ScaleServicesRequest.Target(service="web", replicas=2)
        with pytest.raises(InvalidInput, match='"only" names a single container, but the service has 2'):
            await api.services.scale(ScaleServicesRequest(targets=[two]), ADMIN)
        service.spec.replicated.replicas = 3
        request = UpdateServiceRequest(service="web", version=service.meta.version, spec=service.spec)
        with pytest.raises(InvalidInput, match="the service has 3"):
            await api.services.update(request, ADMIN)

    with_api(scenario)


def test_it_is_unique_among_containers_and_services() -> None:
    async def scenario(api: Api) -> None:
        await create(api, named("one", "db"))
        await create(api, spec_of("cache"))
        for spec, reported in (
            (named("two", "DB"), 'already the container name of service "one"'),
            (named("two", "cache"), "is already the name of a service"),
            (spec_of("db"), 'is already the container name of service "one"'),
        ):
            with pytest.raises(InvalidInput, match=reported):
                await create(api, spec)
        await create(api, named("own", "own"))

    with_api(scenario)


def test_it_is_an_alias_on_every_network() -> None:
    spec = named("shop_db", "main_db")
    spec.task.networks.append(NetworkAttachment(network="n1", aliases=["db"]))
    spec.task.networks.append(NetworkAttachment(network="n2"))

    async def scenario(api: Api) -> None:
        await api.put_task("t1", "s1", slot=1, node="node1")
        endpoint = endpoint_of(api.store.tables.tasks["t1"], None, ServiceRevision(spec=spec))
        assert {network: list(names.names) for network, names in endpoint.aliases.items()} == {
            "n1": ["db", "main_db"],
            "n2": ["main_db"],
        }

    with_api(scenario)


def test_a_log_that_is_not_kept_is_refused_with_what_to_do() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of("quiet")
        spec.task.log.disabled = True
        service = (await create(api, spec)).meta.id
        await api.put_task("t1", service, slot=1, node="node1")
        for target in (LogTarget(service_id=service), LogTarget(task_id="t1")):
            with pytest.raises(Refused, match="its log driver is none"):
                require_log(api.store.tables, target)
        spec = spec_of("both")
        spec.task.log.disabled, spec.task.log.max_files = True, 3
        with pytest.raises(InvalidInput, match="not supported with log driver none"):
            await create(api, spec)

    with_api(scenario)


def test_bad_hooks_and_hosts_are_told_with_their_places() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of("web")
        container = spec.task.container
        container.extra_hosts.extend(["node:host-gateway", "node:host-gate"])
        container.post_start.add(command=["seed"], user="a:b:c", env=["=x"], working_dir="here")
        container.pre_stop.add()
        with pytest.raises(InvalidInput) as caught:
            await create(api, spec)
        assert [fault.path.removeprefix("task.container.") for fault in caught.value.faults] == [
            "post_start[0].env[0]",
            "post_start[0].user",
            "post_start[0].working_dir",
            "pre_stop[0].command",
            "extra_hosts[1]",
        ]

    with_api(scenario)

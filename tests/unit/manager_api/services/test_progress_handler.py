"""Waiting for services to converge."""

import asyncio

import pytest

from cli.render.progress_display import counts
from manager.services.task_counts import progress
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    RemoveServiceRequest,
    ServicesProgress,
    UpdateServiceRequest,
    WatchServicesRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec, ServiceStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput, NotFound
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

S = TaskState


async def watched(api: Api, *services: str, until_removed: bool = False) -> list[ServicesProgress]:
    request = WatchServicesRequest(services=services, until_removed=until_removed)
    return [update async for update in api.progress.watch(request, ADMIN)]


async def service(api: Api, *, replicas: int = 2, everywhere: bool = False) -> str:
    spec = spec_of(replicas=replicas)
    if everywhere:
        getattr(spec, "global").SetInParent()
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id


def test_progress_at_once_and_the_end_as_soon_as_it_is_there() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api)
        watching = asyncio.create_task(watched(api, "web"))
        await api.put_task("t1", identifier, state=S.STARTING)
        await api.put_task("t2", identifier)
        await api.put_task("t1", identifier)
        async with asyncio.timeout(60):
            updates = await watching
        assert not updates[0].done
        assert updates[0].services[0].desired == 2
        assert updates[-1].done
        assert updates[-1].services[0].running == 2
        assert [update.done for update in updates].count(True) == 1

    with_api(scenario)


def test_an_update_that_the_planner_has_not_begun_counts_what_is_updated() -> None:
    """Six of six run, and none is "0/6 running"."""

    async def scenario(api: Api) -> None:
        identifier = await service(api)
        for task in ("t1", "t2"):
            await api.put_task(task, identifier)
        view = api.store.tables
        assert counts(progress(view, view.services[identifier])) == "2/2 running"
        changed = ServiceSpec()
        changed.CopyFrom(view.services[identifier].spec)
        changed.task.container.image = "registry:5000/hello:2"
        version = view.services[identifier].meta.version
        await api.services.update(UpdateServiceRequest(service="web", version=version, spec=changed), ADMIN)
        assert counts(progress(view, view.services[identifier])) == "0/2 updated"

    with_api(scenario)


def test_nothing_to_do_is_one_update() -> None:
    async def scenario(api: Api) -> None:
        await service(api, replicas=0)
        assert [update.done for update in await watched(api, "web")] == [True]

    with_api(scenario)


def test_what_is_not_yet_converged() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2", NodeStatus.DOWN)
        identifier = await service(api, replicas=1)
        tables = api.store.tables
        await api.put_task("t1", identifier)
        assert progress(tables, tables.services[identifier]).converged
        await api.put_task("t2", identifier, desired=S.SHUTDOWN)
        stopping = progress(tables, tables.services[identifier])
        assert (stopping.converged, stopping.stopping) == (False, 1)
        await api.put_task("t2", identifier, desired=S.SHUTDOWN, node="node2")
        assert progress(tables, tables.services[identifier]).converged
        await api.put_task("t2", identifier, desired=S.SHUTDOWN, state=S.SHUTDOWN)
        await api.put_task("t3", identifier)
        assert not progress(tables, tables.services[identifier]).converged

    with_api(scenario)


def test_ports_of_every_node_are_waited_for() -> None:
    """Those of a service whose tasks stay are all that a change of them has to do."""

    async def scenario(api: Api) -> None:
        spec = spec_of(replicas=1)
        spec.endpoint.ports.add(target=80, published=8080)
        spec.endpoint.ports.add(target=81)
        service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        await api.put_task("t1", service.meta.id)

        async def converged(*published: int) -> bool:
            ports = [PublishedPort(target=80 + index, published=each) for index, each in enumerate(published)]
            status = ServiceStatus(service_id=service.meta.id, mesh_ports=ports)
            await api.store.commit([put(kinds.SERVICE_STATUS, service.meta.id, status)])
            return progress(api.store.tables, service).converged

        assert not progress(api.store.tables, service).converged
        assert not await converged(8080)
        assert not await converged(8085, 30_000)
        assert await converged(8080, 30_000)
        assert not await converged(8080, 30_000, 8082)

    with_api(scenario)


def test_tasks_of_an_older_template_do_not_count() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api, replicas=1)
        await api.put_task("t1", identifier)
        tables = api.store.tables
        newer = type(tables.services[identifier])()
        newer.CopyFrom(tables.services[identifier])
        newer.revision = newer.task_revision = 2
        reported = progress(tables, newer)
        assert (reported.running, reported.converged) == (0, False)

    with_api(scenario)


def test_problems_name_failures_once() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api, replicas=1)
        for number in range(4):
            await api.put_task(f"t{number}", identifier, state=S.REJECTED, message="no such image")
        reported = progress(api.store.tables, api.store.tables.services[identifier])
        assert list(reported.problems) == ["no such image"]

    with_api(scenario)


def test_a_global_service_wants_one_task_on_each_ready_node() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api, everywhere=True)
        tables = api.store.tables
        assert progress(tables, tables.services[identifier]).desired == 0
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2", NodeStatus.DOWN)
        reported = progress(tables, tables.services[identifier])
        assert (reported.desired, reported.converged) == (1, False)

    with_api(scenario)


def test_waiting_for_a_removal() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api)
        await api.put_task("t1", identifier)
        await api.services.remove(RemoveServiceRequest(service="web"), ADMIN)
        watching = asyncio.create_task(watched(api, identifier, until_removed=True))
        await asyncio.sleep(0)
        await api.put_task("t1", identifier, desired=S.REMOVE, state=S.SHUTDOWN)
        async with asyncio.timeout(60):
            updates = await watching
        assert updates[0].services[0].stopping == 1
        assert updates[-1].done

    with_api(scenario)


def test_what_cannot_be_watched() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(NotFound):
            await watched(api, "nobody")
        with pytest.raises(NotFound):
            await watched(api, "nobody", until_removed=True)
        with pytest.raises(InvalidInput):
            await watched(api)

    with_api(scenario)

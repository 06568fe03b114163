"""Containers are found by name and ID, and listed and filtered with the tasks of services."""

import asyncio

import pytest

from manager.containers import container_records
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.engine_pb2 import (
    Filter,
    GetContainerRequest,
    ListContainersRequest,
)
from shoal.api.v1.service_pb2 import PublishedPort, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.container_ids import container_id, short_container_id
from shoal.errors import InvalidInput, NotFound
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN

PORTS = [PublishedPort(target=80, published=8080)]


def test_it_is_found_by_every_form_of_its_id() -> None:
    async def scenario(rig: ContainerRig) -> None:
        identifier = (await rig.create("db")).container.meta.id
        for reference in (identifier, identifier[:8], container_id(identifier), short_container_id(identifier), "/db"):
            found = await rig.records.get(GetContainerRequest(container=reference), ADMIN)
            assert found.container.name == "db"
        with pytest.raises(NotFound):
            await rig.records.get(GetContainerRequest(container="web"), ADMIN)

    with_rig(scenario)


def test_tasks_of_services_are_listed_and_filtered_too() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await _list_tasks(ContainerRig(store))

    asyncio.run(scenario())


async def _list_tasks(rig: ContainerRig) -> None:
    """No planner is at work here."""
    spec = ServiceSpec(name="web", labels={"tier": "front"})
    spec.task.container.image = "docker.io/library/a:1"
    task = Task(id="0" * 13, service_id="s", revision=1, slot=2, node_id="h1", state=TaskState.ASSIGNED)
    container = container_records.new_container("1" * 13, "db", definition(), 5)
    writes = [
        *container_records.creation(rig.store.tables, container).writes,
        put(kinds.REVISION, "s/1", ServiceRevision(service_id="s", number=1, spec=spec)),
        put(kinds.TASK, task.id, task),
        put(kinds.TASK_STATUS, task.id, TaskStatus(task_id=task.id, state=TaskState.RUNNING, at_ms=1)),
    ]
    await rig.store.commit(writes)

    async def listed(*filters: tuple[str, str]) -> list[str]:
        chosen = [Filter(key=key, value=value) for key, value in filters]
        request = ListContainersRequest(include_tasks=True, all=True, filters=chosen)
        response = await rig.records.list(request, ADMIN)
        return sorted(each.container.name for each in response.containers)

    name = f"web.2.{task.id}"
    assert await listed() == ["db", name]
    assert await listed(("is-task", "true")) == [name]
    for given in (("name", "web.2"), ("label", "tier=front"), ("ancestor", "a:1"), ("id", container_id(task.id))):
        assert await listed(given) == [name], given
    assert await rig.names(all=True) == ["db"]


def test_filters() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db", labels={"tier": "data"}, ports=PORTS)
        rig.exit_codes["job"] = 2
        await rig.run("job")
        await rig.until(lambda: any(each.state == TaskState.FAILED for each in rig.store.tables.task_status.values()))
        await rig.create("web")
        for filters, names in (
            ([("status", "created")], ["web"]),
            ([("status", "exited"), ("status", "running")], ["db", "job"]),
            ([("label", "tier=data")], ["db"]),
            ([("name", "b")], ["db", "job", "web"]),
            ([("exited", "2")], ["job"]),
            ([("publish", "8080/tcp")], ["db"]),
            ([("since", "db")], ["job", "web"]),
            ([("before", "job")], ["db"]),
            ([("ancestor", "registry:5000/hello:1")], ["db", "job", "web"]),
        ):
            chosen = [Filter(key=key, value=value) for key, value in filters]
            assert sorted(await rig.names(all=True, filters=chosen)) == names, filters
        assert await rig.names(limit=1) == ["web"]
        with pytest.raises(InvalidInput, match="unknown key"):
            await rig.names(filters=[Filter(key="colour", value="red")])

    with_rig(scenario)

"""Containers are created once, on a node that fits, or refused with all that is wrong."""

import asyncio

import pytest

from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
)
from shoal.api.v1.service_pb2 import PublishedPort, TaskTemplate
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, InvalidInput, Refused
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN


def test_it_is_created_on_a_node_and_then_runs() -> None:
    async def scenario(rig: ContainerRig) -> None:
        created = await rig.create("db")
        assert created.node_hostname in ("h1", "h2")
        assert created.container.definition.task.container.image.startswith("registry:5000/hello:1@sha256:")
        running = await rig.start("db")
        assert running.task_status.state == TaskState.RUNNING
        assert (running.node_id, running.task.id) == (created.node_id, created.task.id)
        again = await rig.start("db")
        assert again.container.run == 1
        assert await rig.names() == ["db"]

    with_rig(scenario)


def test_a_hundred_creations_of_one_name_make_one() -> None:
    async def scenario(rig: ContainerRig) -> None:
        outcomes = await asyncio.gather(*(rig.create("db") for _ in range(100)), return_exceptions=True)
        made = [each for each in outcomes if isinstance(each, ContainerView)]
        assert len(made) == 1
        assert all(isinstance(each, AlreadyExists) for each in outcomes if each is not made[0])
        assert len(rig.store.tables.containers) == 1
        assert len(rig.store.tables.revisions) == 1

    with_rig(scenario)


def test_a_name_is_chosen_where_none_is_given() -> None:
    async def scenario(rig: ContainerRig) -> None:
        names = {(await rig.create()).container.name for _ in range(10)}
        assert len(names) == 10
        assert all("_" in name for name in names)

    with_rig(scenario)


def test_what_fits_nowhere_is_refused_with_all_reasons_and_leaves_nothing() -> None:
    async def scenario(rig: ContainerRig) -> None:
        mount = Mount(type=Mount.VOLUME, target="/data")
        with pytest.raises(Refused, match="no suitable node: 2 of 2 do not meet constraint"):
            await rig.records.create(_constrained(mount), ADMIN)
        tables = rig.store.tables
        assert not tables.containers
        assert not tables.volumes
        assert not tables.names

    with_rig(scenario)


def test_volumes_on_two_nodes_are_refused_with_both() -> None:
    def with_volumes(*names: str) -> TaskTemplate:
        mounts = [Mount(type=Mount.VOLUME, source=name, target=f"/{name}") for name in names]
        return TaskTemplate(container=ContainerSpec(mounts=mounts))

    async def scenario(rig: ContainerRig) -> None:
        await rig.create("first", "h1", task=with_volumes("data"))
        await rig.create("second", "h2", task=with_volumes("more"))
        with pytest.raises(Refused, match="no suitable node: volume data is on node h1; volume more is on node h2"):
            await rig.create("both", task=with_volumes("data", "more"))
        assert set(await rig.names(all=True)) == {"first", "second"}

    with_rig(scenario)


def test_a_dry_run_tells_faults_and_makes_nothing() -> None:
    async def scenario(rig: ContainerRig) -> None:
        made = await rig.records.create(CreateContainerRequest(definition=definition(), dry_run=True), ADMIN)
        assert not made.HasField("container")
        with pytest.raises(InvalidInput, match="node"):
            await rig.records.create(CreateContainerRequest(definition=definition(), node="h9", dry_run=True), ADMIN)
        assert not rig.store.tables.containers

    with_rig(scenario)


def test_a_creation_whose_caller_leaves_is_undone() -> None:
    async def no_leader() -> None:
        async with asyncio.timeout(60), loaded_store(MemoryEtcd()) as store:
            rig = ContainerRig(store)
            mount = Mount(type=Mount.VOLUME, target="/data")
            call = asyncio.create_task(rig.records.create(_constrained(mount), ADMIN))
            await rig.until(lambda: bool(store.tables.containers))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert not store.tables.containers
            assert not store.tables.volumes
            assert not store.tables.names

    asyncio.run(no_leader())


def _constrained(mount: Mount) -> CreateContainerRequest:
    made = definition()
    made.task.placement.constraints.append("node.labels.a == b")
    made.task.container.mounts.append(mount)
    made.task.container.mounts.add(type=Mount.VOLUME, source="named", target="/other")
    return CreateContainerRequest(name="db", definition=made)


def test_all_faults_of_a_definition_are_told_at_once() -> None:
    async def scenario(rig: ContainerRig) -> None:
        with pytest.raises(InvalidInput) as caught:
            await rig.create(
                "-db",
                node="h9",
                auto_remove=True,
                restart=ContainerRestart(condition=ContainerRestart.ALWAYS, max_attempts=3),
                ports=[PublishedPort(target=0)],
                beside=["none"],
            )
        paths = {fault.path for fault in caught.value.faults}
        assert {"name", "node", "auto_remove", "restart.max_attempts", "ports[0].target", "beside[0]"} <= paths

    with_rig(scenario)

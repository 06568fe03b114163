"""The containers' calls: started and stopped, waited for, renamed, changed, removed with all that was theirs."""

import asyncio
from collections.abc import Awaitable

import pytest

from manager.containers.container_volumes import ANONYMOUS_LABEL
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    Filter,
    ListContainersRequest,
    ListContainersResponse,
    PruneContainersRequest,
    RenameContainerRequest,
    StopContainerRequest,
    UpdateContainerRequest,
    WaitContainerRequest,
    WaitContainerResponse,
)
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart, ContainerStop
from shoal.api.v1.task_pb2 import TaskState
from shoal.container_ids import container_id
from shoal.errors import AlreadyExists, InvalidInput, Refused, Unavailable
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN

PORTS = [PublishedPort(target=80, published=8080)]


def test_a_grace_that_does_not_end_is_for_containers() -> None:
    async def scenario(rig: ContainerRig) -> None:
        made = definition()
        made.task.container.stop_grace_ms = -1
        view = await rig.records.create(CreateContainerRequest(definition=made), ADMIN)
        assert view.container.definition.task.container.stop_grace_ms == -1
        made.task.container.stop_grace_ms = -2
        with pytest.raises(InvalidInput, match="stop_grace_ms"):
            await rig.records.create(CreateContainerRequest(definition=made), ADMIN)

    with_rig(scenario)


def test_a_start_that_is_refused_is_taken_back() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("one", ports=PORTS)
        await rig.create("two", ports=PORTS)
        with pytest.raises(Refused, match="port 8080/tcp is already published by container one"):
            await rig.start("two")
        assert rig.store.tables.container_named("two").desired == Container.CREATED  # type: ignore[union-attr]
        await rig.stop("one")
        started = await rig.start("two")
        assert started.task_status.state == TaskState.RUNNING

    with_rig(scenario)


def test_a_program_that_is_not_there() -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.rejects |= {"db", "once"}
        await rig.create("db")
        with pytest.raises(Refused, match='container "db" cannot start: executable file not found'):
            await rig.start("db")
        await rig.create("once", auto_remove=True)
        with pytest.raises(Refused):
            await rig.start("once")
        await _gone(rig, "once")
        assert await rig.names(all=True) == ["db"]

    with_rig(scenario)


def test_a_short_run_is_answered_too_and_removed_with_its_volumes() -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.exit_codes["once"] = 3
        created = await _create_with_volume(rig, "once", auto_remove=True)
        (mount,) = created.container.definition.task.container.mounts
        volume = rig.store.tables.volumes[mount.source]
        assert volume.spec.name == container_id(volume.meta.id)
        assert ANONYMOUS_LABEL in volume.spec.labels
        waiting = asyncio.create_task(_wait(rig, "once", WaitContainerRequest.REMOVED))
        await asyncio.sleep(0)
        await rig.start("once")
        assert (await waiting).exit_code == 3
        assert not rig.store.tables.containers
        await rig.until(lambda: not rig.store.tables.volumes)
        assert not rig.store.tables.names

    with_rig(scenario)


async def _create_with_volume(rig: ContainerRig, name: str, **fields: object) -> ContainerView:
    made = definition(**fields)
    made.task.container.mounts.add(type=Mount.VOLUME, target="/data")
    return await rig.records.create(CreateContainerRequest(name=name, definition=made), ADMIN)


async def _gone(rig: ContainerRig, name: str) -> None:
    await rig.until(lambda: rig.store.tables.container_named(name) is None)


def test_stop_and_restart() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db", restart=ContainerRestart(condition=ContainerRestart.ALWAYS))
        request = StopContainerRequest(container="db", stop=ContainerStop(signal="SIGINT", grace_ms=5))
        restarted = await rig.runs.restart(request, ADMIN)
        assert restarted.container.run == 2
        assert restarted.task_status.state == TaskState.RUNNING
        stopped = await rig.stop("db")
        assert stopped.task_status.state == TaskState.SHUTDOWN
        assert stopped.container.held
        assert (await rig.stop("db")).container.run == 2
        assert await rig.names() == []
        with pytest.raises(InvalidInput, match="is not a signal"):
            bad = StopContainerRequest(container="db", stop=ContainerStop(signal="SIGNONE"))
            await rig.runs.stop(bad, ADMIN)

    with_rig(scenario)


def test_waits() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.create("db")
        assert (await _wait(rig, "db", WaitContainerRequest.NOT_RUNNING)).exit_code == 0
        next_exit = asyncio.create_task(_wait(rig, "db", WaitContainerRequest.NEXT_EXIT))
        await asyncio.sleep(0)
        await rig.start("db")
        assert not next_exit.done()
        ended = asyncio.create_task(_wait(rig, "db", WaitContainerRequest.NOT_RUNNING))
        await asyncio.sleep(0)
        await rig.stop("db")
        assert (await next_exit).exit_code == 143
        assert (await ended).exit_code == 143

    with_rig(scenario)


async def _wait(
    rig: ContainerRig, name: str, condition: WaitContainerRequest.Condition.ValueType
) -> WaitContainerResponse:
    responses = rig.waits.wait(WaitContainerRequest(container=name, condition=condition), ADMIN)
    found = [each async for each in responses]
    assert [each.waiting for each in found] == [True, False]
    return found[-1]


def test_names_are_changed_and_free_again() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.create("db")
        await rig.create("web")
        with pytest.raises(AlreadyExists, match='container "web" already exists'):
            await rig.records.rename(RenameContainerRequest(container="db", name="web"), ADMIN)
        renamed = await rig.records.rename(RenameContainerRequest(container="db", name="pg"), ADMIN)
        assert (renamed.container.name, renamed.container.revision) == ("pg", 2)
        await rig.create("db")
        both = (rig.records.rename(RenameContainerRequest(container=each, name="new"), ADMIN) for each in ("pg", "db"))
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert sum(isinstance(each, AlreadyExists) for each in outcomes) == 1

    with_rig(scenario)


def test_limits_change_what_runs() -> None:
    async def scenario(rig: ContainerRig) -> None:
        running = await rig.run("db")
        changed = await rig.records.update(
            UpdateContainerRequest(
                container="db",
                limits=Resources(memory_bytes=512 << 20),
                restart=ContainerRestart(condition=ContainerRestart.UNLESS_STOPPED),
            ),
            ADMIN,
        )
        assert changed.container.definition.task.limits.memory_bytes == 512 << 20
        await rig.until(lambda: rig.store.tables.tasks[running.task.id].revision == 2)
        with pytest.raises(InvalidInput, match="out of range"):
            await rig.records.update(UpdateContainerRequest(container="db", limits=Resources(memory_bytes=1)), ADMIN)

    with_rig(scenario)


def test_removal() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        with pytest.raises(Refused, match="is running; stop it first"):
            await rig.remove("db")
        await rig.remove("db", force=True)
        await rig.create("db")
        await rig.remove("db")
        await rig.run("db")
        await rig.stop("db")
        await rig.remove("db")
        await rig.until(lambda: not rig.store.tables.tasks and not rig.store.tables.revisions)
        assert not rig.store.tables.names
        assert not rig.store.tables.service_status

    with_rig(scenario)


def test_prune_leaves_what_runs() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        await rig.run("old", labels={"keep": "yes"})
        await rig.stop("old")
        await rig.run("older")
        await rig.stop("older")
        await rig.create("new")
        request = PruneContainersRequest(filters=[Filter(key="label!", value="keep")])
        done = await rig.removal.prune(request, ADMIN)
        assert (len(done.ids), done.reclaimed_bytes) == (2, 14)
        await _gone(rig, "new")
        assert sorted(await rig.names(all=True)) == ["db", "old"]
        with pytest.raises(InvalidInput, match="not supported"):
            await rig.removal.prune(PruneContainersRequest(filters=[Filter(key="size", value="1")]), ADMIN)

    with_rig(scenario)


def test_a_node_that_is_away() -> None:
    async def scenario(rig: ContainerRig) -> None:
        node = (await rig.run("db")).node_hostname
        await rig.lose(node)
        calls: list[Awaitable[object]] = [rig.stop("db"), rig.remove("db", force=True)]
        for call in calls:
            with pytest.raises(Unavailable, match=f"node {node}"):
                await call
        with pytest.raises(Refused, match="being removed"):
            await rig.start("db")
        (shown,) = (await _list(rig)).containers
        assert shown.node_down_since_ms
        await rig.add_node(node)
        await _gone(rig, "db")

    with_rig(scenario)


async def _list(rig: ContainerRig) -> ListContainersResponse:
    return await rig.records.list(ListContainersRequest(all=True), ADMIN)

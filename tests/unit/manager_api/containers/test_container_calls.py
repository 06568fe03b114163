"""The containers' calls: created once, started and stopped, renamed, changed, removed with all that was theirs."""

import asyncio
from collections.abc import Awaitable

import pytest

from manager.containers import container_records
from manager.containers.container_volumes import ANONYMOUS_LABEL
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    Filter,
    GetContainerRequest,
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
from shoal.api.v1.service_pb2 import PublishedPort, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart, ContainerStop
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.container_ids import container_id, short_container_id
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused, Unavailable
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN

PORTS = [PublishedPort(target=80, published=8080)]


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
        async with asyncio.timeout(30), loaded_store(MemoryEtcd()) as store:
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


def test_it_is_found_by_every_form_of_its_id() -> None:
    async def scenario(rig: ContainerRig) -> None:
        identifier = (await rig.create("db")).container.meta.id
        for reference in (identifier, identifier[:8], container_id(identifier), short_container_id(identifier), "/db"):
            found = await rig.records.get(GetContainerRequest(container=reference), ADMIN)
            assert found.container.name == "db"
        with pytest.raises(NotFound):
            await rig.records.get(GetContainerRequest(container="web"), ADMIN)

    with_rig(scenario)


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

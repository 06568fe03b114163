"""Create and start in one call: what the two calls answer, refuse and leave, with fewer records written."""

import asyncio

import pytest

from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.engine_pb2 import ContainerView, CreateContainerRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, ServiceRevision, TaskTemplate
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, InvalidInput, Refused
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN

PORTS = [PublishedPort(target=80, published=8080)]


def test_it_is_created_and_then_runs() -> None:
    async def scenario(rig: ContainerRig) -> None:
        created, running = [view async for view in rig.run_at_once("db", ports=PORTS)]
        assert created.node_hostname in ("h1", "h2")
        assert (created.container.run, created.container.desired) == (1, Container.RUNNING)
        assert running.task_status.state == TaskState.RUNNING
        assert (running.node_id, running.task.id) == (created.node_id, created.task.id)
        assert [each.published for each in running.status.mesh_ports] == [8080]
        assert running.container == created.container
        await rig.stop("db")
        again = await rig.start("db")
        assert (again.container.run, again.node_id) == (2, created.node_id)

    with_rig(scenario)


def test_less_is_written_than_by_two_calls() -> None:
    async def writes(rig: ContainerRig, name: str, *, at_once: bool) -> int:
        marker = [put(kinds.REVISION, f"marker/{name}", ServiceRevision())]
        before = await rig.store.commit(marker)
        if at_once:
            async for _ in rig.run_at_once(name):
                pass
        else:
            await rig.run(name)
        return await rig.store.commit(marker) - before

    async def scenario(rig: ContainerRig) -> None:
        two, one = await writes(rig, "two", at_once=False), await writes(rig, "one", at_once=True)
        assert one <= two - 2, (one, two)

    with_rig(scenario)


def test_a_program_that_ends_at_once_is_answered() -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.exit_codes = {"once": 3, "removed": 0}
        _, ended = [view async for view in rig.run_at_once("once")]
        assert ended.task_status.state in (TaskState.RUNNING, TaskState.FAILED)
        views = [view async for view in rig.run_at_once("removed", auto_remove=True)]
        assert [view.container.name for view in views] == ["removed", "removed"]
        await rig.until(lambda: rig.store.tables.container_named("removed") is None)

    with_rig(scenario)


def test_restarts_follow_as_after_a_start() -> None:
    async def scenario(rig: ContainerRig) -> None:
        _, first = [view async for view in rig.run_at_once("db", restart=_ALWAYS)]
        status = first.task_status
        status.state = TaskState.FAILED
        await rig.report(status)
        identifier = first.container.meta.id
        await rig.until(lambda: any(task.attempt == 1 for task in rig.running(identifier)))

    with_rig(scenario)


_ALWAYS = ContainerRestart(condition=ContainerRestart.ALWAYS)


def test_what_fits_nowhere_leaves_nothing() -> None:
    async def scenario(rig: ContainerRig) -> None:
        made = definition()
        made.task.placement.constraints.append("node.labels.a == b")
        made.task.container.mounts.append(Mount(type=Mount.VOLUME, target="/data"))
        request = CreateContainerRequest(name="db", definition=made)
        with pytest.raises(Refused, match='"db" cannot be created: no suitable node: 2 of 2 do not meet constraint'):
            await anext(rig.first_run.run(request, ADMIN))
        tables = rig.store.tables
        assert not tables.containers
        assert not tables.volumes
        assert not tables.names

    with_rig(scenario)


@pytest.mark.parametrize("auto_remove", [False, True])
def test_a_port_that_is_taken_refuses_the_start_and_not_the_creation(auto_remove: bool) -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("first", ports=PORTS)
        call = rig.run_at_once("second", ports=PORTS, auto_remove=auto_remove)
        created = await anext(call)
        assert created.node_id
        assert created.container.desired == Container.CREATED
        with pytest.raises(Refused, match=r'container "second" cannot start: .*8080'):
            await anext(call)
        second = created.container.meta.id
        if auto_remove:
            await rig.until(lambda: second not in rig.store.tables.containers)
            return
        assert rig.store.tables.containers[second].desired == Container.CREATED
        await rig.remove("first", force=True)
        assert (await rig.start("second")).task_status.state == TaskState.RUNNING

    with_rig(scenario)


@pytest.mark.parametrize("auto_remove", [False, True])
def test_a_program_that_is_not_there(auto_remove: bool) -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.rejects.add("db")
        call = rig.run_at_once("db", auto_remove=auto_remove, restart=None if auto_remove else _ALWAYS)
        identifier = (await anext(call)).container.meta.id
        with pytest.raises(Refused, match='container "db" cannot start: executable file not found'):
            await anext(call)
        if auto_remove:
            await rig.until(lambda: identifier not in rig.store.tables.containers)
            return
        left = rig.store.tables.containers[identifier]
        assert (left.desired, left.run) == (Container.CREATED, 1)
        rig.rejects.clear()
        assert (await rig.start("db")).container.run == 2

    with_rig(scenario)


def test_faults_and_names_are_as_of_a_creation() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.create("db")
        with pytest.raises(AlreadyExists, match='"db" already exists'):
            await anext(rig.run_at_once("db"))
        with pytest.raises(InvalidInput, match="node"):
            request = CreateContainerRequest(definition=definition(), node="h9")
            await anext(rig.first_run.run(request, ADMIN))
        dry = CreateContainerRequest(definition=definition(), dry_run=True)
        (view,) = [view async for view in rig.first_run.run(dry, ADMIN)]
        assert not view.HasField("container")
        assert len(rig.store.tables.containers) == 1

    with_rig(scenario)


def test_a_hundred_calls_of_one_name_make_one() -> None:
    async def both(rig: ContainerRig) -> list[ContainerView]:
        return [view async for view in rig.run_at_once("db")]

    async def scenario(rig: ContainerRig) -> None:
        outcomes = await asyncio.gather(*(both(rig) for _ in range(100)), return_exceptions=True)
        made = [each for each in outcomes if isinstance(each, list)]
        assert [len(views) for views in made] == [2]
        assert sum(isinstance(each, AlreadyExists) for each in outcomes) == 99
        assert len(rig.store.tables.containers) == len(rig.store.tables.tasks) == 1

    with_rig(scenario)


def test_one_whose_caller_leaves_before_it_is_placed_is_undone() -> None:
    async def no_leader() -> None:
        async with asyncio.timeout(60), loaded_store(MemoryEtcd()) as store:
            rig = ContainerRig(store)
            mount = Mount(type=Mount.VOLUME, target="/data")
            call = rig.run_at_once("db", task=TaskTemplate(container=ContainerSpec(mounts=[mount])))
            pending = asyncio.ensure_future(anext(call))
            await rig.until(lambda: bool(store.tables.containers))
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
            assert not store.tables.containers
            assert not store.tables.volumes
            assert not store.tables.names

    asyncio.run(no_leader())


def test_its_caller_may_leave_while_it_starts() -> None:
    async def scenario(rig: ContainerRig) -> None:
        call = rig.run_at_once("db")
        identifier = (await anext(call)).container.meta.id
        await call.aclose()
        await rig.until(lambda: bool(rig.running(identifier)))

    with_rig(scenario)


def test_one_that_is_stopped_while_it_starts_stays_so() -> None:
    async def scenario(rig: ContainerRig) -> None:
        call = rig.run_at_once("db")
        await anext(call)
        await rig.stop("db")
        answer = await anext(call)
        assert answer.container.desired == Container.STOPPED
        assert not rig.running(answer.container.meta.id)

    with_rig(scenario)


def test_it_goes_where_its_ports_are_free() -> None:
    ports = [PublishedPort(target=80, published=8080, host_address="127.0.0.1")]

    async def scenario(rig: ContainerRig) -> None:
        places = {(await _last(rig, name, ports)).node_id for name in ("one", "two")}
        assert places == {"h1", "h2"}
        call = rig.run_at_once("three", ports=ports)
        await anext(call)
        with pytest.raises(Refused, match='container "three" cannot start'):
            await anext(call)
        await rig.add_node("h3", NodeStatus.READY)
        assert (await _last(rig, "four", ports)).node_id == "h3"

    async def _last(rig: ContainerRig, name: str, ports: list[PublishedPort]) -> ContainerView:
        *_, view = [each async for each in rig.run_at_once(name, ports=ports)]
        return view

    with_rig(scenario)

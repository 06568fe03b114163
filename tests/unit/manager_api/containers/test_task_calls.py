"""Calls about containers on tasks of services: what works as on any container, and what their service alone decides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from manager.containers.node_calls.container_processes import ContainerProcesses
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1 import engine_pb2 as engine
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import Service, ServiceRevision, ServiceSpec
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.container_ids import container_id, short_container_id
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from tests.unit.manager_api.containers.container_rig import IMAGE, ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

S = "s" * 13


async def serve(rig: ContainerRig, replicas: int = 1) -> Task:
    """A service `web` that runs; its first task."""
    spec = ServiceSpec(name="web")
    spec.task.container.image = IMAGE
    spec.replicated.replicas = replicas
    service = Service(meta=Meta(id=S), spec=spec, revision=1, task_revision=1)
    revision = ServiceRevision(service_id=S, number=1, spec=spec)
    await rig.store.commit([put(kinds.SERVICE, S, service), put(kinds.REVISION, f"{S}/1", revision)])
    await rig.until(lambda: len(running(rig)) == replicas)
    return min(running(rig), key=lambda task: task.slot)


def running(rig: ContainerRig) -> list[Task]:
    view = rig.store.tables
    every = view.tasks_of(S).values()
    return [each for each in every if each.id in view.task_status and state(rig, each) == TaskState.RUNNING]


def state(rig: ContainerRig, task: Task) -> int:
    return rig.store.tables.task_status[task.id].state


def test_it_is_found_by_every_form_of_its_name() -> None:
    async def play(rig: ContainerRig) -> None:
        task = await serve(rig, 2)
        names = (task.id, task.id[:12], container_id(task.id), short_container_id(task.id), "web.1", f"web.1.{task.id}")
        for name in names:
            found = await rig.records.get(engine.GetContainerRequest(container=name), ADMIN)
            assert (found.task.id, found.container.meta.id) == (task.id, ""), name
        for name in ("web.3", f"web.{task.id[:3]}", f"other.{task.id[0]}", "web", "", "nothing", "ffffffffffff"):
            with pytest.raises((NotFound, InvalidInput)):
                await rig.records.get(engine.GetContainerRequest(container=name), ADMIN)
        await rig.create("web.1")
        own = await rig.records.get(engine.GetContainerRequest(container="web.1"), ADMIN)
        assert own.container.meta.id, "a container of one's own has the name first"

    with_rig(play)


def test_it_is_stopped_killed_and_removed_and_its_service_replaces_it() -> None:
    async def stop(rig: ContainerRig, task: Task) -> None:
        await rig.runs.stop(engine.StopContainerRequest(container="web.1"), ADMIN)
        assert rig.agents.calls == [f"{task.node_id} kill stop"]

    async def stop_hard(rig: ContainerRig, task: Task) -> None:
        rig.agents.ignored = {"stop", "SIGINT"}
        request = engine.StopContainerRequest(container="web.1")
        request.stop.grace_ms, request.stop.signal = 50, "SIGINT"
        await rig.runs.stop(request, ADMIN)
        assert rig.agents.calls == [f"{task.node_id} kill SIGINT", f"{task.node_id} kill SIGKILL"]

    async def kill(rig: ContainerRig, task: Task) -> None:
        await processes(rig).kill(engine.KillContainerRequest(container=task.id), ADMIN)

    async def remove(rig: ContainerRig, task: Task) -> None:
        with pytest.raises(Refused, match=r'container web.1 belongs to service "web"; with --force'):
            await rig.remove("web.1")
        await rig.remove("web.1", force=True)
        assert rig.agents.calls == [f"{task.node_id} kill SIGKILL"]

    for play in (stop, stop_hard, kill, remove):
        ends_and_is_replaced(play)


def ends_and_is_replaced(act: Callable[[ContainerRig, Task], Awaitable[None]]) -> None:
    async def play(rig: ContainerRig) -> None:
        task = await serve(rig)
        await act(rig, task)
        assert state(rig, task) == TaskState.FAILED
        with pytest.raises(Refused):
            await rig.remove(task.id, force=True)
        rig.now_ms += 60_000
        await rig.add_node("h1")
        await rig.until(lambda: {each.id for each in running(rig)} - {task.id} != set())

    with_rig(play)


def test_it_is_paused_waited_for_and_attached_to() -> None:
    async def play(rig: ContainerRig) -> None:
        task = await serve(rig)
        calls = processes(rig)
        paused = await calls.pause(engine.PauseContainerRequest(container="web.1"), ADMIN)
        assert paused.task_status.paused
        resumed = await calls.pause(engine.PauseContainerRequest(container="web.1", unpause=True), ADMIN)
        assert not resumed.task_status.paused

        async def messages() -> AsyncIterator[ExecInput]:
            yield ExecInput(attach=AttachStart(task="web.1", wait=True))

        outputs = [each async for each in calls.attach(messages(), ADMIN)]
        assert outputs[0].started.task_name == "web.1" and not rig.agents.attached[0].wait
        assert rig.agents.attached[0].task == task.id
        waiting = rig.waits.wait(engine.WaitContainerRequest(container="web.1"), ADMIN)
        assert (await anext(waiting)).waiting
        ending = asyncio.ensure_future(anext(waiting))
        await calls.kill(engine.KillContainerRequest(container="web.1"), ADMIN)
        assert (await ending).exit_code == 137

    with_rig(play)


def test_what_its_service_decides_is_refused_with_its_name() -> None:
    async def play(rig: ContainerRig) -> None:
        await serve(rig)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: rig.start("web.1"),
            lambda: rig.runs.restart(engine.StopContainerRequest(container="web.1"), ADMIN),
            lambda: rig.records.rename(engine.RenameContainerRequest(container="web.1", name="x"), ADMIN),
            lambda: rig.records.update(engine.UpdateContainerRequest(container="web.1"), ADMIN),
            lambda: rig.networks.connect(engine.ConnectContainerRequest(container="web.1"), ADMIN),
            lambda: rig.networks.disconnect(engine.DisconnectContainerRequest(container="web.1"), ADMIN),
        ]
        for call in calls:
            with pytest.raises(Refused, match=r'container web.1 belongs to service "web" and'):
                await call()

    with_rig(play)


def test_a_node_that_is_away_is_named() -> None:
    async def play(rig: ContainerRig) -> None:
        task = await serve(rig)
        await rig.lose(task.node_id)
        with pytest.raises(Unavailable, match=f"is on node {task.node_id}, which has been down since 2023-"):
            await processes(rig).kill(engine.KillContainerRequest(container=task.id), ADMIN)

    with_rig(play)


def processes(rig: ContainerRig) -> ContainerProcesses:
    return ContainerProcesses(store=rig.store, agents=rig.agents, streams=rig.agents, now_ms=rig.clock)

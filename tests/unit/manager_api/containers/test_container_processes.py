"""Calls to the node of a container: signals hold its restart policy, a pause is answered when it is reported."""

from collections.abc import AsyncGenerator

import pytest

from manager.containers.node_calls.container_processes import ContainerProcesses
from manager.tasks.exec_target import agent_of, find_running, short_name
from shoal.api.v1.engine_pb2 import (
    KillContainerRequest,
    ListProcessesRequest,
    PauseContainerRequest,
)
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.container_ids import container_id
from shoal.errors import InvalidInput, Refused, Unavailable
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.containers.rig_agents import RigAgents
from tests.unit.manager_api.control_rig import ADMIN


def handler_of(rig: ContainerRig) -> tuple[ContainerProcesses, RigAgents]:
    agents = RigAgents(rig)
    return ContainerProcesses(store=rig.store, agents=agents, streams=agents, now_ms=rig.clock), agents


def test_what_was_killed_is_not_started_again() -> None:
    async def scenario(rig: ContainerRig) -> None:
        processes, agents = handler_of(rig)
        with pytest.raises(InvalidInput, match="not a signal"):
            await processes.kill(KillContainerRequest(container="db", signal="SIGNONE"), ADMIN)
        running = await rig.run("db", restart=ContainerRestart(condition=ContainerRestart.ALWAYS))
        await processes.kill(KillContainerRequest(container="db", signal="HUP"), ADMIN)
        assert agents.calls == [f"{running.node_id} kill HUP"]
        assert rig.store.tables.containers[running.container.meta.id].held
        statuses = rig.store.tables.service_status
        await rig.until(lambda: bool(statuses[running.container.meta.id].finished_run))
        with pytest.raises(Refused, match="is not running"):
            await processes.kill(KillContainerRequest(container="db"), ADMIN)

    with_rig(scenario)


def test_it_is_paused_and_continues() -> None:
    async def scenario(rig: ContainerRig) -> None:
        processes, agents = handler_of(rig)
        await rig.run("db")
        paused = await processes.pause(PauseContainerRequest(container="db"), ADMIN)
        assert paused.task_status.paused
        assert await rig.names(filters=[]) == ["db"]
        continued = await processes.pause(PauseContainerRequest(container="db", unpause=True), ADMIN)
        assert not continued.task_status.paused
        assert [each.split()[1] for each in agents.calls] == ["pause", "unpause"]
        listed = await processes.list_processes(ListProcessesRequest(container="db", ps_args=["-ef"]), ADMIN)
        assert [*listed.titles] == ["PID", "-ef"]

    with_rig(scenario)


def test_attach_before_the_start_goes_to_the_container_and_later_to_its_run() -> None:
    async def scenario(rig: ContainerRig) -> None:
        processes, agents = handler_of(rig)
        created = await rig.create("db")

        async def messages(*, wait: bool) -> AsyncGenerator[ExecInput]:
            yield ExecInput(attach=AttachStart(task="db", wait=wait))
            yield ExecInput(stdin=b"data")

        with pytest.raises(Refused, match="is not running"):
            _ = [each async for each in processes.attach(messages(wait=False), ADMIN)]
        outputs = [each async for each in processes.attach(messages(wait=True), ADMIN)]
        assert outputs[0].started.task_name == "db"
        assert outputs[1].stdout == b"data"
        running = await rig.start("db")
        _ = [each async for each in processes.attach(messages(wait=True), ADMIN)]
        identifier = created.container.meta.id
        assert [(each.task, each.wait) for each in agents.attached] == [(identifier, True), (running.task.id, False)]
        with pytest.raises(InvalidInput, match="must be `attach`"):
            _ = [each async for each in processes.attach(_nothing(), ADMIN)]

    with_rig(scenario)


async def _nothing() -> AsyncGenerator[ExecInput]:
    return
    yield


def test_a_node_that_is_away_is_named() -> None:
    async def scenario(rig: ContainerRig) -> None:
        processes, agents = handler_of(rig)
        node = (await rig.run("db")).node_hostname
        await rig.lose(node)
        with pytest.raises(Unavailable, match=f"is on node {node}, which has been down since 2023"):
            await processes.kill(KillContainerRequest(container="db"), ADMIN)
        assert not agents.calls

    with_rig(scenario)


def test_exec_takes_containers() -> None:
    async def scenario(rig: ContainerRig) -> None:
        view = rig.store.tables
        created = await rig.create("db")
        with pytest.raises(Refused, match="container db is not running"):
            find_running(view, "db")
        running = await rig.start("db")
        for reference in ("db", created.container.meta.id, container_id(created.container.meta.id)[:12]):
            assert find_running(view, reference) == view.tasks[running.task.id]
        assert short_name(view, running.task) == "db"
        await rig.lose(running.node_hostname)
        with pytest.raises(Refused, match=f"node {running.node_hostname} is down since 2023-11-14T"):
            agent_of(view, find_running(view, "db"))

    with_rig(scenario)

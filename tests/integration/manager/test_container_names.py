"""Names of containers over three managers of one cluster, on an etcd that none of them runs."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from shoal.api.v1 import engine_pb2 as engine
from shoal.api.v1.control_pb2 import ListNodesRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.container_ids import container_id
from tests.integration.manager.manager_process import (
    ManagerProcess,
    join_token_of,
    shared_etcd,
    until,
    until_registered,
)
from tests.integration.manager.scripted_agents import ScriptedAgent, scripted_agents

Scenario = Callable[[Sequence[Any], Sequence[Any], ScriptedAgent], Awaitable[None]]
CREATIONS = 100


def with_three(tmp_path: Path, scenario: Scenario) -> None:
    """Run a scenario with the container calls of three managers, the other calls of each, and a node."""

    async def run() -> None:
        managers = [ManagerProcess(tmp_path / name / "manager") for name in ("one", "two", "three")]
        with shared_etcd(tmp_path) as endpoint:
            try:
                for manager in managers:
                    manager.state.mkdir(parents=True, mode=0o700)
                    manager.more = ("--etcd-endpoint", endpoint, "--heartbeat-seconds", "0.5")
                    if manager is not managers[0]:
                        shutil.copy2(managers[0].state / "cluster.key", manager.state / "cluster.key")
                    manager.start()
                    await manager.ready()
                controls = [await manager.ready() for manager in managers]
                await until_registered(3, *controls)
                async with scripted_agents(managers[0], await join_token_of(controls[0]), "h1") as (agent,):
                    await until(lambda: all_have(controls, NodeStatus.READY), "the node is ready")
                    await scenario([ContainersStub(manager.channel()) for manager in managers], controls, agent)
            finally:
                for manager in managers:
                    manager.end()

    asyncio.run(run())


async def all_have(controls: Sequence[Any], state: NodeStatus.State.ValueType) -> bool:
    """Whether each manager has the node in that state."""
    answers = [await each.ListNodes(ListNodesRequest()) for each in controls]
    return all([node.status.state for node in answer.nodes] == [state] for answer in answers)


async def create(stub: Any, name: str) -> engine.ContainerView | str:
    """The container, or why there is none."""
    definition = ContainerDefinition()
    definition.task.container.image = "registry.test/hello@sha256:" + "b" * 64
    request = engine.CreateContainerRequest(name=name, definition=definition, no_resolve_image=True)
    try:
        made: engine.ContainerView = await stub.CreateContainer(request, timeout=60)
    except aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return made


def test_a_hundred_creations_of_one_name_make_one_container(tmp_path: Path) -> None:
    async def play(stubs: Sequence[Any], controls: Sequence[Any], agent: ScriptedAgent) -> None:
        results = await asyncio.gather(*(create(stubs[number % 3], "db") for number in range(CREATIONS)))
        made = [each for each in results if isinstance(each, engine.ContainerView)]
        refused = [each for each in results if isinstance(each, str)]
        assert len(made) == 1 and len(refused) == CREATIONS - 1
        assert all(each.startswith('ALREADY_EXISTS: container "db" already exists') for each in refused), refused
        identifier = made[0].container.meta.id

        async def has_task() -> bool:
            return bool(agent.tasks)

        for stub in stubs:
            await until(lambda stub=stub: knows(stub, "db"), "every manager knows it")  # type: ignore[misc]  # bound
            (only,) = (await stub.ListContainers(engine.ListContainersRequest(all=True))).containers
            assert only.container.meta.id == identifier
        await until(has_task, "the container is on the node")
        assert {task.container_id for task in agent.tasks.values()} == {identifier}
        assert len(agent.tasks) == 1, "what was not created left nothing on the node"

    with_three(tmp_path, play)


async def id_of(stub: Any, name: str) -> str:
    """Of the container that has the name, as this manager knows it now; empty if none has it."""
    try:
        found = await stub.GetContainer(engine.GetContainerRequest(container=name))
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return ""
    return str(found.container.meta.id)


async def knows(stub: Any, name: str) -> bool:
    return bool(await id_of(stub, name))


async def runs(stub: Any, name: str) -> bool:
    listed = (await stub.ListContainers(engine.ListContainersRequest())).containers
    return name in [each.container.name for each in listed]


def test_renames_swap_and_beginnings_of_ids_are_enough(tmp_path: Path) -> None:
    async def play(stubs: Sequence[Any], controls: Sequence[Any], agent: ScriptedAgent) -> None:
        made = [
            each for each in [await create(stubs[0], f"c{number}") for number in range(40)] if not isinstance(each, str)
        ]
        assert len(made) == 40
        for name in ("c0", "c1"):
            for stub in stubs:
                await until(lambda stub=stub, name=name: knows(stub, name), "known everywhere")  # type: ignore[misc]  # bound
        first, second = (each.container.meta.id for each in made[:2])
        renames = [("c0", "x"), ("c1", "c0"), ("x", "c1")]
        for number, (old, new) in enumerate(renames):
            await until(lambda old=old, number=number: knows(stubs[number], old), "the manager has it")  # type: ignore[misc]  # bound
            await stubs[number].RenameContainer(engine.RenameContainerRequest(container=old, name=new))
        for stub in stubs:

            async def swapped(stub: Any = stub) -> bool:
                return [await id_of(stub, name) for name in ("c0", "c1")] == [second, first]

            await until(swapped, "the names are swapped")
        with pytest.raises(aio.AioRpcError, match='container "c0" already exists'):
            await stubs[0].RenameContainer(engine.RenameContainerRequest(container="c1", name="c0"))

        async def get(reference: str) -> str:
            found = await stubs[1].GetContainer(engine.GetContainerRequest(container=reference))
            return str(found.container.meta.id)

        digits = container_id(first)
        assert [await get(form) for form in (first, first[:9], digits, digits[:12], f"/{'c1'}")] == [first] * 5
        heads = [container_id(each.container.meta.id)[0] for each in made]
        shared = next(head for head in heads if heads.count(head) > 1)
        with pytest.raises(aio.AioRpcError, match=f'container ID prefix "{shared}" is ambiguous: it matches'):
            await get(shared)

    with_three(tmp_path, play)


def test_calls_on_a_container_whose_node_is_away_name_it(tmp_path: Path) -> None:
    async def play(stubs: Sequence[Any], controls: Sequence[Any], agent: ScriptedAgent) -> None:
        assert not isinstance(await create(stubs[0], "db"), str)
        await stubs[0].StartContainer(engine.StartContainerRequest(container="db"), timeout=30)
        await until(lambda: runs(stubs[1], "db"), "the other manager knows that it runs")
        waiting = stubs[1].WaitContainer(engine.WaitContainerRequest(container="db"))
        assert (await waiting.read()).waiting
        agent.is_silent = True
        await until(lambda: all_have(controls, NodeStatus.DOWN), "the node is down")
        calls = (
            stubs[0].StopContainer(engine.StopContainerRequest(container="db"), timeout=20),
            stubs[0].KillContainer(engine.KillContainerRequest(container="db"), timeout=20),
            stubs[0].ListProcesses(engine.ListProcessesRequest(container="db"), timeout=20),
        )
        for call in calls:
            with pytest.raises(aio.AioRpcError, match='container "db" is on node h1, which has been down since 20'):
                await call
        (shown,) = (await stubs[0].ListContainers(engine.ListContainersRequest(all=True))).containers
        assert shown.node_hostname == "h1" and shown.node_down_since_ms
        answer = await stubs[0].SummarizeContainers(engine.ListContainersRequest(all=True))
        assert list(answer.status_after) == [" (node h1 is down)"]
        refused = await create(stubs[0], "other")
        assert isinstance(refused, str) and "no suitable node" in refused and "down" in refused
        waiting.cancel()

    with_three(tmp_path, play)

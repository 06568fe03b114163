"""Silence: of the manager itself, and of many nodes together. Neither moves a task."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetNodeRequest,
    ListNodesRequest,
    ListTasksRequest,
    WatchEventsRequest,
    WatchServicesRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, running_manager, until
from tests.integration.manager.scripted_agents import ScriptedAgent, scripted_agents
from tests.integration.manager.test_two_managers import web

SHOAL = str(Path(sys.executable).with_name("shoal"))
PAUSE_SECONDS = 4.0
"""Nearly three times as long as a node has at a heartbeat of 0.5 s."""
LOOK_SECONDS = 3.0
"""So long a node would have been DOWN by then."""

Scenario = Callable[[ManagerProcess, Any, str], Awaitable[None]]


def with_manager(tmp_path: Path, scenario: Scenario) -> None:
    async def run() -> None:
        async with running_manager(tmp_path) as (manager, control):
            await scenario(manager, control, await join_token_of(control))

    asyncio.run(run())


async def run_web(control: Any, replicas: int) -> dict[str, str]:
    """The nodes of its tasks, by task."""
    await control.CreateService(CreateServiceRequest(spec=web("web", replicas)))
    async for _ in control.WatchServices(WatchServicesRequest(services=["web"]), timeout=60):
        pass
    return await placed(control)


async def placed(control: Any) -> dict[str, str]:
    tasks = (await control.ListTasks(ListTasksRequest(service="web"))).tasks
    return {each.task.id: each.task.node_id for each in tasks if each.task.desired_state <= TaskState.RUNNING}


async def states(control: Any) -> dict[str, int]:
    return {each.node.meta.id: each.status.state for each in (await control.ListNodes(ListNodesRequest())).nodes}


def test_a_manager_that_was_stopped_for_a_while_gives_up_no_node(tmp_path: Path) -> None:
    async def scenario(manager: ManagerProcess, control: Any, token: str) -> None:
        async with scripted_agents(manager, token, "h1", "h2", "h3"):
            await until(lambda: ready(control, 3), "all nodes are ready")
            before = await run_web(control, 9)
            assert manager.process is not None
            manager.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(PAUSE_SECONDS)
            manager.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(LOOK_SECONDS)
            await until(lambda: ready(control, 3), "all nodes are ready again")
            assert await placed(control) == before
            assert " is DOWN" not in manager.log and " is UNKNOWN" not in manager.log

    with_manager(tmp_path, scenario)


async def ready(control: Any, number: int) -> bool:
    return list((await states(control)).values()).count(NodeStatus.READY) == number


def test_many_nodes_that_fall_silent_together_keep_their_tasks_until_a_user_gives_them_up(tmp_path: Path) -> None:
    async def scenario(manager: ManagerProcess, control: Any, token: str) -> None:
        async with AsyncExitStack() as stack:
            begin_ms = time.time_ns() // 1_000_000
            await stack.enter_async_context(scripted_agents(manager, token, "h0"))
            async with scripted_agents(manager, token, *(f"h{number}" for number in range(1, 7))) as lost:
                await until(lambda: ready(control, 7), "all nodes are ready")
                before = await run_web(control, 14)
            gone = [agent.node_id for agent in lost]
            await until(lambda: all_are(control, gone, NodeStatus.UNKNOWN), "six nodes are unknown")
            await warns_users(control, gone, begin_ms)
            await asyncio.sleep(LOOK_SECONDS)
            assert await placed(control) == before, "nothing moves"
            given_up = gone[0]  # h1
            code, said = await asyncio.to_thread(shoal, manager, "node", "down", "h0")
            assert code and "only an unknown or restarting node" in said, said
            listed = await asyncio.to_thread(shoal, manager, "node", "ls")
            assert "unknown" in listed[1] and "6 of 7 nodes" in listed[1], listed
            assert (await asyncio.to_thread(shoal, manager, "node", "down", "h1"))[0] == 0
            await until(lambda: all_are(control, [given_up], NodeStatus.DOWN), "it is down")
            await until(lambda: moved(control, before, given_up), "its tasks run elsewhere, and no others")
            assert await all_are(control, gone[1:], NodeStatus.UNKNOWN)
            await come_back(stack, lost)
            await until(lambda: ready(control, 7), "all nodes are ready again")

    with_manager(tmp_path, scenario)


async def all_are(control: Any, node_ids: Sequence[str], state: int) -> bool:
    found = await states(control)
    return all(found[each] == state for each in node_ids)


async def warns_users(control: Any, node_ids: list[str], since_ms: int) -> None:
    """Lists and events say what it means and what to do."""
    view = await control.GetNode(GetNodeRequest(node=node_ids[0]))
    assert any("6 of 7 nodes" in text and "shoal node down h1" in text for text in view.warnings), view.warnings

    async def are_reported() -> bool:
        request = WatchEventsRequest(
            types=["node"], actions=["unknown"], since_ms=since_ms, until_ms=time.time_ns() // 1_000_000
        )
        responses = control.WatchEvents(request, timeout=60)
        unknown = [response.event.id async for response in responses if response.HasField("event")]
        return sorted(unknown) == sorted(node_ids)

    await until(are_reported, "an event for each node")


def shoal(manager: ManagerProcess, *arguments: str) -> tuple[int, str]:
    """Exit code of `shoal …` and what it says, with the admin's context."""
    environment = {**os.environ, "SHOAL_CONFIG": str(manager.state.parent / "config")}
    made = ["context", "create", "here", "--admin", str(manager.state / "admin")]
    subprocess.run([SHOAL, *made], env=environment, capture_output=True, check=False)
    done = subprocess.run([SHOAL, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


async def moved(control: Any, before: dict[str, str], node_id: str) -> bool:
    now = await placed(control)
    stays = {task_id for task_id, home in before.items() if home != node_id}
    return len(now) == len(before) and {task_id for task_id in before if task_id in now} == stays


async def come_back(stack: AsyncExitStack, agents: list[ScriptedAgent]) -> None:
    for agent in agents:
        running = asyncio.create_task(agent.run())
        stack.callback(running.cancel)

"""A node that floods its manager: etcd grows by a bounded amount, others go on, and it is blocked and reported.

Before nodes had a budget, descriptions of 80 kB that differ added 200 MB to etcd in 6 s, to its quota in four minutes.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from shoal.api.v1.control_pb2 import GetNodeRequest, ListNodesRequest
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Heartbeat, VolumeReport
from shoal.api.v1.node_pb2 import NetworkCondition, NodeStatus
from shoal.api.v1.volume_pb2 import LocalVolume
from tests.hostile.nodes.node_rig import ANSWER_SECONDS, ATTEMPTS, HostileNode, cluster_with_hostile_node, joined_node
from tests.integration.manager.manager_process import ManagerProcess, until

FLOOD_SECONDS = 90.0
"""By then the manager has ended the session: it does so after ten seconds."""

MOST_BYTES = 64 << 20
"""Of etcd's file, which has all that was written since its history was last compacted: of each node the burst of
4 MiB and 64 KiB a second, twice for what etcd keeps beside it, and the steps in which the file grows."""

MOST_GROWTH_KIB = 128 << 10
"""What 15,000 volumes take here, again and again."""

Make = Callable[[HostileNode, int], AgentMessage]


def description(node: HostileNode, number: int) -> AgentMessage:
    labels = {f"k{index}": "v" * 400 for index in range(200)}
    return AgentMessage(description=node.description(kernel=str(number), engine_labels=labels))


def condition(_: HostileNode, number: int) -> AgentMessage:
    return AgentMessage(network=NetworkCondition(problems=[f"{number} {'x' * 400}"] * 20))


def volumes(_: HostileNode, number: int) -> AgentMessage:
    held = [LocalVolume(volume_id=f"v{number}-{index:05}") for index in range(15_000)]
    return AgentMessage(volumes=VolumeReport(volumes=held))


def heartbeat(_: HostileNode, number: int) -> AgentMessage:
    return AgentMessage(heartbeat=Heartbeat())


FLOODS: tuple[Make, ...] = (description, condition, volumes, heartbeat)


def stored_bytes(manager: ManagerProcess) -> int:
    return next((manager.state / "etcd").rglob("db")).stat().st_size


async def flood(node: HostileNode, make: Make) -> StatusCode:
    """Until the manager ends the session."""
    async with asyncio.timeout(FLOOD_SECONDS), node.session(node.description()) as stream:
        number = 0
        try:
            while not stream.done():
                number += 1
                await stream.write(make(node, number))
        except (aio.AioRpcError, asyncio.InvalidStateError, aio.UsageError):
            pass
        code: StatusCode = await stream.code()
        return code


async def slowest_answer(control: Any, flooding: asyncio.Future[list[StatusCode]]) -> float:
    slowest = 0.0
    while not flooding.done():
        begun = time.monotonic()
        await control.ListNodes(ListNodesRequest(), timeout=ANSWER_SECONDS)
        slowest = max(slowest, time.monotonic() - begun)
        await asyncio.sleep(0.2)
    return slowest


async def is_kept_out(control: Any, node: HostileNode) -> bool:
    for _ in range(ATTEMPTS):  # gRPC's client reports INTERNAL where a write fails before the status is there
        with pytest.raises(aio.AioRpcError) as refused:
            async with node.session(node.description()):
                pass
        if (code := refused.value.code()) is not StatusCode.INTERNAL:
            break
    view = await control.GetNode(GetNodeRequest(node=node.joined.node_id))
    reported = any("is blocked for" in warning for warning in view.warnings)
    return reported and code == StatusCode.RESOURCE_EXHAUSTED


async def flood_until_kept_out(control: Any, node: HostileNode, make: Make) -> StatusCode:
    """A block has an end, which may come before the floods of others have ended: it is looked at as it begins."""
    code = await flood(node, make)
    assert await is_kept_out(control, node), node.name
    return code


def test_floods_are_bounded_ended_and_reported(tmp_path: Path) -> None:
    """Four nodes at once, each in its own way."""

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            manager, control, _ = await stack.enter_async_context(cluster_with_hostile_node(tmp_path, "h1"))
            nodes = [
                await stack.enter_async_context(joined_node(manager, control, f"f{number}")) for number in range(5)
            ]
            for number, node in enumerate(nodes):
                node.name, node.address = f"f{number}", f"192.0.2.{number}"
            *flooding_nodes, newcomer = nodes
            before, memory = stored_bytes(manager), manager.resident_kib()
            floods = [flood_until_kept_out(control, *each) for each in zip(flooding_nodes, FLOODS, strict=True)]
            flooding = asyncio.ensure_future(asyncio.gather(*floods))
            assert await slowest_answer(control, flooding) < ANSWER_SECONDS
            # gRPC's client reports INTERNAL where a write fails before the status is there.
            assert set(await flooding) <= {StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL}
            assert stored_bytes(manager) - before < MOST_BYTES
            assert manager.resident_kib() - memory < MOST_GROWTH_KIB
            async with newcomer.session(newcomer.description()):
                pass

            async def other_is_ready() -> bool:
                return bool((await control.GetNode(GetNodeRequest(node="h1"))).status.state == NodeStatus.READY)

            await until(other_is_ready, "another node goes on")

    asyncio.run(scenario())

"""A node's certificate and large requests: the manager's memory stays within a bound, and comes back.

Before requests were bounded by method and read after their caller was admitted, twelve renewals of 60 MB took a manager
to 2.3 GB, of which 1.2 GB stayed.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio

from shoal.api.v1.control_pb2 import ListNodesRequest
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Hello
from shoal.rpc.request_limits import AGENT_CALLS
from tests.hostile.nodes.node_rig import ATTEMPTS, LOST_STATUS, HostileNode, cluster_with_hostile_node
from tests.integration.manager.manager_process import ManagerProcess, until

MOST_GROWTH_KIB = 128 << 10
"""Four calls of 8 MiB under way, which gRPC and Python hold once each, and what the allocator keeps of them."""

RENEW = "/shoal.api.v1.CertificateAuthority/Renew"
DEPLOY = "/shoal.api.v1.Control/DeployStack"
SESSION = "/shoal.api.v1.Dispatcher/Session"


async def code_of_call(channel: aio.Channel, method: str, size: int) -> StatusCode:
    try:
        await channel.unary_unary(method, request_serializer=bytes)(bytes(size), timeout=60)
    except aio.AioRpcError as error:
        return error.code()
    return StatusCode.OK


async def code_of_session(channel: aio.Channel, first: bytes, second: bytes) -> StatusCode:
    async def messages() -> AsyncIterator[bytes]:
        yield first
        yield second

    for _ in range(ATTEMPTS):
        call: Any = channel.stream_stream(SESSION, request_serializer=bytes)(messages(), timeout=60)
        try:
            async for _ in call:
                pass
        except aio.AioRpcError:
            pass
        if await call.details() != LOST_STATUS:
            break
    code: StatusCode = await call.code()
    return code


def empty_statuses(size: int) -> bytes:
    """A batch of as many empty statuses as a message of this size holds: two bytes each, a hundred when parsed."""
    body = b"\x12\x00" * (size // 2)
    assert size < 1 << 28
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    return b"\x1a" + length + body


async def peak_kib(manager: ManagerProcess, calls: asyncio.Future[list[StatusCode]]) -> int:
    peak = 0
    while not calls.done():
        peak = max(peak, manager.resident_kib())
        await asyncio.sleep(0.02)
    return peak


async def attack(node: HostileNode) -> list[StatusCode]:
    hello = AgentMessage(hello=Hello(description=node.description())).SerializeToString()
    calls = [code_of_call(node.channel, RENEW, 60 << 20) for _ in range(12)]
    calls += [code_of_call(node.channel, RENEW, 7 << 20) for _ in range(24)]
    calls += [code_of_call(node.channel, DEPLOY, 7 << 20) for _ in range(24)]
    calls += [code_of_session(node.channel, hello, empty_statuses(7 << 20)) for _ in range(4)]
    return await asyncio.gather(*calls)


def test_a_managers_memory_is_bounded_whatever_a_node_sends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster_with_hostile_node(tmp_path) as (manager, control, node):
            before = manager.resident_kib()
            calls = asyncio.ensure_future(attack(node))
            peak = await peak_kib(manager, calls)
            # Another session of the node ends with ABORTED when a newer one has begun.
            refusals = {StatusCode.RESOURCE_EXHAUSTED, StatusCode.PERMISSION_DENIED, StatusCode.ABORTED}
            assert set(await calls) <= refusals
            assert peak - before < MOST_GROWTH_KIB, f"{before} KiB grew to {peak} KiB"
            await control.ListNodes(ListNodesRequest(), timeout=60)

    asyncio.run(scenario())


def test_a_node_has_few_calls_under_way(tmp_path: Path) -> None:
    """Streams that are opened and left cost it its own calls alone, and their number is bounded."""

    async def scenario() -> None:
        async with cluster_with_hostile_node(tmp_path) as (_, control, node):
            idle: list[Any] = [
                node.channel.stream_stream(SESSION, request_serializer=bytes)() for _ in range(AGENT_CALLS + 4)
            ]

            async def refused() -> bool:
                return sum(bool(call.done()) for call in idle) == 4

            await until(refused, "the calls beyond the bound are refused")
            over = [call for call in idle if call.done()]
            said = {(await call.code(), await call.details()) for call in over}
            assert {code for code, details in said if details != LOST_STATUS} == {StatusCode.RESOURCE_EXHAUSTED}
            await control.ListNodes(ListNodesRequest(), timeout=60)

    asyncio.run(scenario())

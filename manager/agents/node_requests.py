"""The same call to many nodes at a time; nodes without a response are reported, not raised."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from manager.agents.agent_address import AgentAddress
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import ShoalError
from shoal.task_group import TaskGroup

Request = TypeVar("Request")
Response = TypeVar("Response")

CONCURRENT_NODES = 64
"""Nodes that are queried at the same time, unless a call chooses another number."""


async def query_nodes(
    view: View,
    requests: Mapping[str, Request],
    call: Callable[[AgentAddress, Request], Awaitable[Response]],
    *,
    at_once: int = CONCURRENT_NODES,
) -> tuple[dict[str, Response], list[str]]:
    """Send each node its request.

    Args:
        requests: by node ID.
        call: one call to an agent; a `ShoalError` of it is reported.
        at_once: nodes that are queried at the same time.
    Returns:
        The responses by node ID, and one line for the user for each node without one; both in the order of `requests`.
    """
    limit = asyncio.Semaphore(at_once)

    async def query(node_id: str, request: Request) -> Response | _Failure:
        status = view.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY:
            return _Failure(f"node {hostname_of(view, node_id)} is not ready")
        try:
            async with limit:
                return await call(AgentAddress.of(node_id, status.description), request)
        except ShoalError as error:
            return _Failure(f"node {hostname_of(view, node_id)}: {error}")

    async with TaskGroup() as group:
        running = {node_id: group.create_task(query(node_id, request)) for node_id, request in requests.items()}
    results = {node_id: task.result() for node_id, task in running.items()}
    responses = {node_id: result for node_id, result in results.items() if not isinstance(result, _Failure)}
    return responses, [str(result) for result in results.values() if isinstance(result, _Failure)]


class _Failure(str):
    """Why a node has not responded."""

    __slots__ = ()

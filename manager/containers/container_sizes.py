"""Disk usage of containers, counted by agents on request."""

from collections.abc import Iterable
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.agent_containers_pb2 import ReadContainerSizesRequest, ReadContainerSizesResponse
from shoal.api.v1.engine_pb2 import ContainerView

MAX_MILLISECONDS = 20_000
"""Timeout of the measurement on a node."""
MAX_CONTAINERS = 10_000
"""Measured per node."""


class ContainerSizeSource(Protocol):
    """`manager.agents.container_channels.ContainerChannels` is one."""

    async def read_sizes(self, agent: AgentAddress, request: ReadContainerSizesRequest) -> ReadContainerSizesResponse:
        """Raises Unavailable when the node does not respond."""
        ...


async def add_sizes(view: View, containers: Iterable[ContainerView], sizes: ContainerSizeSource) -> list[str]:
    """Add sizes to containers and tasks; one line for each that is unknown, with the reason."""
    by_node: dict[str, dict[str, ContainerView]] = {}
    for each in containers:
        if each.node_id:
            by_node.setdefault(each.node_id, {})[each.container.meta.id or each.task.id] = each
    requests = {
        node_id: ReadContainerSizesRequest(containers=sorted(found)[:MAX_CONTAINERS], timeout_ms=MAX_MILLISECONDS)
        for node_id, found in by_node.items()
    }
    responses, warnings = await query_nodes(view, requests, sizes.read_sizes)
    for node_id, response in responses.items():
        for size in response.sizes:
            found = by_node[node_id].get(size.container)
            if found is None:
                continue
            if size.problem:
                warnings.append(
                    f'container "{found.container.name}" on node {hostname_of(view, node_id)}: {size.problem}'
                )
            else:
                found.writable_bytes, found.image_bytes = size.writable_bytes, size.image_bytes
    return sorted(warnings)

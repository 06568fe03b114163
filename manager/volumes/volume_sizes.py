"""Disk usage of volumes, measured by agents on request."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from manager.volumes.volume_drivers import is_csi
from shoal.api.v1.control_pb2 import VolumeLocation, VolumeView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.errors import ShoalError
from shoal.task_group import TaskGroup

CONCURRENT_NODES = 64
"""Nodes that are queried at the same time."""
MAX_MILLISECONDS = 20_000
"""Timeout of the measurement on a node."""
MAX_VOLUMES = 10_000
"""Measured per node."""


class VolumeSizeSource(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def read_volume_sizes(self, agent: AgentAddress, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Raises Unavailable when the node does not respond."""
        ...


async def add_sizes(view: View, volumes: Iterable[VolumeView], sizes: VolumeSizeSource) -> list[str]:
    """Add sizes to the locations of local volumes; one line for each that is unknown, with the reason."""
    locations: dict[str, dict[tuple[str, int], tuple[str, VolumeLocation]]] = {}
    for volume in volumes:
        for location in () if is_csi(volume.volume.spec) else volume.locations:
            key = volume.volume.meta.id, location.slot
            locations.setdefault(location.node_id, {})[key] = (volume.volume.spec.name, location)
    limit = asyncio.Semaphore(CONCURRENT_NODES)
    async with TaskGroup() as group:
        answers = {
            node_id: group.create_task(_read_node(view, sizes, limit, node_id, sorted({key[0] for key in wanted})))
            for node_id, wanted in locations.items()
        }
    warnings: list[str] = []
    for node_id, answer in answers.items():
        if isinstance(found := answer.result(), str):
            warnings.append(found)
            continue
        for each in found:
            name, location = locations[node_id].get((each.volume_id, each.slot), ("", VolumeLocation()))
            if each.problem:
                warnings.append(f"volume {name} on node {hostname_of(view, node_id)}: {each.problem}")
            else:
                location.used_bytes = each.bytes
    return sorted(warnings)


async def _read_node(
    view: View, sizes: VolumeSizeSource, limit: asyncio.Semaphore, node_id: str, volume_ids: Sequence[str]
) -> Sequence[VolumeSize] | str:
    status = view.node_status.get(node_id)
    if status is None or status.state != NodeStatus.READY:
        return f"node {hostname_of(view, node_id)} is not ready"
    request = ReadVolumeSizesRequest(volume_ids=volume_ids[:MAX_VOLUMES], timeout_ms=MAX_MILLISECONDS)
    try:
        async with limit:
            return (await sizes.read_volume_sizes(AgentAddress.of(node_id, status.description), request)).volumes
    except ShoalError as error:
        return f"node {hostname_of(view, node_id)}: {error}"

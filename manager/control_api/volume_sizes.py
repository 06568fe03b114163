"""What volumes take on the disks of nodes, asked of their agents when a user wants to know."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from manager.control_api.lookup import hostname_of
from manager.control_api.seams import AgentAddress
from manager.control_api.volume_drivers import is_driven
from manager.store.tables import View
from shoal.api.v1.control_pb2 import VolumePlace, VolumeView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.errors import ShoalError
from shoal.task_group import TaskGroup

AT_ONCE = 64
"""Nodes that are asked at the same time."""
MOST_MILLISECONDS = 20_000
"""For the volumes of a node."""
MOST_VOLUMES = 10_000
"""Of a node."""


class Sizes(Protocol):
    """`manager.control_api.agent_channels.AgentChannels` is one."""

    async def read_volume_sizes(self, agent: AgentAddress, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Raises Unavailable when the node does not answer."""
        ...


async def add_sizes(view: View, volumes: Iterable[VolumeView], sizes: Sizes) -> list[str]:
    """Put sizes into the places of local volumes; which are not known, and why, one line each."""
    places: dict[str, dict[tuple[str, int], tuple[str, VolumePlace]]] = {}
    for volume in volumes:
        for place in () if is_driven(volume.volume.spec) else volume.places:
            key = volume.volume.meta.id, place.slot
            places.setdefault(place.node_id, {})[key] = (volume.volume.spec.name, place)
    limit = asyncio.Semaphore(AT_ONCE)
    async with TaskGroup() as group:
        asked = {
            node_id: group.create_task(_ask(view, sizes, limit, node_id, sorted({key[0] for key in wanted})))
            for node_id, wanted in places.items()
        }
    warnings: list[str] = []
    for node_id, answer in asked.items():
        if isinstance(found := answer.result(), str):
            warnings.append(found)
            continue
        for each in found:
            name, place = places[node_id].get((each.volume_id, each.slot), ("", VolumePlace()))
            if each.problem:
                warnings.append(f"volume {name} on node {hostname_of(view, node_id)}: {each.problem}")
            else:
                place.bytes = each.bytes
    return sorted(warnings)


async def _ask(
    view: View, sizes: Sizes, limit: asyncio.Semaphore, node_id: str, volume_ids: Sequence[str]
) -> Sequence[VolumeSize] | str:
    status = view.node_status.get(node_id)
    if status is None or status.state != NodeStatus.READY:
        return f"node {hostname_of(view, node_id)} is not ready"
    request = ReadVolumeSizesRequest(volume_ids=volume_ids[:MOST_VOLUMES], milliseconds=MOST_MILLISECONDS)
    try:
        async with limit:
            return (await sizes.read_volume_sizes(AgentAddress.of(node_id, status.description), request)).volumes
    except ShoalError as error:
        return f"node {hostname_of(view, node_id)}: {error}"

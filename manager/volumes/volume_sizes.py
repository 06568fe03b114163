"""Disk usage of volumes, measured by agents on request."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from manager.volumes.volume_drivers import is_csi
from shoal.api.v1.control_pb2 import VolumeLocation, VolumeView
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse

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
    requests = {
        node_id: ReadVolumeSizesRequest(volume_ids=_volume_ids(keys), timeout_ms=MAX_MILLISECONDS)
        for node_id, keys in locations.items()
    }
    responses, warnings = await query_nodes(view, requests, sizes.read_volume_sizes)
    for node_id, response in responses.items():
        for each in response.volumes:
            name, location = locations[node_id].get((each.volume_id, each.slot), ("", VolumeLocation()))
            if each.problem:
                warnings.append(f"volume {name} on node {hostname_of(view, node_id)}: {each.problem}")
            else:
                location.used_bytes = each.bytes
    return sorted(warnings)


def _volume_ids(keys: Iterable[tuple[str, int]]) -> Sequence[str]:
    return sorted({volume_id for volume_id, _ in keys})[:MAX_VOLUMES]

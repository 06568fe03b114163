"""The controller service of this node's CSI drivers, for the leader.

Nothing is decided or stored here: calls are idempotent by the CSI specification, and the manager records their results.
"""

from collections.abc import Mapping

from agent.csi.driver_client import DriverClient, volume_capability
from agent.csi.driver_errors import DriverError
from agent.csi.driver_registry import DriverRegistry
from agent.csi.v1.csi_pb2 import (
    CapacityRange,
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    CreateVolumeRequest,
    DeleteVolumeRequest,
    Topology,
    TopologyRequirement,
)
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DriverAttachVolume,
    DriverCreateVolume,
    DriverDeleteVolume,
    DriverDetachVolume,
    DriverFailure,
    DriverVolume,
)
from shoal.api.v1.volume_pb2 import Segments
from shoal.errors import InvalidInput

_DONE = CallDriverResponse(done=CallDriverResponse.Done())


class ControllerService:
    """Executes `CallDriver`."""

    def __init__(self, drivers: DriverRegistry) -> None:
        self._drivers = drivers

    async def call(self, request: CallDriverRequest) -> CallDriverResponse:
        """One call; a driver's failure is in the response.

        Raises:
            Unavailable: this node has no such driver, or it is unavailable. InvalidInput: unknown call.
        """
        plugin, _ = self._drivers.get(request.driver)
        try:
            match request.WhichOneof("call"):
                case "create":
                    return await _create(plugin, request.create, request.secrets)
                case "delete":
                    return await _delete(plugin, request.delete, request.secrets)
                case "attach":
                    return await _attach(plugin, request.attach, request.secrets)
                case "detach":
                    return await _detach(plugin, request.detach, request.secrets)
                case _:
                    raise InvalidInput("call: unknown driver call")
        except DriverError as error:
            return CallDriverResponse(failure=DriverFailure(message=str(error), outcome_unknown=error.uncertain))


async def _create(plugin: DriverClient, wanted: DriverCreateVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = CreateVolumeRequest(
        name=wanted.name,
        parameters=wanted.parameters,
        volume_capabilities=[volume_capability(wanted.access_mode)],
        secrets=secrets,
    )
    if wanted.size_bytes or wanted.limit_bytes:
        capacity = CapacityRange(required_bytes=wanted.size_bytes, limit_bytes=wanted.limit_bytes)
        request.capacity_range.CopyFrom(capacity)
    if wanted.topologies:
        topologies = [Topology(segments=each.segments) for each in wanted.topologies]
        request.accessibility_requirements.CopyFrom(TopologyRequirement(requisite=topologies, preferred=topologies))
    made = (await plugin.call("CreateVolume", plugin.controller.CreateVolume, request)).volume
    return CallDriverResponse(
        created=DriverVolume(
            driver_volume_id=made.volume_id,
            context=made.volume_context,
            capacity_bytes=made.capacity_bytes,
            topologies=[Segments(segments=each.segments) for each in made.accessible_topology],
        )
    )


async def _delete(plugin: DriverClient, wanted: DriverDeleteVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = DeleteVolumeRequest(volume_id=wanted.driver_volume_id, secrets=secrets)
    await plugin.call("DeleteVolume", plugin.controller.DeleteVolume, request)
    return _DONE


async def _attach(plugin: DriverClient, wanted: DriverAttachVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = ControllerPublishVolumeRequest(
        volume_id=wanted.driver_volume_id,
        node_id=wanted.driver_node_id,
        volume_capability=volume_capability(wanted.access_mode),
        volume_context=wanted.context,
        secrets=secrets,
    )
    method = plugin.controller.ControllerPublishVolume
    answer = await plugin.call("ControllerPublishVolume", method, request)
    return CallDriverResponse(attached=CallDriverResponse.Attached(context=answer.publish_context))


async def _detach(plugin: DriverClient, wanted: DriverDetachVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = ControllerUnpublishVolumeRequest(
        volume_id=wanted.driver_volume_id, node_id=wanted.driver_node_id, secrets=secrets
    )
    await plugin.call("ControllerUnpublishVolume", plugin.controller.ControllerUnpublishVolume, request)
    return _DONE

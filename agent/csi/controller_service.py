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
from shoal.fault_points.injection import fault

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
            answer = await _call(plugin, request)
        except DriverError as error:
            return CallDriverResponse(
                failure=DriverFailure(message=str(error), outcome_unknown=error.is_outcome_unknown)
            )
        fault("agent.csi.driver-called")
        return answer


async def _call(plugin: DriverClient, request: CallDriverRequest) -> CallDriverResponse:
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


async def _create(plugin: DriverClient, desired: DriverCreateVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = CreateVolumeRequest(
        name=desired.name,
        parameters=desired.parameters,
        volume_capabilities=[volume_capability(desired.access_mode)],
        secrets=secrets,
    )
    if desired.size_bytes or desired.limit_bytes:
        capacity = CapacityRange(required_bytes=desired.size_bytes, limit_bytes=desired.limit_bytes)
        request.capacity_range.CopyFrom(capacity)
    if desired.topologies:
        topologies = [Topology(segments=each.segments) for each in desired.topologies]
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


async def _delete(plugin: DriverClient, desired: DriverDeleteVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = DeleteVolumeRequest(volume_id=desired.driver_volume_id, secrets=secrets)
    await plugin.call("DeleteVolume", plugin.controller.DeleteVolume, request)
    return _DONE


async def _attach(plugin: DriverClient, desired: DriverAttachVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = ControllerPublishVolumeRequest(
        volume_id=desired.driver_volume_id,
        node_id=desired.driver_node_id,
        volume_capability=volume_capability(desired.access_mode),
        volume_context=desired.context,
        secrets=secrets,
    )
    method = plugin.controller.ControllerPublishVolume
    answer = await plugin.call("ControllerPublishVolume", method, request)
    return CallDriverResponse(attached=CallDriverResponse.Attached(context=answer.publish_context))


async def _detach(plugin: DriverClient, desired: DriverDetachVolume, secrets: Mapping[str, str]) -> CallDriverResponse:
    request = ControllerUnpublishVolumeRequest(
        volume_id=desired.driver_volume_id, node_id=desired.driver_node_id, secrets=secrets
    )
    await plugin.call("ControllerUnpublishVolume", plugin.controller.ControllerUnpublishVolume, request)
    return _DONE

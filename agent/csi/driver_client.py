"""Client of one CSI driver, by its socket; each call has a timeout."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from grpc import aio

from agent.csi.driver_errors import DriverError, driver_error
from agent.csi.v1.csi_pb2 import (
    ControllerGetCapabilitiesRequest,
    ControllerServiceCapability,
    GetPluginCapabilitiesRequest,
    GetPluginInfoRequest,
    NodeGetCapabilitiesRequest,
    NodeGetInfoRequest,
    NodeGetInfoResponse,
    NodeServiceCapability,
    PluginCapability,
    ProbeRequest,
    VolumeCapability,
)
from agent.csi.v1.csi_pb2_grpc import ControllerStub, IdentityStub, NodeStub
from shoal.api.v1.node_pb2 import CsiDriver
from shoal.api.v1.volume_pb2 import MULTI_NODE_READER_ONLY, SINGLE_NODE_READER_ONLY, AccessMode
from shoal.errors import Refused

A = TypeVar("A", bound=Message)

MAX_NAME = 63
MAX_NODE_ID = 256
"""Characters (CSI specification, "NodeGetInfo")."""
MAX_TOPOLOGY_BYTES = 4096

_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1_000))


class DriverClient:
    """Client of one driver. Close it after use.

    Args:
        call_seconds: timeout of each call.
    Attributes:
        name: the driver's name; until it is known, the path of its socket.
    """

    def __init__(self, socket: Path, *, call_seconds: float) -> None:
        self.name = str(socket)
        self.call_seconds = call_seconds
        self._channel = aio.insecure_channel(f"unix:{socket}", options=_OPTIONS)
        self._identity = IdentityStub(self._channel)
        self.controller = ControllerStub(self._channel)
        self.node = NodeStub(self._channel)

    async def close(self) -> None:
        """Close the connection; calls in progress fail."""
        await self._channel.close()

    async def call(self, name: str, method: Callable[..., Awaitable[A]], request: Message) -> A:
        """One call.

        Args:
            name: of the method, for the user.
        Raises:
            DriverError: the driver failed, did not respond, or sent an invalid response. The error contains none of the
                request's secrets.
        """
        try:
            response: A | None = await method(request, timeout=self.call_seconds)
        except aio.AioRpcError as error:
            secrets = getattr(request, "secrets", {}).values()
            failure = driver_error(error, driver=self.name, method=name, seconds=self.call_seconds, secrets=secrets)
            raise failure from None  # the driver's message may contain secrets
        if response is None:  # gRPC's result for a message that cannot be parsed
            raise DriverError(f"driver {self.name}: {name}: invalid response", is_outcome_unknown=True)
        return response

    async def probe(self) -> None:
        """Check that the driver is ready. Raises DriverError: no response. Refused: not ready yet."""
        response = await self.call("Probe", self._identity.Probe, ProbeRequest())
        if response.HasField("ready") and not response.ready.value:
            raise Refused(f"driver {self.name} is not ready yet")

    async def describe(self) -> CsiDriver:
        """The driver's name, version and capabilities.

        Raises:
            DriverError: no response. Refused: its name or node id is invalid.
        """
        info = await self.call("GetPluginInfo", self._identity.GetPluginInfo, GetPluginInfoRequest())
        self.name = info.name
        if not 0 < len(info.name) <= MAX_NAME or info.name == "local" or not _is_name(info.name):
            raise Refused(f"{info.name[:80]!r} is not a valid driver name")
        reply = await self.call(
            "GetPluginCapabilities", self._identity.GetPluginCapabilities, GetPluginCapabilitiesRequest()
        )
        services = {each.service.type for each in reply.capabilities}
        described = CsiDriver(
            name=info.name,
            version=info.vendor_version[:MAX_NAME],
            has_controller=PluginCapability.Service.CONTROLLER_SERVICE in services,
            has_topology=PluginCapability.Service.VOLUME_ACCESSIBILITY_CONSTRAINTS in services,
        )
        if described.has_controller:
            await self._describe_controller(described)
        await self._describe_node(described)
        return described

    async def _describe_node(self, described: CsiDriver) -> None:
        info = await self._node_info(described)
        if not 0 < len(info.node_id) <= MAX_NODE_ID or info.accessible_topology.ByteSize() > MAX_TOPOLOGY_BYTES:
            raise Refused(f"driver {self.name} reports no node id, or its topology is too large")
        described.node_id, described.max_volumes = info.node_id, max(0, info.max_volumes_per_node)
        described.topology.update(info.accessible_topology.segments)
        reply = await self.call("NodeGetCapabilities", self.node.NodeGetCapabilities, NodeGetCapabilitiesRequest())
        stages = NodeServiceCapability.RPC.STAGE_UNSTAGE_VOLUME
        described.stages_volumes = any(each.rpc.type == stages for each in reply.capabilities)

    async def _node_info(self, described: CsiDriver) -> NodeGetInfoResponse:
        """The call is optional for drivers that attach nothing: then the driver's name is used as the node id."""
        try:
            return await self.call("NodeGetInfo", self.node.NodeGetInfo, NodeGetInfoRequest())
        except DriverError as failure:
            if not failure.unimplemented or described.attaches_volumes or described.has_topology:
                raise
            return NodeGetInfoResponse(node_id=described.name)

    async def _describe_controller(self, described: CsiDriver) -> None:
        reply = await self.call(
            "ControllerGetCapabilities", self.controller.ControllerGetCapabilities, ControllerGetCapabilitiesRequest()
        )
        kinds = {each.rpc.type for each in reply.capabilities}
        described.creates_volumes = ControllerServiceCapability.RPC.CREATE_DELETE_VOLUME in kinds
        described.attaches_volumes = ControllerServiceCapability.RPC.PUBLISH_UNPUBLISH_VOLUME in kinds


def volume_capability(mode: AccessMode.ValueType) -> VolumeCapability:
    """The capability of a mounted file system in this access mode."""
    desired = VolumeCapability.AccessMode.Mode.ValueType(int(mode) or VolumeCapability.AccessMode.SINGLE_NODE_WRITER)
    return VolumeCapability(mount=VolumeCapability.MountVolume(), access_mode=VolumeCapability.AccessMode(mode=desired))


def is_read_only(mode: AccessMode.ValueType) -> bool:
    """Whether the mode allows no writing."""
    return mode in (SINGLE_NODE_READER_ONLY, MULTI_NODE_READER_ONLY)


def _is_name(text: str) -> bool:
    inner = text.replace("-", "").replace(".", "")
    return inner.isascii() and inner.isalnum() and text[0].isalnum() and text[-1].isalnum()

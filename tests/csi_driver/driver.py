"""A small real CSI driver: bind mounts of directories that all hosts share, with faults and slow answers on demand.

    python -m tests.csi_driver.driver --socket PATH --pool DIRECTORY --node NAME [--driver NAME] [--zone NAME] …

It is as strict as drivers are: a volume for one node at a time is attached to one, nothing is staged that is not
attached, nothing is published that is not staged, every call may be repeated, and where secrets are
wanted no call that takes some goes without them.
"""

import argparse
import asyncio
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue
from grpc import StatusCode, aio

from agent.csi.v1 import csi_pb2
from agent.csi.v1.csi_pb2_grpc import (
    ControllerServicer,
    IdentityServicer,
    NodeServicer,
    add_ControllerServicer_to_server,
    add_IdentityServicer_to_server,
    add_NodeServicer_to_server,
)
from agent.volumes.mount_table import mounted_below
from tests.csi_driver.pool import Pool

# ruff: noqa: N802  # methods are named by the protocol

DRIVER = "dirs.test.example"
PARAMETERS = {"tier", "name"}
LARGEST = 1 << 30
ONE_NODE = (
    csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER,
    csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_READER_ONLY,
)

Context = aio.ServicerContext[Any, Any]


class Driver(IdentityServicer, ControllerServicer, NodeServicer):
    """All three services."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._node: str = options.node
        self._pool = Pool(options.pool)

    async def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: Context
    ) -> csi_pb2.GetPluginInfoResponse:
        return csi_pb2.GetPluginInfoResponse(name=self._options.driver, vendor_version="1.0-test")

    async def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: Context
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        service = csi_pb2.PluginCapability.Service
        kinds = [] if self._options.no_controller else [service.CONTROLLER_SERVICE]
        kinds += [service.VOLUME_ACCESSIBILITY_CONSTRAINTS] if self._options.zone else []
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[csi_pb2.PluginCapability(service=service(type=kind)) for kind in kinds]
        )

    async def Probe(self, request: csi_pb2.ProbeRequest, context: Context) -> csi_pb2.ProbeResponse:
        return csi_pb2.ProbeResponse(ready=BoolValue(value=self._pool.next_fault(self._node, "Probe") is None))

    async def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        rpc = csi_pb2.ControllerServiceCapability.RPC
        kinds = [rpc.CREATE_DELETE_VOLUME] + ([] if self._options.no_attach else [rpc.PUBLISH_UNPUBLISH_VOLUME])
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[csi_pb2.ControllerServiceCapability(rpc=rpc(type=kind)) for kind in kinds]
        )

    async def NodeGetCapabilities(
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        rpc = csi_pb2.NodeServiceCapability.RPC
        kinds = [] if self._options.no_stage else [rpc.STAGE_UNSTAGE_VOLUME]
        return csi_pb2.NodeGetCapabilitiesResponse(
            capabilities=[csi_pb2.NodeServiceCapability(rpc=rpc(type=kind)) for kind in kinds]
        )

    async def NodeGetInfo(self, request: csi_pb2.NodeGetInfoRequest, context: Context) -> csi_pb2.NodeGetInfoResponse:
        if self._options.no_node_info:
            await context.abort(StatusCode.UNIMPLEMENTED, "nodes have no names here")
        zone = {"zone": self._options.zone} if self._options.zone else {}
        return csi_pb2.NodeGetInfoResponse(
            node_id=f"node-{self._node}",
            max_volumes_per_node=self._options.max_volumes,
            accessible_topology=csi_pb2.Topology(segments=zone),
        )

    async def CreateVolume(
        self, request: csi_pb2.CreateVolumeRequest, context: Context
    ) -> csi_pb2.CreateVolumeResponse:
        await self._begin(context, "CreateVolume", request.name, request.secrets)
        if unknown := sorted(set(request.parameters) - PARAMETERS):
            await context.abort(StatusCode.INVALID_ARGUMENT, f"parameter {unknown[0]!r} is not known")
        size = request.capacity_range.required_bytes
        if size > LARGEST:
            await context.abort(StatusCode.OUT_OF_RANGE, f"{size} bytes exceed the size of the pool")
        volume_id = f"vol-{request.name}"
        about = {"size": size, "mode": request.volume_capabilities[0].access_mode.mode, "zone": self._options.zone}
        with self._pool.locked():
            known = self._pool.volume(volume_id)
            if known is None:
                self._pool.make(volume_id, about)
        if known is not None and (known["size"], known["mode"]) != (about["size"], about["mode"]):
            await context.abort(StatusCode.ALREADY_EXISTS, "a volume of this name is another one")
        zone = (known or about)["zone"]
        return csi_pb2.CreateVolumeResponse(
            volume=csi_pb2.Volume(
                volume_id=volume_id,
                capacity_bytes=size,
                volume_context={"pool": "shared"},
                accessible_topology=[csi_pb2.Topology(segments={"zone": zone})] if zone else [],
            )
        )

    async def DeleteVolume(
        self, request: csi_pb2.DeleteVolumeRequest, context: Context
    ) -> csi_pb2.DeleteVolumeResponse:
        await self._begin(context, "DeleteVolume", request.volume_id, request.secrets)
        with self._pool.locked():
            nodes = self._pool.nodes(request.volume_id)
            if not nodes:
                self._pool.delete(request.volume_id)
        if nodes:
            await context.abort(StatusCode.FAILED_PRECONDITION, f"it is attached to {nodes[0]}")
        return csi_pb2.DeleteVolumeResponse()

    async def ControllerPublishVolume(
        self, request: csi_pb2.ControllerPublishVolumeRequest, context: Context
    ) -> csi_pb2.ControllerPublishVolumeResponse:
        await self._begin(context, "ControllerPublishVolume", f"{request.volume_id} {request.node_id}", request.secrets)
        with self._pool.locked():
            about = self._pool.volume(request.volume_id)
            others = set(self._pool.nodes(request.volume_id)) - {request.node_id}
            taken = about is not None and about["mode"] in ONE_NODE and bool(others)
            if about is not None and not taken:
                self._pool.attach(request.volume_id, request.node_id)
        if about is None or request.volume_context != {"pool": "shared"}:
            await context.abort(StatusCode.NOT_FOUND, "there is no such volume")
        if taken:
            self._pool.note(self._node, "VIOLATION", f"{request.volume_id} {request.node_id}")
            await context.abort(StatusCode.FAILED_PRECONDITION, f"it is attached to {others.pop()}")
        return csi_pb2.ControllerPublishVolumeResponse(publish_context={"attached": request.node_id})

    async def ControllerUnpublishVolume(
        self, request: csi_pb2.ControllerUnpublishVolumeRequest, context: Context
    ) -> csi_pb2.ControllerUnpublishVolumeResponse:
        await self._begin(
            context, "ControllerUnpublishVolume", f"{request.volume_id} {request.node_id}", request.secrets
        )
        with self._pool.locked():
            self._pool.detach(request.volume_id, request.node_id)
        return csi_pb2.ControllerUnpublishVolumeResponse()

    async def NodeStageVolume(
        self, request: csi_pb2.NodeStageVolumeRequest, context: Context
    ) -> csi_pb2.NodeStageVolumeResponse:
        await self._begin(context, "NodeStageVolume", request.volume_id, request.secrets)
        own = f"node-{self._node}"
        attached = self._options.no_attach or (
            own in self._pool.nodes(request.volume_id) and request.publish_context == {"attached": own}
        )
        if not attached and not self._options.no_controller:
            await context.abort(StatusCode.FAILED_PRECONDITION, "it is not attached to this node")
        if not self._pool.data(request.volume_id).is_dir():
            await context.abort(StatusCode.NOT_FOUND, "there is no such volume")
        await _bind(self._pool.data(request.volume_id), Path(request.staging_target_path))
        return csi_pb2.NodeStageVolumeResponse()

    async def NodeUnstageVolume(
        self, request: csi_pb2.NodeUnstageVolumeRequest, context: Context
    ) -> csi_pb2.NodeUnstageVolumeResponse:
        await self._begin(context, "NodeUnstageVolume", request.volume_id)
        await _unmount(Path(request.staging_target_path))
        return csi_pb2.NodeUnstageVolumeResponse()

    async def NodePublishVolume(
        self, request: csi_pb2.NodePublishVolumeRequest, context: Context
    ) -> csi_pb2.NodePublishVolumeResponse:
        await self._begin(context, "NodePublishVolume", request.volume_id, request.secrets)
        staging, target = Path(request.staging_target_path), Path(request.target_path)
        if self._options.no_stage:
            if request.staging_target_path:
                await context.abort(StatusCode.INVALID_ARGUMENT, "nothing is staged here")
            staging = self._pool.data(request.volume_id)
        elif staging not in mounted_below(staging):
            await context.abort(StatusCode.FAILED_PRECONDITION, "it is not staged on this node")
        target.mkdir(exist_ok=True)
        await _bind(staging, target, *(["-o", "ro"] if request.readonly else []))
        return csi_pb2.NodePublishVolumeResponse()

    async def NodeUnpublishVolume(
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: Context
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        await self._begin(context, "NodeUnpublishVolume", request.volume_id)
        target = Path(request.target_path)
        await _unmount(target)
        if target.exists():
            target.rmdir()
        return csi_pb2.NodeUnpublishVolumeResponse()

    async def _begin(self, context: Context, method: str, what: str, secrets: Mapping[str, str] | None = None) -> None:
        """Note the call, want its secrets where the interface has any, and let it suffer what it is to."""
        self._pool.note(self._node, method, what)
        expected = self._pool.required_secrets()
        if secrets is not None and expected is not None and secrets != expected:
            # As careless as drivers are: what it was given is in its words.
            await context.abort(StatusCode.UNAUTHENTICATED, f"the storage does not know {dict(secrets)}")
        fault = self._pool.next_fault(self._node, method)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
            if fault.code:
                await context.abort(StatusCode[fault.code], fault.message)


async def _bind(source: Path, target: Path, *options: str) -> None:
    if target not in mounted_below(target):
        await asyncio.to_thread(subprocess.run, ["mount", "--bind", *options, str(source), str(target)], check=True)


async def _unmount(target: Path) -> None:
    while target in mounted_below(target):
        await asyncio.to_thread(subprocess.run, ["umount", str(target)], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--driver", default=DRIVER)
    parser.add_argument("--zone", default="")
    parser.add_argument("--max-volumes", type=int, default=0)
    parser.add_argument("--no-attach", action="store_true", help="Volumes need not be attached.")
    parser.add_argument("--no-controller", action="store_true", help="Volumes are there already.")
    parser.add_argument("--no-stage", action="store_true", help="Volumes are published without being staged.")
    parser.add_argument("--no-node-info", action="store_true", help="Nodes have no names.")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM; the socket goes with it."""
    options.socket.parent.mkdir(parents=True, exist_ok=True)
    options.socket.unlink(missing_ok=True)
    server, driver = aio.server(), Driver(options)
    add: tuple[Callable[[Any, aio.Server], None], ...] = (add_IdentityServicer_to_server, add_NodeServicer_to_server)
    for register in add if options.no_controller else (*add, add_ControllerServicer_to_server):
        register(driver, server)
    server.add_insecure_port(f"unix:{options.socket}")
    await server.start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(_options()))

"""Calls that answer or fail in their own way: of managers' API, of sessions, of agents' streams."""

# ruff: noqa: N802  # the methods are named by the protocol

# ruff: noqa: N802  # the methods are named by the protocol

import asyncio
from collections.abc import AsyncIterator
from typing import cast

from shoal.api.v1 import control_pb2, dispatcher_pb2, streams_pb2
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.control_pb2_grpc import ControlServicer
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherServicer
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.logs.encoded_batch import encode_run
from shoal.rpc.caller import Context, caller_of
from shoal.task_group import TaskGroup


class Control(ControlServicer):
    """A few methods, each failing or answering in its own way."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def ListNodes(self, request: control_pb2.ListNodesRequest, context: Context) -> control_pb2.ListNodesResponse:
        return control_pb2.ListNodesResponse()

    async def GetNode(self, request: control_pb2.GetNodeRequest, context: Context) -> control_pb2.NodeView:
        raise NotFound(f"no node {request.node!r}")

    async def CreateService(
        self, request: control_pb2.CreateServiceRequest, context: Context
    ) -> control_pb2.CreateServiceResponse:
        raise InvalidInput([Fault(f"spec.ports[{number}]", "is in use") for number in range(150)])

    async def GetCluster(self, request: control_pb2.GetClusterRequest, context: Context) -> control_pb2.ClusterView:
        raise RuntimeError("inner workings")

    async def WatchServices(
        self, request: control_pb2.WatchServicesRequest, context: Context
    ) -> AsyncIterator[control_pb2.ServicesProgress]:
        yield control_pb2.ServicesProgress()
        yield control_pb2.ServicesProgress(done=True)
        if request.services:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if request.until_removed:
            async with TaskGroup() as group:
                group.create_task(_not_found())

    async def Exec(
        self, request_iterator: AsyncIterator[streams_pb2.ExecInput], context: Context
    ) -> AsyncIterator[streams_pb2.ExecOutput]:
        yield streams_pb2.ExecOutput()

    async def Attach(
        self, request_iterator: AsyncIterator[streams_pb2.ExecInput], context: Context
    ) -> AsyncIterator[streams_pb2.ExecOutput]:
        yield streams_pb2.ExecOutput()


async def _not_found() -> None:
    raise NotFound("the service is gone")


def _welcome(node_id: str) -> dispatcher_pb2.Welcome:
    return dispatcher_pb2.Welcome(managers=dispatcher_pb2.ManagerSet(managers=[ManagerAddress(id=node_id)]))


class Dispatcher(DispatcherServicer):
    """Answers each message with the caller's node id."""

    async def Session(
        self, request_iterator: AsyncIterator[dispatcher_pb2.AgentMessage], context: Context
    ) -> AsyncIterator[dispatcher_pb2.ManagerMessage]:
        async for _ in request_iterator:
            yield dispatcher_pb2.ManagerMessage(welcome=_welcome(caller_of(context).name))


class Streams(AgentStreamsServicer):
    """One line of log."""

    async def ReadLogs(
        self, request: streams_pb2.ReadLogsRequest, context: Context
    ) -> AsyncIterator[streams_pb2.LogBatch]:
        yield streams_pb2.LogBatch()
        yield cast(streams_pb2.LogBatch, encode_run("t", b"line\n", lost=True))

    async def ReadUsage(self, request: streams_pb2.ReadUsageRequest, context: Context) -> streams_pb2.ReadUsageResponse:
        return streams_pb2.ReadUsageResponse()

    async def ReadVolumeSizes(
        self, request: streams_pb2.ReadVolumeSizesRequest, context: Context
    ) -> streams_pb2.ReadVolumeSizesResponse:
        return streams_pb2.ReadVolumeSizesResponse()

    async def ObserveTerm(
        self, request: streams_pb2.ObserveTermRequest, context: Context
    ) -> streams_pb2.ObserveTermResponse:
        return streams_pb2.ObserveTermResponse()

    async def OfferVolume(
        self, request: streams_pb2.OfferVolumeRequest, context: Context
    ) -> streams_pb2.OfferVolumeResponse:
        return streams_pb2.OfferVolumeResponse()

    async def FetchVolume(
        self, request: streams_pb2.FetchVolumeRequest, context: Context
    ) -> AsyncIterator[streams_pb2.FetchVolumeProgress]:
        yield streams_pb2.FetchVolumeProgress()

    async def DropVolumeCopy(
        self, request: streams_pb2.DropVolumeCopyRequest, context: Context
    ) -> streams_pb2.DropVolumeCopyResponse:
        return streams_pb2.DropVolumeCopyResponse()

    async def CallDriver(
        self, request: streams_pb2.CallDriverRequest, context: Context
    ) -> streams_pb2.CallDriverResponse:
        return streams_pb2.CallDriverResponse()

    async def DiagnoseHost(self, request: DiagnoseHostRequest, context: Context) -> DiagnoseHostResponse:
        return DiagnoseHostResponse()

    async def Probe(self, request: streams_pb2.ProbeRequest, context: Context) -> streams_pb2.ProbeResponse:
        return streams_pb2.ProbeResponse()

    async def Exec(
        self, request_iterator: AsyncIterator[streams_pb2.ExecInput], context: Context
    ) -> AsyncIterator[streams_pb2.ExecOutput]:
        yield streams_pb2.ExecOutput()

    async def Attach(
        self, request_iterator: AsyncIterator[streams_pb2.ExecInput], context: Context
    ) -> AsyncIterator[streams_pb2.ExecOutput]:
        yield streams_pb2.ExecOutput()

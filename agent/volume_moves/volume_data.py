"""gRPC servicer of `VolumeData`, for other agents that have a manager's grant."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from grpc import aio

from agent.volume_moves.move_source import MoveSource
from shoal.api.v1.volume_data_pb2 import ReadDigestRequest, ReadDigestResponse, ReadTreeRequest, TreeItems
from shoal.api.v1.volume_data_pb2_grpc import VolumeDataServicer
from shoal.rpc.caller import caller_of


class VolumeDataService(VolumeDataServicer):
    """Callers are identified by the certificate of the connection."""

    def __init__(self, source: MoveSource) -> None:
        self._source = source

    async def ReadTree(  # noqa: N802  # named by the protocol
        self, request: ReadTreeRequest, context: aio.ServicerContext[ReadTreeRequest, TreeItems]
    ) -> AsyncGenerator[TreeItems]:
        """Raises PermissionDenied, Exhausted, Unavailable, Refused: see `MoveSource.read`."""
        async with aclosing(self._source.read(request, caller_of(context).name)) as messages:
            async for message in messages:
                yield message

    async def ReadDigest(  # noqa: N802  # named by the protocol
        self, request: ReadDigestRequest, context: aio.ServicerContext[ReadDigestRequest, ReadDigestResponse]
    ) -> ReadDigestResponse:
        """Raises as `ReadTree`."""
        return ReadDigestResponse(digest=await self._source.digest(request, caller_of(context).name))

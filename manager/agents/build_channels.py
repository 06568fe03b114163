"""Calls to agents about builds of images."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from grpc import aio

from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import FILE_TREE_SECONDS, AgentChannels
from manager.agents.answer_bounds import BoundedChannel
from shoal.api.v1.builds_pb2 import (
    AgentBuildInput,
    AgentBuildOutput,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
)
from shoal.api.v1.builds_pb2_grpc import AgentBuildsStub

if TYPE_CHECKING:
    from shoal.api.v1.builds_pb2_grpc import AgentBuildsAsyncStub

LIST_SECONDS = 20.0


class BuildChannels:
    """The service `AgentBuilds` of all nodes. Every call raises Unavailable when the node does not respond."""

    def __init__(self, channels: AgentChannels) -> None:
        self._channels = channels

    def build(
        self, agent: AgentAddress, messages: AsyncIterator[AgentBuildInput]
    ) -> AsyncGenerator[AgentBuildOutput, None]:
        """Build an image there; the build ends when the consumer closes the generator.

        Raises:
            InvalidInput, NotFound, Refused, Exhausted, Unavailable: as the build ends.
        """
        return self._channels.stream(agent, lambda channel: _stub(channel).Build(messages))

    async def list_build_cache(self, agent: AgentAddress, request: ListBuildCacheRequest) -> ListBuildCacheResponse:
        """What the node keeps of earlier builds. Raises InvalidInput: an unknown filter."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).ListBuildCache(request, timeout=LIST_SECONDS)
        )

    async def prune_build_cache(self, agent: AgentAddress, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        """Delete of it what is not used. Raises InvalidInput: an unknown filter."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).PruneBuildCache(request, timeout=FILE_TREE_SECONDS)
        )


def _stub(channel: aio.Channel) -> "AgentBuildsAsyncStub":
    counted: Any = BoundedChannel(channel)
    stub: AgentBuildsAsyncStub = AgentBuildsStub(counted)
    return stub

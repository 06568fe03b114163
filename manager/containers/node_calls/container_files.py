"""Container calls about files: archives of paths, changes, exports. All are passed to the container's node."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.containers.node_calls.container_target import ContainerTarget, made_container_target
from manager.store.record_store import RecordReader
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    DirectoryEntries,
    ListChangesRequest,
    PathChanges,
    PathStat,
    WriteArchiveRequest,
    WriteArchiveResponse,
)
from shoal.errors import InvalidInput
from shoal.rpc.caller import Caller


class FileAccess(Protocol):
    """The agents, as of `manager.agents.container_channels.ContainerChannels`."""

    async def stat_path(self, agent: AgentAddress, request: ArchiveRequest) -> PathStat: ...

    def list_directory(
        self, agent: AgentAddress, request: ArchiveRequest
    ) -> AsyncGenerator[DirectoryEntries, None]: ...

    def read_archive(self, agent: AgentAddress, request: ArchiveRequest) -> AsyncGenerator[ArchiveChunk, None]: ...

    async def write_archive(
        self, agent: AgentAddress, messages: AsyncIterator[WriteArchiveRequest]
    ) -> WriteArchiveResponse: ...

    def list_changes(self, agent: AgentAddress, request: ListChangesRequest) -> AsyncGenerator[PathChanges, None]: ...

    def export_container(
        self, agent: AgentAddress, request: ListChangesRequest
    ) -> AsyncGenerator[ArchiveChunk, None]: ...


class ContainerFileHandler:
    """The calls about files. Each raises NotFound where there is no such container or path, Unavailable when the
    container's node is away. Nothing is buffered: each side is flow-controlled by the other."""

    def __init__(self, *, store: RecordReader, agents: FileAccess) -> None:
        self._store = store
        self._agents = agents

    async def stat(self, request: ArchiveRequest, caller: Caller) -> PathStat:
        target = await self._find(request.container)
        return await self._agents.stat_path(target.agent, _with_target(request, target))

    async def entries(self, request: ArchiveRequest, caller: Caller) -> AsyncGenerator[DirectoryEntries]:
        target = await self._find(request.container)
        async with aclosing(self._agents.list_directory(target.agent, _with_target(request, target))) as batches:
            async for batch in batches:
                yield batch

    async def read(self, request: ArchiveRequest, caller: Caller) -> AsyncGenerator[ArchiveChunk]:
        target = await self._find(request.container)
        async with aclosing(self._agents.read_archive(target.agent, _with_target(request, target))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def write(self, messages: AsyncIterator[WriteArchiveRequest], caller: Caller) -> WriteArchiveResponse:
        """Raises InvalidInput when the first message names no path."""
        first = await anext(messages, None)
        if first is None or not first.HasField("target"):
            raise InvalidInput("the first message must be `target`")
        target = await self._find(first.target.container)
        sent = WriteArchiveRequest()
        sent.CopyFrom(first)
        sent.target.container = target.identifier
        return await self._agents.write_archive(target.agent, _prepend(sent, messages))

    async def changes(self, request: ListChangesRequest, caller: Caller) -> AsyncGenerator[PathChanges]:
        target = await self._find(request.container)
        sent = ListChangesRequest(container=target.identifier)
        async with aclosing(self._agents.list_changes(target.agent, sent)) as batches:
            async for batch in batches:
                yield batch

    async def export(self, request: ListChangesRequest, caller: Caller) -> AsyncGenerator[ArchiveChunk]:
        target = await self._find(request.container)
        sent = ListChangesRequest(container=target.identifier)
        async with aclosing(self._agents.export_container(target.agent, sent)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _find(self, reference: str) -> ContainerTarget:
        return await made_container_target(self._store, reference)


def _with_target(request: ArchiveRequest, target: ContainerTarget) -> ArchiveRequest:
    sent = ArchiveRequest()
    sent.CopyFrom(request)
    sent.container = target.identifier
    return sent


async def _prepend(
    first: WriteArchiveRequest, messages: AsyncIterator[WriteArchiveRequest]
) -> AsyncGenerator[WriteArchiveRequest]:
    yield first
    async for message in messages:
        yield message

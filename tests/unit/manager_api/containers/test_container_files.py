"""Calls about files reach the node of a container by its id, whether it runs or not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from manager.agents.agent_address import AgentAddress
from manager.containers.node_calls.container_files import ContainerFileHandler
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    DirectoryEntries,
    ListChangesRequest,
    PathChange,
    PathChanges,
    PathStat,
    WriteArchiveRequest,
    WriteArchiveResponse,
)
from shoal.container_ids import short_container_id
from shoal.errors import InvalidInput, NotFound, Unavailable
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN


class Files:
    """Agents that answer with what they were asked for."""

    def __init__(self) -> None:
        self.written: list[WriteArchiveRequest] = []

    async def stat_path(self, agent: AgentAddress, request: ArchiveRequest) -> PathStat:
        return PathStat(name=f"{agent.node_id} {request.container} {request.path}")

    async def list_directory(
        self, agent: AgentAddress, request: ArchiveRequest
    ) -> AsyncGenerator[DirectoryEntries, None]:
        yield DirectoryEntries(entries=[PathStat(name=f"{request.container} {request.path}")])

    async def read_archive(self, agent: AgentAddress, request: ArchiveRequest) -> AsyncGenerator[ArchiveChunk, None]:
        for part in (agent.node_id, request.container, request.path):
            yield ArchiveChunk(data=part.encode())

    async def write_archive(
        self, agent: AgentAddress, messages: AsyncIterator[WriteArchiveRequest]
    ) -> WriteArchiveResponse:
        self.written = [message async for message in messages]
        return WriteArchiveResponse()

    async def list_changes(self, agent: AgentAddress, request: ListChangesRequest) -> AsyncGenerator[PathChanges, None]:
        yield PathChanges(changes=[PathChange(path=request.container)])

    async def export_container(
        self, agent: AgentAddress, request: ListChangesRequest
    ) -> AsyncGenerator[ArchiveChunk, None]:
        yield ArchiveChunk(data=request.container.encode())


async def _messages(*messages: WriteArchiveRequest) -> AsyncGenerator[WriteArchiveRequest]:
    for message in messages:
        yield message


def test_every_call_goes_to_the_node_with_the_whole_id() -> None:
    async def scenario(rig: ContainerRig) -> None:
        agents = Files()
        files = ContainerFileHandler(store=rig.store, agents=agents)
        created = await rig.create("db")
        identifier, node = created.container.meta.id, created.node_id
        short = short_container_id(identifier)
        stat = await files.stat(ArchiveRequest(container="db", path="/etc"), ADMIN)
        assert stat.name == f"{node} {identifier} /etc"
        listed = [each async for each in files.entries(ArchiveRequest(container=short, path="/etc"), ADMIN)]
        assert listed[0].entries[0].name == f"{identifier} /etc"
        request = ArchiveRequest(container=short, path="/etc", follow=True)
        chunks = [chunk.data.decode() async for chunk in files.read(request, ADMIN)]
        assert chunks == [node, identifier, "/etc"]
        target = WriteArchiveRequest(target=ArchiveRequest(container="db", path="/srv"), copy_owner=True)
        await files.write(_messages(target, WriteArchiveRequest(data=b"tar")), ADMIN)
        first, second = agents.written
        assert (first.target.container, first.target.path, first.copy_owner) == (identifier, "/srv", True)
        assert second.data == b"tar"
        changes = [each async for each in files.changes(ListChangesRequest(container="db"), ADMIN)]
        assert changes[0].changes[0].path == identifier
        exported = [each.data async for each in files.export(ListChangesRequest(container="db"), ADMIN)]
        assert exported == [identifier.encode()]

    with_rig(scenario)


def test_what_is_refused() -> None:
    async def scenario(rig: ContainerRig) -> None:
        files = ContainerFileHandler(store=rig.store, agents=Files())
        with pytest.raises(NotFound, match='container "db" not found'):
            await files.stat(ArchiveRequest(container="db", path="/"), ADMIN)
        with pytest.raises(InvalidInput, match="must be `target`"):
            await files.write(_messages(WriteArchiveRequest(data=b"tar")), ADMIN)
        node = (await rig.create("db")).node_hostname
        await rig.lose(node)
        with pytest.raises(Unavailable, match=f"node {node}"):
            await files.stat(ArchiveRequest(container="db", path="/"), ADMIN)

    with_rig(scenario)


def test_files_of_one_that_was_just_created_are_waited_for() -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.makes_nothing = True
        await rig.create("db")
        files = ContainerFileHandler(store=rig.store, agents=Files())
        asked = asyncio.create_task(files.stat(ArchiveRequest(container="db", path="/data"), ADMIN))
        await asyncio.sleep(0.05)
        assert not asked.done()
        rig.makes_nothing = False
        await rig.create("other")
        async with asyncio.timeout(60):
            assert (await asked).name.endswith(" /data")

    with_rig(scenario)

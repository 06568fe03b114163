"""The calls of `AgentContainers` over gRPC: to which part each goes, and archives there and back."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from agent.archives.container_files import ContainerFiles
from agent.archives.root_sizes import RootSizes
from agent.commits.layer_commits import LayerCommits
from agent.images.layers.inflate import inflated
from agent.runtime.live.process_table import ProcessTable
from agent.runtime.live.root_access import OpenRoot, RootFiles
from agent.streams.agent_containers import AgentContainersService
from agent.streams.exec_sessions import ExecSessions
from shoal.api.v1.agent_containers_pb2 import CommitLayerRequest
from shoal.api.v1.agent_containers_pb2_grpc import AgentContainersStub, add_AgentContainersServicer_to_server
from shoal.api.v1.engine_pb2 import (
    ArchiveRequest,
    KillContainerRequest,
    ListChangesRequest,
    ListProcessesRequest,
    PauseContainerRequest,
    WriteArchiveRequest,
)
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor
from shoal.images.committed_image import EMPTY_DIFF_ID
from tests.unit.agent_core.containers.test_exec_sessions import Programs


class Node:
    """Containers that are directories, and what was asked of their tasks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls: list[tuple[str, str, object]] = []
        self.pushed = b""

    def find_root(self, own_id: str) -> RootFiles | None:
        return RootFiles(self._root / "upper", (self._root / "below",)) if own_id == "box" else None

    def task_of(self, own_id: str) -> str:
        return f"task-of-{own_id}"

    def kept_roots(self) -> Mapping[str, str]:
        return {"box": "sha256:image"}

    @property
    def temporary(self) -> Path:
        return self._root

    async def push_layer(
        self, image: str, repository: str, layer: Descriptor | None, path: Path
    ) -> tuple[bytes, bytes]:
        self.calls.append(("push", image, repository))
        self.pushed = path.read_bytes() if layer else b""
        return b"manifest", b"config"

    async def processes(self, own_id: str, ps_args: Sequence[str]) -> ProcessTable:
        return ProcessTable(("PID", "CMD"), (("1", f"{own_id} {' '.join(ps_args)}"),))

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        assert not briefly or paused
        self.calls.append(("pause", task_id, paused))

    async def signal(self, task_id: str, signal: str) -> None:
        self.calls.append(("signal", task_id, signal))

    async def remove_orphan(self, container_id: str) -> None:
        self.calls.append(("remove orphan", container_id, None))

    @asynccontextmanager
    async def open_root(self, own_id: str) -> AsyncGenerator[OpenRoot]:
        root = os.open(self._root / own_id, os.O_PATH | os.O_DIRECTORY)
        try:
            yield OpenRoot(root, self._root / "upper", (self._root / "below",), (1000, 1001))
        finally:
            os.close(root)

    @asynccontextmanager
    async def open_below(self, opened: OpenRoot) -> AsyncGenerator[int]:
        below = os.open(opened.layers[0], os.O_PATH | os.O_DIRECTORY)
        try:
            yield below
        finally:
            os.close(below)


@asynccontextmanager
async def served(node: Node) -> AsyncGenerator[Any]:
    server = aio.server()
    commits = LayerCommits(containers=node, images=node)
    service = AgentContainersService(
        containers=node,
        tasks=node,
        files=ContainerFiles(node),
        sizes=RootSizes(node.find_root),
        commits=commits,
        execs=ExecSessions(task_of=node.task_of, runtime=Programs()),
    )
    add_AgentContainersServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield AgentContainersStub(channel)
    finally:
        await server.stop(None)


def test_each_call_reaches_its_part(tmp_path: Path) -> None:
    for name in ("box/srv", "upper", "below/etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "upper/etc").mkdir()
    (tmp_path / "upper/new").write_text("1")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 3_000_000
        tar.addfile(info, io.BytesIO(b"x" * info.size))
    content = buffer.getvalue()

    async def messages() -> AsyncIterator[WriteArchiveRequest]:
        yield WriteArchiveRequest(target=ArchiveRequest(container="box", path="/srv"), copy_owner=True)
        for begin in range(0, len(content), 1 << 18):
            yield WriteArchiveRequest(data=content[begin : begin + (1 << 18)])

    async def body() -> None:
        node = Node(tmp_path)
        async with served(node) as agent:
            await agent.Pause(PauseContainerRequest(container="box"))
            await agent.Pause(PauseContainerRequest(container="box", unpause=True))
            await agent.Kill(KillContainerRequest(container="box"))
            await agent.Kill(KillContainerRequest(container="box", signal="HUP"))
            await agent.Kill(KillContainerRequest(container="box", signal="HUP", stop=True))
            await agent.RemoveOrphan(ListChangesRequest(container="lost"))
            task = "task-of-box"
            assert node.calls == [
                ("pause", task, True), ("pause", task, False), ("signal", task, "SIGKILL"), ("signal", task, "HUP"),
                ("signal", task, ""), ("remove orphan", "lost", None),
            ]  # fmt: skip
            table = await agent.ListProcesses(ListProcessesRequest(container="box", ps_args=["-ef"]))
            assert list(table.titles) == ["PID", "CMD"] and list(table.processes[0].cells) == ["1", "box -ef"]
            await agent.WriteArchive(messages())
            stat = await agent.StatPath(ArchiveRequest(container="box", path="/srv/file"))
            assert (stat.name, stat.size) == ("file", 3_000_000)
            assert (tmp_path / "box/srv/file").stat().st_uid == 1000
            batches = [each async for each in agent.ListDirectory(ArchiveRequest(container="box", path="/srv"))]
            assert [each.entries for each in batches] == [[stat]]
            chunks = [chunk async for chunk in agent.ReadArchive(ArchiveRequest(container="box", path="/srv/file"))]
            assert chunks[0].stat == stat and sum(len(chunk.data) for chunk in chunks) > stat.size
            exported = [chunk async for chunk in agent.ExportContainer(ListChangesRequest(container="box"))]
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunk.data for chunk in exported))) as tar:
                assert tar.getnames() == ["srv", "srv/file"]
            batches = [batch async for batch in agent.ListChanges(ListChangesRequest(container="box"))]
            assert [(change.kind, change.path) for batch in batches for change in batch.changes] == [
                (0, "/etc"), (1, "/new"),
            ]  # fmt: skip
            layer = [chunk async for chunk in agent.ReadLayer(ListChangesRequest(container="box"))]
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunk.data for chunk in layer))) as tar:
                assert sorted(tar.getnames()) == ["etc", "new"]
            assert len(node.calls) == 6
            assert layer == [each async for each in agent.ReadLayer(ListChangesRequest(container="box", pause=True))]
            assert node.calls[6:] == [("pause", task, True), ("pause", task, False)]

    asyncio.run(body())


def test_a_commit_pauses_reads_resumes_and_then_pushes(tmp_path: Path) -> None:
    for name in ("box", "upper/etc", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "upper/etc/new").write_bytes(b"x" * 2_000_000)

    async def body() -> None:
        node = Node(tmp_path)
        async with served(node) as agent:
            answer = await agent.CommitLayer(CommitLayerRequest(container="box", image_repository="r:5000/pool"))
            assert node.calls == [
                ("pause", "task-of-box", True), ("pause", "task-of-box", False),
                ("push", "sha256:image", "r:5000/pool"),
            ]  # fmt: skip
            assert (answer.manifest, answer.config, answer.size) == (b"manifest", b"config", len(node.pushed))
            assert answer.digest == digest_of(node.pushed) and answer.media_type.endswith("+zstd")
            plain = b"".join(inflated(io.BufferedReader(io.BytesIO(node.pushed))))
            assert answer.diff_id == digest_of(plain) and len(plain) > 2_000_000
            with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
                assert tar.getnames() == ["etc", "etc/new"]
            node.calls.clear()
            request = CommitLayerRequest(
                container="other", image_repository="r:5000/pool", no_pause=True, image="web@sha256:of-the-task"
            )
            await agent.CommitLayer(request)
            assert node.calls == [("push", "sha256:of-the-task", "r:5000/pool")]
        assert not list(tmp_path.glob("commit-*"))

    asyncio.run(body())


def test_an_unchanged_container_has_no_layer(tmp_path: Path) -> None:
    for name in ("box", "upper"):
        (tmp_path / name).mkdir()

    async def body() -> None:
        node = Node(tmp_path)
        async with served(node) as agent:
            answer = await agent.CommitLayer(CommitLayerRequest(container="box"))
            assert (answer.digest, answer.size, answer.diff_id) == ("", 0, EMPTY_DIFF_ID)

    asyncio.run(body())
